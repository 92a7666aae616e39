/*-------------------------------------------------------------------------
 *
 * ddl_follow.c
 *		Takes attachments along when columns of their tables change, and
 *		refuses what would silently end them.
 *
 * New arguments are written into pg_trigger directly, as ALTER TRIGGER ...
 * RENAME writes the new name.  CREATE OR REPLACE TRIGGER would lose ENABLE
 * ALWAYS, what was set for single partitions, and the WHEN and OF of triggers
 * written by hand; it cannot replace a constraint trigger, and it would need
 * EXECUTE on emit().  The command that renames or drops the column holds
 * ACCESS EXCLUSIVE on the table, its children and its partitions, so nobody
 * else fires the trigger meanwhile; other sessions build its spec anew.
 *
 * What is refused here is refused to prevent accidents.  A table's owner can
 * end its publishing by ALTER TABLE ... DISABLE TRIGGER in any case, so
 * hcevents.on_missing_column gives nobody a right that he had not.
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
#include "parser/parse_func.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
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

static char *
joined(List *strings)
{
	StringInfoData out;
	ListCell   *cell;

	initStringInfo(&out);
	foreach(cell, strings)
		appendStringInfo(&out, "%s%s", out.len > 0 ? ", " : "",
						 (char *) lfirst(cell));
	return out.data;
}

/* Say what the events go on without. */
static void
report_skipped(const HceFollow *follow)
{
	if (follow->skipped != NIL)
		ereport(NOTICE,
				(errmsg("events of \"%s\" no longer publish: %s",
						follow->args->resource, joined(follow->skipped)),
				 errdetail("Columns of table \"%s\" were dropped, and hcevents.on_missing_column is skip.",
						   follow->table)));
	if (follow->lost_events != NIL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("no longer published: %s", joined(follow->lost_events)),
				 errdetail("The transitions depended on a column of table \"%s\" that was dropped, and hcevents.on_missing_column is skip.",
						   follow->table)));
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
check_events_left(const HceFollow *follow, const HceSpecArgs *args)
{
	if (follow->lost_events == NIL || hce_attach_event_types(args) != NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("without transitions \"%s\" of table \"%s\" would publish nothing",
					args->resource, follow->table),
			 errhint("End the publishing with hcevents.detach() first.")));
}

/* Log what an attachment published and publishes; clones have no rows. */
static void
log_followed(Relation rel, const Trigger *trigger, const HceFollow *follow,
			 const HceSpecArgs *args)
{
	HceAttachment *before = hce_attachment_of(rel, trigger);
	HceAttachment after;

	if (before == NULL)
		return;
	after = *before;
	after.columns = args->columns;
	hce_attachment_log_write(follow->skipped != NIL || follow->lost_events != NIL ?
							 "skip" : "rename", &after, before, &after);
}

/* Take one trigger along. */
static void
follow_trigger(Relation rel, const HceChangedTable *table,
			   const Trigger *trigger)
{
	HceFollow	follow = {0};
	List	   *arguments;
	HceSpecArgs *args;

	follow.before = table->before;
	follow.after = CreateTupleDescCopy(RelationGetDescr(rel));
	follow.lost_key = table->lost_key;
	follow.primary_key = hce_spec_primary_key(rel);
	follow.table = RelationGetRelationName(rel);
	follow.args = hce_spec_args_parse(trigger->tgnargs, trigger->tgargs);
	arguments = hce_ddl_arguments_follow(&follow, trigger);
	if (!follow.changed)
		return;
	args = parse_list(arguments);
	check_events_left(&follow, args);
	write_arguments(rel, trigger->tgoid, arguments);
	if (trigger->tgisclone)
		return;
	report_skipped(&follow);
	log_followed(rel, trigger, &follow, args);
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
	CommandCounterIncrement();
	/* attachments first: messages shall name the table that was attached */
	foreach(cell, tables)
		follow_table(lfirst(cell), false);
	foreach(cell, tables)
		follow_table(lfirst(cell), true);
	CommandCounterIncrement();
}

/* Does emit() exist?  Not when the extension has just been dropped. */
static bool
emit_exists(void)
{
	List	   *name = list_make2(makeString(pstrdup("hcevents")),
								  makeString(pstrdup("emit")));

	return OidIsValid(LookupFuncName(name, 0, NULL, true));
}

/*
 * Raise an error if this attachment must not be dropped: its table stays, and
 * it was not detach() that dropped the trigger.
 *
 * A session with check_function_bodies = off restores a dump (pg_dump writes
 * that into each): what pg_dump --clean drops is made again.
 */
void
hce_ddl_refuse_drop(const HceAttachment *attachment)
{
	if (hce_on_missing_column == HCE_MISSING_SKIP || !check_function_bodies ||
		!emit_exists())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop trigger \"%s\" of table %s: it publishes events of \"%s\"",
					attachment->trigger_name, attachment->table_name,
					attachment->resource),
			 strcmp(attachment->trigger_name,
					psprintf("%s%s", HCE_TRIGGER_PREFIX, attachment->resource)) == 0 ?
			 errhint("End the publishing with SELECT hcevents.detach(%s, %s), or set hcevents.on_missing_column to skip.",
					 quote_literal_cstr(attachment->table_name),
					 quote_literal_cstr(attachment->resource)) :
			 errhint("To drop a trigger written by hand, set hcevents.on_missing_column to skip. hcevents.detach() drops all triggers of a resource.")));
}
