/*-------------------------------------------------------------------------
 *
 * attach.c
 *		attach() and detach(): which tables publish.
 *
 * An attachment is one trigger, hcevents_<resource>, with everything in its
 * arguments.  Attaching again with the same arguments finds the same trigger
 * and leaves it alone, under no lock above ACCESS SHARE, so that migrations
 * can call attach() at each start of an application.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "capture/attach.h"
#include "capture/ddl.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(hce_attach);
PG_FUNCTION_INFO_V1(hce_detach);

static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"%s\" must not be NULL", name)));
}

/* No option exists yet; a later version may know some. */
static void
check_options(Jsonb *options)
{
	JsonbIterator *it;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object")));
	if (JB_ROOT_COUNT(options) == 0)
		return;
	it = JsonbIteratorInit(&options->root);
	(void) JsonbIteratorNext(&it, &value, true);
	(void) JsonbIteratorNext(&it, &value, true);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown option \"%s\"",
					pnstrdup(value.val.string.val, value.val.string.len)),
			 errhint("This version of hcevents knows no options.")));
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static List *
list_argument(FunctionCallInfo fcinfo, int n, const char *what)
{
	return PG_ARGISNULL(n) ? NIL :
		hce_attach_list_of_array(PG_GETARG_ARRAYTYPE_P(n), what);
}

static char *
array_literal(List *strings)
{
	return OidOutputFunctionCall(F_ARRAY_OUT,
								 PointerGetDatum(hce_attach_array_of_list(strings)));
}

/* Add "name=value" to the trigger's arguments. */
static List *
add_argument(List *arguments, const char *name, const char *value)
{
	return value == NULL ? arguments :
		lappend(arguments, psprintf("%s=%s", name, value));
}

/* The trigger's arguments, in the one order that makes them comparable. */
static List *
trigger_arguments(FunctionCallInfo fcinfo, Relation rel)
{
	char	   *resource = text_argument(fcinfo, 1);
	List	   *columns = list_argument(fcinfo, 2, "columns");
	Jsonb	   *transitions = PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6);
	List	   *key = list_argument(fcinfo, 7, "key");
	List	   *result = NIL;

	hce_spec_check_resource(resource);
	columns = hce_attach_columns(rel, resource, columns,
								 key != NIL ? key : hce_spec_primary_key(rel));
	result = add_argument(result, "resource", resource);
	result = add_argument(result, "insert", text_argument(fcinfo, 3));
	result = add_argument(result, "update", text_argument(fcinfo, 4));
	result = add_argument(result, "delete", text_argument(fcinfo, 5));
	if (columns != NIL)
		result = add_argument(result, "columns", array_literal(columns));
	if (key != NIL)
		result = add_argument(result, "key", array_literal(key));
	if (transitions != NULL &&
		!(JB_ROOT_IS_ARRAY(transitions) && JB_ROOT_COUNT(transitions) == 0))
		result = add_argument(result, "transitions",
							  JsonbToCString(NULL, &transitions->root,
											 VARSIZE(transitions)));
	return result;
}

static bool
same_arguments(const Trigger *trigger, List *arguments)
{
	ListCell   *cell;
	int			i = 0;

	if (!hce_attach_is_ours(trigger) ||
		!hce_attach_is_plain(trigger) ||
		trigger->tgenabled == TRIGGER_DISABLED ||
		trigger->tgnargs != list_length(arguments))
		return false;
	foreach(cell, arguments)
	{
		if (strcmp(trigger->tgargs[i++], lfirst(cell)) != 0)
			return false;
	}
	return true;
}

/* A trigger of that name which is not ours is somebody else's. */
static void
check_name_is_free(Relation rel, const Trigger *trigger)
{
	if (trigger == NULL || hce_trigger_is_emit(trigger->tgfoid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("table \"%s\" has a trigger \"%s\" that does not call hcevents.emit()",
					RelationGetRelationName(rel), trigger->tgname),
			 errhint("Rename or drop that trigger, or use another resource name.")));
}

static char *
qualified_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/*
 * A trigger of attach() that somebody renamed publishes the resource already;
 * with a second one each change would be two events.
 */
static void
check_not_renamed(Relation rel, const char *name, const char *resource)
{
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];
		HceSpecArgs *args;

		if (!hce_attach_is_ours(trigger) || !hce_attach_is_plain(trigger))
			continue;
		args = hce_spec_args_try(trigger->tgnargs, trigger->tgargs, NULL);
		if (args != NULL && args->always == NULL &&
			strcmp(args->resource, resource) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("trigger \"%s\" of table \"%s\" publishes resource \"%s\" already",
							trigger->tgname, RelationGetRelationName(rel), resource),
					 errhint("Give it the name that hcevents.attach() looks for: ALTER TRIGGER %s ON %s RENAME TO %s.",
							 quote_identifier(trigger->tgname),
							 qualified_name(rel), quote_identifier(name))));
	}
}

/*
 * Make the trigger, or give the one that is there these arguments.  It goes on
 * firing where it did, on a subscriber too (ENABLE ALWAYS, ENABLE REPLICA), but
 * one that was disabled fires again.
 *
 * The table is locked first, before any partition, as a writer locks them; what
 * there is is looked at again then.
 */
static void
write_trigger(Relation rel, const char *name, List *arguments)
{
	const Trigger *trigger;
	bool		fires;

	PreventCommandIfReadOnly("hcevents.attach()");
	LockRelationOid(RelationGetRelid(rel), ShareRowExclusiveLock);
	trigger = hce_attach_find_trigger(rel, name);
	check_name_is_free(rel, trigger);
	fires = trigger != NULL && trigger->tgenabled != TRIGGER_DISABLED;
	if (fires && hce_attach_is_ours(trigger) && hce_attach_is_plain(trigger))
		hce_ddl_attach_again(rel, trigger, arguments);
	else
		hce_ddl_attach(rel, name, arguments,
					   fires ? trigger->tgenabled : TRIGGER_FIRES_ON_ORIGIN);
}

/* Rows of a child table fire the child's triggers, not the parent's. */
static void
report_children(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		ereport(NOTICE,
				(errmsg("table \"%s\" has child tables, whose rows are not published",
						RelationGetRelationName(rel)),
				 errhint("Attach each child table as well.")));
}

/*
 * attach(target, resource, columns, on_insert, on_update, on_delete,
 *		  transitions, key, options) returns text[]
 */
Datum
hce_attach(PG_FUNCTION_ARGS)
{
	Relation	rel;
	List	   *arguments;
	HceSpecArgs *args;
	char	  **strings;
	char	   *name;
	const Trigger *trigger;
	ListCell   *cell;
	int			count = 0;

	require_argument(fcinfo, 0, "target");
	require_argument(fcinfo, 1, "resource");
	rel = hce_attach_open_owned(PG_GETARG_OID(0));
	if (!PG_ARGISNULL(8))
		check_options(PG_GETARG_JSONB_P(8));
	arguments = trigger_arguments(fcinfo, rel);
	strings = palloc(sizeof(char *) * list_length(arguments));
	foreach(cell, arguments)
		strings[count++] = lfirst(cell);
	args = hce_spec_args_parse(count, strings);
	if (hce_attach_event_types(args) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an attachment without any event publishes nothing"),
				 errhint("Give at least one of on_insert, on_update, on_delete and transitions, or use hcevents.detach().")));

	name = psprintf("%s%s", HCE_TRIGGER_PREFIX, args->resource);
	trigger = hce_attach_find_trigger(rel, name);
	check_name_is_free(rel, trigger);
	if (trigger == NULL)
		check_not_renamed(rel, name, args->resource);
	report_children(rel);
	if (trigger == NULL || !same_arguments(trigger, arguments))
		write_trigger(rel, name, arguments);
	relation_close(rel, NoLock);
	PG_RETURN_ARRAYTYPE_P(hce_attach_array_of_list(hce_attach_event_types(args)));
}

/*
 * Is it a trigger of this resource?  One whose arguments cannot be read is, if
 * it has the name that attach() would give it.
 */
static bool
is_of_resource(const Trigger *trigger, const char *resource)
{
	HceSpecArgs *args = hce_spec_args_try(trigger->tgnargs, trigger->tgargs,
										  NULL);

	return args != NULL ? strcmp(args->resource, resource) == 0 :
		strcmp(trigger->tgname,
			   psprintf("%s%s", HCE_TRIGGER_PREFIX, resource)) == 0;
}

/* The names of the table's emit() triggers for a resource, or all (NULL). */
static List *
triggers_of(Relation rel, const char *resource)
{
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);
	List	   *result = NIL;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		if (!hce_attach_is_ours(trigger))
			continue;
		if (resource == NULL || is_of_resource(trigger, resource))
			result = lappend(result, pstrdup(trigger->tgname));
	}
	return result;
}

/*
 * detach(target, resource) returns int: how many triggers were dropped.
 */
Datum
hce_detach(PG_FUNCTION_ARGS)
{
	char	   *resource = text_argument(fcinfo, 1);
	Relation	rel;
	char	   *table;
	List	   *names;
	ListCell   *cell;

	require_argument(fcinfo, 0, "target");
	rel = hce_attach_open_owned(PG_GETARG_OID(0));
	names = triggers_of(rel, resource);
	table = qualified_name(rel);
	if (names == NIL)
		ereport(NOTICE,
				(errmsg("table \"%s\" publishes no events%s%s",
						RelationGetRelationName(rel),
						resource ? " as resource " : "", resource ? resource : ""),
				 rel->rd_rel->relispartition ?
				 errhint("Detach the partitioned table instead of its partition.") :
				 errhint("The view hcevents.attachments shows what is attached.")));

	/* DROP TRIGGER refuses while we have the table open */
	relation_close(rel, NoLock);
	foreach(cell, names)
		hce_ddl_detach(psprintf("DROP TRIGGER %s ON %s",
								quote_identifier(lfirst(cell)), table));
	PG_RETURN_INT32(list_length(names));
}
