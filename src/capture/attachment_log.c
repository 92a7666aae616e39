/*-------------------------------------------------------------------------
 *
 * attachment_log.c
 *		Who made which table publish: rows for hcevents.attachment_log.
 *
 * Whatever makes, changes or removes an attachment leaves a row, written by
 * ddl.c and ddl_follow.c when the command has run: inside a deletion the
 * catalogs are halfway.
 *
 * attach() with the arguments that are there runs no command and leaves no
 * row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "capture/attach.h"
#include "capture/ddl.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The arguments of a trigger, as the executor has them. */
static char **
read_arguments(Relation catalog, HeapTuple tuple, int count)
{
	char	  **result = palloc(sizeof(char *) * Max(count, 1));
	bool		isnull;
	Datum		bytes = heap_getattr(tuple, Anum_pg_trigger_tgargs,
									 RelationGetDescr(catalog), &isnull);
	const char *next = isnull ? NULL : VARDATA_ANY(DatumGetByteaPP(bytes));

	for (int i = 0; i < count; i++)
	{
		result[i] = pstrdup(next);
		next += strlen(next) + 1;
	}
	return result;
}

/* NULL if the table is gone: nothing here locks it. */
static HceAttachment *
make_attachment(Relation catalog, HeapTuple tuple)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	HeapTuple	table = SearchSysCache1(RELOID, ObjectIdGetDatum(form->tgrelid));
	HceAttachment *result;
	Form_pg_class class;
	char	   *schema;

	if (!HeapTupleIsValid(table))
		return NULL;
	class = (Form_pg_class) GETSTRUCT(table);
	schema = get_namespace_name(class->relnamespace);
	result = palloc0(sizeof(HceAttachment));
	result->table = form->tgrelid;
	result->owner = class->relowner;
	result->table_name = quote_qualified_identifier(schema, NameStr(class->relname));
	ReleaseSysCache(table);
	result->trigger_name = pstrdup(NameStr(form->tgname));
	result->nargs = form->tgnargs;
	result->args = read_arguments(catalog, tuple, form->tgnargs);
	return result;
}

/*
 * The attachment that a trigger is, in the current memory context; NULL if it
 * is none, or a partition's clone of one, or gone with its table.
 *
 * Takes no lock on the table and parses nothing, so that it can be called
 * while the trigger is being dropped.
 */
HceAttachment *
hce_attachment_read(Oid trigger)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	HceAttachment *result = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!form->tgisinternal && !OidIsValid(form->tgparentid) &&
			hce_trigger_is_emit(form->tgfoid))
			result = make_attachment(catalog, tuple);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/* Take the arguments of an attachment apart, if they make sense. */
void
hce_attachment_parse(HceAttachment *attachment)
{
	attachment->parsed = hce_spec_args_try(attachment->nargs, attachment->args,
										   NULL);
}

/* What an attachment is called, after hce_attachment_parse(). */
const char *
hce_attachment_resource(const HceAttachment *attachment)
{
	return attachment->parsed != NULL ? attachment->parsed->resource :
		HCE_UNREADABLE_RESOURCE;
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

/*
 * Add a row; does nothing while the extension itself is dropped.
 *
 * "attachment" says which it is, and is parsed; "before" and "after" what it
 * published and publishes, NULL for nothing or nobody knows what.
 *
 * A transaction that is read-only can write no row.  What it can end is the
 * attachment of a temporary table, by DISCARD.
 */
void
hce_attachment_log_write(const char *action, const HceAttachment *attachment,
						 const HceSpecArgs *before,
						 const HceSpecArgs *after)
{
	Oid			types[] = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, OIDOID,
	TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID};
	char		nulls[] = "         ";
	Datum		values[9];
	Oid			user;
	int			context;

	if (XactReadOnly || !have_log())
		return;
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
	values[2] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	values[3] = CStringGetTextDatum(action);
	values[4] = ObjectIdGetDatum(attachment->table);
	values[5] = CStringGetTextDatum(attachment->table_name);
	values[6] = CStringGetTextDatum(hce_attachment_resource(attachment));
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
