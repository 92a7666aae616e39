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

#include "access/relation.h"
#include "capture/attach.h"
#include "capture/ddl.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* What a trigger publishes, or NULL when it is no attachment. */
HceAttachment *
hce_attachment_of(Relation rel, const Trigger *trigger)
{
	HceAttachment *result;
	HceSpecArgs *args;

	if (trigger == NULL || !hce_attach_is_ours(trigger))
		return NULL;
	args = hce_spec_args_parse(trigger->tgnargs, trigger->tgargs);
	result = palloc(sizeof(HceAttachment));
	result->table = RelationGetRelid(rel);
	result->table_name =
		quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
								   RelationGetRelationName(rel));
	result->trigger_name = pstrdup(trigger->tgname);
	result->resource = args->resource;
	result->columns = args->columns;
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

/*
 * Add a row; does nothing while the extension itself is dropped.
 *
 * "attachment" says which it is; "before" and "after" what it published and
 * publishes, NULL for nothing.
 */
void
hce_attachment_log_write(const char *action, const HceAttachment *attachment,
						 const HceAttachment *before,
						 const HceAttachment *after)
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
