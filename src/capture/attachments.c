/*-------------------------------------------------------------------------
 *
 * attachments.c
 *		What the view hcevents.attachments tells of a trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "capture/attach.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(hce_attachment);

#define COLUMNS_OF_ATTACHMENT	7

/* Columns of the table that neither the key nor the list publishes. */
static List *
unpublished_columns(const HceSpec *spec)
{
	List	   *result = NIL;

	for (int i = 0; i < spec->tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(spec->tupdesc, i);
		bool		published = att->attisdropped;

		for (int j = 0; j < spec->ncolumns; j++)
			published |= spec->columns[j].attnum == att->attnum;
		for (int j = 0; j < spec->nkeys; j++)
			published |= spec->keys[j].attnum == att->attnum;
		if (!published)
			result = lappend(result, pstrdup(NameStr(att->attname)));
	}
	return result;
}

static char *
literal_of_list(List *strings)
{
	return quote_literal_cstr(OidOutputFunctionCall(F_ARRAY_OUT,
													PointerGetDatum(hce_attach_array_of_list(strings))));
}

static void
append_action(StringInfo out, const char *name, const char *value,
			  const char *by_default)
{
	if (value == NULL)
		appendStringInfo(out, ", %s => NULL", name);
	else if (strcmp(value, by_default) != 0)
		appendStringInfo(out, ", %s => %s", name, quote_literal_cstr(value));
}

/* The text after "transitions=" in the trigger's arguments; NULL if none. */
static const char *
transitions_text(const Trigger *trigger)
{
	static const char option[] = "transitions=";

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		if (strncmp(trigger->tgargs[i], option, sizeof(option) - 1) == 0)
			return trigger->tgargs[i] + sizeof(option) - 1;
	}
	return NULL;
}

/*
 * Whatever a trigger that is made anew needs besides: it fires on the origin
 * only.
 */
static void
append_firing(StringInfo out, const char *table, const Trigger *trigger)
{
	const char *verb;

	switch (trigger->tgenabled)
	{
		case TRIGGER_FIRES_ALWAYS:
			verb = "ENABLE ALWAYS";
			break;
		case TRIGGER_FIRES_ON_REPLICA:
			verb = "ENABLE REPLICA";
			break;
		case TRIGGER_DISABLED:
			verb = "DISABLE";
			break;
		default:
			return;
	}
	appendStringInfo(out, "; ALTER TABLE %s %s TRIGGER %s", table, verb,
					 quote_identifier(trigger->tgname));
}

/* The attach() call that makes it again. */
static void
append_attach(StringInfo out, const char *table, const Trigger *trigger,
			  const HceSpecArgs *args)
{
	const char *transitions = transitions_text(trigger);

	appendStringInfo(out, "SELECT hcevents.attach(%s, %s",
					 quote_literal_cstr(table), quote_literal_cstr(args->resource));
	if (args->columns != NIL)
		appendStringInfo(out, ", %s", literal_of_list(args->columns));
	append_action(out, "on_insert", args->on_insert, "created");
	append_action(out, "on_update", args->on_update, "updated");
	append_action(out, "on_delete", args->on_delete, "deleted");
	if (transitions != NULL)
		appendStringInfo(out, ", transitions => %s", quote_literal_cstr(transitions));
	if (args->key != NIL)
		appendStringInfo(out, ", key => %s", literal_of_list(args->key));
	appendStringInfoChar(out, ')');
}

/*
 * What makes it again: the attach() call, or the CREATE TRIGGER where that
 * says more, and an ALTER TABLE where the trigger does not fire as usual.
 * "args" is NULL where they cannot be read.
 */
static char *
definition_of(Relation rel, const Trigger *trigger, const HceSpecArgs *args)
{
	StringInfoData out;
	char	   *table;

	initStringInfo(&out);
	table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									   RelationGetRelationName(rel));
	if (args == NULL || args->always != NULL || !hce_attach_is_plain(trigger) ||
		strcmp(trigger->tgname, psprintf("%s%s", HCE_TRIGGER_PREFIX, args->resource)) != 0)
		appendStringInfoString(&out,
							   TextDatumGetCString(DirectFunctionCall1(pg_get_triggerdef,
																	   ObjectIdGetDatum(trigger->tgoid))));
	else
		append_attach(&out, table, trigger, args);
	append_firing(&out, table, trigger);
	return out.data;
}

static Datum
array_datum(List *strings)
{
	return PointerGetDatum(hce_attach_array_of_list(strings));
}

static const Trigger *
find_trigger(Relation rel, Oid oid)
{
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgoid == oid)
			return &desc->triggers[i];
	}
	return NULL;
}

/* A trigger whose arguments cannot be read: there is no telling what of. */
static void
fill_unreadable(Relation rel, const Trigger *trigger, Datum *values)
{
	values[0] = CStringGetTextDatum(HCE_UNREADABLE_RESOURCE);
	values[1] = values[2] = values[3] = array_datum(NIL);
	values[4] = BoolGetDatum(false);
	values[5] = array_datum(NIL);
	values[6] = CStringGetTextDatum(definition_of(rel, trigger, NULL));
}

static void
fill_values(Relation rel, const Trigger *trigger, Datum *values)
{
	HceSpecArgs *args = hce_spec_args_try(trigger->tgnargs, trigger->tgargs,
										  NULL);
	HceSpec    *spec;

	if (args == NULL)
	{
		fill_unreadable(rel, trigger, values);
		return;
	}
	spec = hce_spec_build(rel, trigger, false);
	values[0] = CStringGetTextDatum(args->resource);
	values[1] = array_datum(hce_attach_event_types(args));
	values[2] = array_datum(args->columns);
	values[3] = array_datum(args->key != NIL ? args->key : hce_spec_primary_key(rel));
	values[4] = BoolGetDatum(spec->problem == NULL);
	values[5] = array_datum(unpublished_columns(spec));
	values[6] = CStringGetTextDatum(definition_of(rel, trigger, args));
	MemoryContextDelete(spec->context);
}

/*
 * attachment(relation oid, trigger oid) returns one row, NULLs if the trigger
 * is gone meanwhile.
 */
Datum
hce_attachment(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[COLUMNS_OF_ATTACHMENT] = {0};
	bool		nulls[COLUMNS_OF_ATTACHMENT];
	Relation	rel;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	rel = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	if (rel != NULL)
	{
		const Trigger *trigger = find_trigger(rel, PG_GETARG_OID(1));

		if (trigger != NULL && hce_attach_is_ours(trigger))
		{
			fill_values(rel, trigger, values);
			memset(nulls, false, sizeof(nulls));
		}
		relation_close(rel, AccessShareLock);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values,
											 nulls));
}
