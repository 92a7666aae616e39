/*-------------------------------------------------------------------------
 *
 * attachment_log.c
 *		Who made which table publish: rows for hcevents.attachment_log.
 *
 * Whatever makes or removes an attachment does it by CREATE TRIGGER or by
 * dropping the trigger, attach() and detach() too, so this is where it is
 * seen: in the utility hook what is made, in the object access hook what is
 * dropped, which has been told of all triggers that a DROP TABLE, SCHEMA or
 * OWNED takes with it.  Rows are written when the command has run: inside a
 * deletion the catalogs are halfway.
 *
 * attach() with the arguments that are there runs no command and leaves no
 * row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "capture/attach.h"
#include "capture/capture.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* An attachment as it was; in memory of the transaction. */
typedef struct Attachment
{
	Oid			table;
	char	   *table_name;
	char	   *resource;
	List	   *columns;
} Attachment;

static object_access_hook_type next_object_access = NULL;
static ProcessUtility_hook_type next_ProcessUtility = NULL;

/* Attachments dropped by the utility command that runs; NIL when none does. */
static List *dropped = NIL;
static int	depth = 0;

/* What a trigger publishes, or NULL when it is no attachment. */
static Attachment *
attachment_of(Relation rel, const Trigger *trigger)
{
	Attachment *result;
	HceSpecArgs *args;

	if (trigger == NULL || !hce_attach_is_ours(trigger))
		return NULL;
	args = hce_spec_args_parse(trigger->tgnargs, trigger->tgargs);
	result = palloc(sizeof(Attachment));
	result->table = RelationGetRelid(rel);
	result->table_name =
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
								   RelationGetRelationName(rel));
	result->resource = args->resource;
	result->columns = args->columns;
	return result;
}

/* The attachment that CREATE TRIGGER replaces or has made. */
static Attachment *
attachment_named(const CreateTrigStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	Relation	rel = OidIsValid(relid) ?
		try_relation_open(relid, AccessShareLock) : NULL;
	Attachment *result;

	if (rel == NULL)
		return NULL;
	result = attachment_of(rel, hce_attach_find_trigger(rel, stmt->trigname));
	relation_close(rel, AccessShareLock);
	return result;
}

/* Is the table there, and the extension's? */
static bool
have_log(void)
{
	Oid			extension = get_extension_oid("hcevents", true);
	Oid			schema = get_namespace_oid("hcevents", true);
	Oid			table;

	if (!OidIsValid(extension) || !OidIsValid(schema))
		return false;
	table = get_relname_relid("attachment_log", schema);
	return OidIsValid(table) &&
		getExtensionOfObject(RelationRelationId, table) == extension;
}

/* Add a row; does nothing while the extension itself is dropped. */
static void
write_row(const char *action, const Attachment *attachment,
		  const Attachment *before, const Attachment *after)
{
	Oid			types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, OIDOID,
	TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID};
	char		nulls[] = "         ";
	Datum		values[9];
	Oid			user;
	int			context;

	if (!have_log())
		return;
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
	values[2] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	values[3] = CStringGetTextDatum(action);
	values[4] = ObjectIdGetDatum(attachment->table);
	values[5] = CStringGetTextDatum(attachment->table_name);
	values[6] = CStringGetTextDatum(attachment->resource);
	if (before != NULL)
		values[7] = PointerGetDatum(hce_attach_array_of_list(before->columns));
	else
		nulls[7] = 'n';
	if (after != NULL)
		values[8] = PointerGetDatum(hce_attach_array_of_list(after->columns));
	else
		nulls[8] = 'n';

	/* nobody else may write the table; an error restores the user by itself */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(hce_attach_extension_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO hcevents.attachment_log (time, role,"
							  " session_role, action, table_oid, table_name,"
							  " resource, columns_before, columns_after)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
							  9, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write hcevents.attachment_log");
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

static void
write_created(const Attachment *before, const Attachment *after)
{
	if (after != NULL)
		write_row(before != NULL ? "replace" : "attach", after, before, after);
	else if (before != NULL)
		write_row("detach", before, before, NULL);
}

static void
write_dropped(List *attachments)
{
	ListCell   *cell;

	foreach(cell, attachments)
	{
		Attachment *attachment = lfirst(cell);
		bool		exists = SearchSysCacheExists1(RELOID,
												   ObjectIdGetDatum(attachment->table));

		write_row(exists ? "detach" : "drop", attachment, attachment, NULL);
	}
}

/* A trigger is about to be dropped: remember it when it is an attachment. */
static void
note_dropped(Oid trigger_oid)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;
	Relation	rel;
	const TriggerDesc *desc;
	MemoryContext old;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger_oid));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		!OidIsValid(((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid) &&
		hce_trigger_is_emit(((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid))
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (!OidIsValid(relid) ||
		(rel = try_relation_open(relid, AccessShareLock)) == NULL)
		return;
	desc = CopyTriggerDesc(rel->trigdesc);
	old = MemoryContextSwitchTo(TopTransactionContext);
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		Attachment *attachment = desc->triggers[i].tgoid == trigger_oid ?
			attachment_of(rel, &desc->triggers[i]) : NULL;

		if (attachment != NULL)
			dropped = lappend(dropped, attachment);
	}
	MemoryContextSwitchTo(old);
	relation_close(rel, NoLock);
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id,
			  int sub_id, void *arg)
{
	if (next_object_access)
		next_object_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == TriggerRelationId && depth > 0)
		note_dropped(object_id);
}

static void
log_utility(PlannedStmt *pstmt, const char *queryString,
			bool readOnlyTree, ProcessUtilityContext context,
			ParamListInfo params, QueryEnvironment *queryEnv,
			DestReceiver *dest, QueryCompletion *qc)
{
	/* volatile for PG_TRY */
	const CreateTrigStmt *volatile create =
		IsA(pstmt->utilityStmt, CreateTrigStmt) && !IsBinaryUpgrade ? (const CreateTrigStmt *) pstmt->utilityStmt : NULL;
	Attachment *before = create != NULL ? attachment_named(create) : NULL;
	List	   *outer = dropped;
	List	   *mine;

	dropped = NIL;
	depth++;
	PG_TRY();
	{
		if (next_ProcessUtility)
			next_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
								queryEnv, dest, qc);
		else
			standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
									params, queryEnv, dest, qc);
	}
	PG_FINALLY();
	{
		mine = dropped;
		dropped = outer;
		depth--;
	}
	PG_END_TRY();

	if (create != NULL)
		write_created(before, attachment_named(create));
	write_dropped(mine);
}

/* Called from hce_capture_init. */
void
hce_attachment_log_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = object_access;
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = log_utility;
}
