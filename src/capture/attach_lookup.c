/*-------------------------------------------------------------------------
 *
 * attach_lookup.c
 *		What attach(), detach() and the views over them have in common.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "capture/attach.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Open a table that the current user owns, with the weakest lock.
 *
 * has_privs_of_role() is what the server's own ownership check comes down to;
 * the function for that has another name in each version.
 */
Relation
hce_attach_open_owned(Oid target)
{
	Relation	rel = relation_open(target, AccessShareLock);
	char		kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errhint("Attach the tables that hold the rows; views and foreign tables cannot publish.")));
	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", RelationGetRelationName(rel)),
				 errhint("Run this as the table's owner or as a superuser.")));
	return rel;
}

/*
 * The oid of hcevents.emit(), InvalidOid if there is none.
 *
 * Not by LookupFuncName(), which wants USAGE on the schema: DDL on an attached
 * table is not to fail for want of that.
 */
Oid
hce_attach_emit_function(void)
{
	Oid			schema = get_namespace_oid("hcevents", true);

	if (!OidIsValid(schema))
		return InvalidOid;
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum("emit"),
						   PointerGetDatum(buildoidvector(NULL, 0)),
						   ObjectIdGetDatum(schema));
}

/* Is this a trigger that attach() or a user made for emit()? */
bool
hce_attach_is_ours(const Trigger *trigger)
{
	return !trigger->tgisinternal && !trigger->tgisclone &&
		hce_trigger_is_emit(trigger->tgfoid);
}

/*
 * Does the trigger fire as one of attach() does?  Then the attach() call says
 * all there is to say about it.
 */
bool
hce_attach_is_plain(const Trigger *trigger)
{
	return trigger->tgtype == (TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT |
							   TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE) &&
		trigger->tgqual == NULL && trigger->tgnattr == 0 &&
		!OidIsValid(trigger->tgconstraint);
}

/*
 * The trigger of that name; NULL if there is none.
 *
 * A copy: the relation cache may replace its own at any catalog access.
 */
const Trigger *
hce_attach_find_trigger(Relation rel, const char *name)
{
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (strcmp(desc->triggers[i].tgname, name) == 0)
			return &desc->triggers[i];
	}
	return NULL;
}

/* The strings of a text array. */
List *
hce_attach_list_of_array(ArrayType *array, const char *what)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *result = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"%s\" must not contain NULL", what)));
		result = lappend(result, TextDatumGetCString(elements[i]));
	}
	return result;
}

/* A text array of the strings. */
ArrayType *
hce_attach_array_of_list(List *strings)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	ListCell   *cell;
	int			count = 0;

	foreach(cell, strings)
		elements[count++] = CStringGetTextDatum(lfirst(cell));
	return construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/* The event types of the arguments, each once, in their order. */
List *
hce_attach_event_types(const HceSpecArgs *args)
{
	const char *actions[] = {args->on_insert, args->on_update, args->on_delete};
	List	   *result = NIL;
	List	   *unique = NIL;
	ListCell   *cell;

	if (args->always != NULL)
		return list_make1(args->always);
	for (int i = 0; i < (int) lengthof(actions); i++)
	{
		if (actions[i] != NULL)
			result = lappend(result, hce_spec_args_event_type(args, actions[i]));
	}
	foreach(cell, args->transitions)
		result = lappend(result,
						 hce_spec_args_event_type(args,
												  ((HceTransitionArg *) lfirst(cell))->event));
	foreach(cell, result)
	{
		ListCell   *known;
		bool		seen = false;

		foreach(known, unique)
			seen |= strcmp(lfirst(known), lfirst(cell)) == 0;
		if (!seen)
			unique = lappend(unique, lfirst(cell));
	}
	return unique;
}

/* Who owns emit(): the role that created the extension. */
Oid
hce_attach_extension_owner(void)
{
	Oid			function = hce_attach_emit_function();
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}
