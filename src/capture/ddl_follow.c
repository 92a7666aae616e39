/*-------------------------------------------------------------------------
 *
 * ddl_follow.c
 *		Takes attachments along when columns of their tables change.
 *
 * New arguments are written into pg_trigger directly, as ALTER TRIGGER ...
 * RENAME writes the new name.  CREATE OR REPLACE TRIGGER would lose ENABLE
 * ALWAYS, what was set for single partitions, and the WHEN and OF of triggers
 * written by hand; it cannot replace a constraint trigger, and it would need
 * EXECUTE on emit().  The command that renames or drops the column holds
 * ACCESS EXCLUSIVE on the table, its children and its partitions, so nobody
 * else fires the trigger meanwhile; other sessions build its spec anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "capture/attach.h"
#include "capture/ddl.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_trigger.h"
#include "lib/stringinfo.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"

/* The strings as pg_trigger.tgargs has them: a NUL behind each. */
static bytea *
trigger_arguments(List *arguments)
{
	StringInfoData out;
	ListCell   *cell;

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	foreach(cell, arguments)
		appendBinaryStringInfo(&out, lfirst(cell), (int) strlen(lfirst(cell)) + 1);
	SET_VARSIZE(out.data, out.len);
	return (bytea *) out.data;
}

/* Give a trigger other arguments, and leave everything else of it alone. */
static void
write_arguments(Relation rel, Oid trigger, List *arguments)
{
	Relation	catalog = table_open(TriggerRelationId, RowExclusiveLock);
	Datum		values[Natts_pg_trigger] = {0};
	bool		nulls[Natts_pg_trigger] = {0};
	bool		replace[Natts_pg_trigger] = {0};
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find tuple for trigger %u", trigger);
	values[Anum_pg_trigger_tgnargs - 1] = Int16GetDatum((int16) list_length(arguments));
	replace[Anum_pg_trigger_tgnargs - 1] = true;
	values[Anum_pg_trigger_tgargs - 1] = PointerGetDatum(trigger_arguments(arguments));
	replace[Anum_pg_trigger_tgargs - 1] = true;
	tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls,
							  replace);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	InvokeObjectPostAlterHook(TriggerRelationId, trigger, 0);
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcache(rel);
}

/*
 * The same for the trigger of that name that calls emit(), of a table that the
 * caller has locked against writers.
 */
void
hce_ddl_write_trigger(Oid table, const char *name, List *arguments)
{
	Relation	rel = relation_open(table, NoLock);
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (strcmp(desc->triggers[i].tgname, name) == 0 &&
			hce_trigger_is_emit(desc->triggers[i].tgfoid))
			write_arguments(rel, desc->triggers[i].tgoid, arguments);
	}
	relation_close(rel, NoLock);
}

/* The trigger's arguments, taken apart. */
static HceSpecArgs *
parse_list(List *arguments)
{
	char	  **strings = palloc(sizeof(char *) * Max(list_length(arguments), 1));
	ListCell   *cell;
	int			count = 0;

	foreach(cell, arguments)
		strings[count++] = lfirst(cell);
	return hce_spec_args_parse(count, strings);
}

/* An attachment whose last transition is left out would publish nothing. */
static void
check_events_left(const HceFollow *follow)
{
	if (follow->lost_events == NIL || hce_attach_event_types(follow->now) != NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("without transitions \"%s\" of table \"%s\" would publish nothing",
					follow->now->resource, follow->table),
			 errhint("End the publishing with hcevents.detach() first.")));
}

/* Log what an attachment published and publishes. */
static void
log_followed(const Trigger *trigger, const HceFollow *follow)
{
	HceAttachment *attachment = hce_attachment_read(trigger->tgoid);

	if (attachment == NULL)
		return;
	attachment->parsed = follow->now;
	hce_attachment_log_write(follow->skipped != NIL || follow->lost_events != NIL ?
							 "skip" : "rename", attachment, follow->args,
							 follow->now);
}

/*
 * Take one trigger along.  What is said and logged is of the attachment, and
 * not of its clones on partitions.
 */
static void
follow_trigger(Relation rel, const HceChangedTable *table,
			   const Trigger *trigger)
{
	HceFollow	follow = {0};
	List	   *arguments;
	char	   *problem;

	follow.table = RelationGetRelationName(rel);
	follow.args = hce_spec_args_try(trigger->tgnargs, trigger->tgargs, &problem);
	if (follow.args == NULL)
	{
		if (!trigger->tgisclone)
			hce_ddl_report_unreadable(trigger->tgname, follow.table, problem);
		return;
	}
	follow.before = table->before;
	follow.after = CreateTupleDescCopy(RelationGetDescr(rel));
	follow.lost_key = table->lost_key;
	follow.primary_key = hce_spec_primary_key(rel);
	arguments = hce_ddl_arguments_follow(&follow, trigger);
	follow.now = follow.args;
	if (follow.changed)
	{
		follow.now = parse_list(arguments);
		check_events_left(&follow);
		write_arguments(rel, trigger->tgoid, arguments);
	}
	if (trigger->tgisclone)
		return;
	hce_ddl_report_follow(&follow);
	if (follow.changed)
		log_followed(trigger, &follow);
}

/* Take the attachments of a table along, or their clones on a partition. */
static void
follow_table(const HceChangedTable *table, bool clones)
{
	Relation	rel = try_relation_open(table->table, AccessShareLock);
	const TriggerDesc *desc;

	if (rel == NULL)
		return;					/* dropped as a whole */
	desc = CopyTriggerDesc(rel->trigdesc);
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgisclone == clones &&
			hce_trigger_is_emit(desc->triggers[i].tgfoid))
			follow_trigger(rel, table, &desc->triggers[i]);
	}
	relation_close(rel, NoLock);
}

/*
 * Take the attachments of tables along whose columns a command has changed:
 * a list of HceChangedTable.
 */
void
hce_ddl_follow(List *tables)
{
	ListCell   *cell;

	if (tables == NIL)
		return;
	/* attachments first: messages shall name the table that was attached */
	foreach(cell, tables)
		follow_table(lfirst(cell), false);
	foreach(cell, tables)
		follow_table(lfirst(cell), true);
	CommandCounterIncrement();
}
