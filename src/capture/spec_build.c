/*-------------------------------------------------------------------------
 *
 * spec_build.c
 *		Resolving a trigger's arguments against its table.
 *
 * The same code serves CREATE TRIGGER, where everything that does not fit is
 * an error ("strict"), and the firing trigger, where a column that is gone
 * must not fail the write: there the spec remembers the problem and each
 * event becomes a capture failure.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "event/json_text.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* The longest topic name that Kafka takes. */
#define MAX_TOPIC	249

typedef struct Builder
{
	HceSpec    *spec;
	Relation	rel;
	const HceSpecArgs *args;
	bool		strict;
} Builder;

/* The table does not have what the arguments name. */
static void
report_problem(Builder *builder, int sqlerrcode, char *problem,
			   const char *hint)
{
	if (builder->strict)
		ereport(ERROR,
				(errcode(sqlerrcode), errmsg_internal("%s", problem),
				 errhint("%s", hint)));
	if (builder->spec->problem != NULL)
		return;
	builder->spec->problem_reason = "missing_column";
	builder->spec->problem = problem;
}

/* The number of a column by its name; InvalidAttrNumber if there is none. */
AttrNumber
hce_spec_column_number(TupleDesc tupdesc, const char *name)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

/*
 * Find the column that an element of a column list means.
 *
 * An element that is the name of a column is that column; else it is
 * published:column, split at the first colon behind which the name of a
 * column stands (a published name may hold colons too: that of a renamed
 * column "a:b").  Returns InvalidAttrNumber if there is none.  "published" is
 * set in the current memory context.
 */
AttrNumber
hce_spec_find_column(TupleDesc tupdesc, const char *element, char **published)
{
	AttrNumber	number = hce_spec_column_number(tupdesc, element);
	const char *colon = element;

	if (number != InvalidAttrNumber)
		*published = pstrdup(element);
	while (number == InvalidAttrNumber && (colon = strchr(colon, ':')) != NULL)
	{
		number = hce_spec_column_number(tupdesc, colon + 1);
		if (number != InvalidAttrNumber)
			*published = pnstrdup(element, colon - element);
		colon++;
	}
	return number;
}

/* The names of the primary key's columns, in its order; NIL if none. */
List *
hce_spec_primary_key(Relation rel)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; index->indisprimary && i < index->indnkeyatts; i++)
		{
			AttrNumber	attnum = index->indkey.values[i];

			result = lappend(result, get_attname(RelationGetRelid(rel), attnum,
												 false));
		}
		ReleaseSysCache(tuple);
	}
	return result;
}

/* Prepare a column; false if the table does not have it. */
static bool
init_column(Builder *builder, HceColumn *column, const char *element)
{
	HceSpec    *spec = builder->spec;

	column->attnum = hce_spec_find_column(spec->tupdesc, element,
										  &column->published);
	if (column->attnum == InvalidAttrNumber)
	{
		report_problem(builder, ERRCODE_UNDEFINED_COLUMN,
					   psprintf("column \"%s\" of table \"%s\" does not exist",
								element, RelationGetRelationName(builder->rel)),
					   "Name columns of the table; \"published_name:column\" publishes one under another name.");
		return false;
	}
	column->name = pstrdup(NameStr(TupleDescAttr(spec->tupdesc,
												 column->attnum - 1)->attname));
	hce_encoder_init(&column->encoder,
					 TupleDescAttr(spec->tupdesc, column->attnum - 1)->atttypid,
					 spec->context);
	spec->last_attnum = Max(spec->last_attnum, column->attnum);
	spec->user_code |= column->encoder.user_code;
	return true;
}

/* Prepare the columns of a list; stops at the first that does not exist. */
static HceColumn *
init_columns(Builder *builder, List *elements, int *count)
{
	HceColumn  *columns = palloc0(sizeof(HceColumn) * Max(list_length(elements), 1));
	ListCell   *cell;

	*count = 0;
	foreach(cell, elements)
	{
		if (!init_column(builder, &columns[*count], lfirst(cell)))
			break;
		(*count)++;
	}
	return columns;
}

static void
init_keys(Builder *builder)
{
	List	   *key = builder->args->key;

	if (key == NIL)
		key = hce_spec_primary_key(builder->rel);
	if (key == NIL)
		report_problem(builder, ERRCODE_INVALID_TABLE_DEFINITION,
					   psprintf("table \"%s\" has no primary key",
								RelationGetRelationName(builder->rel)),
					   "Add a primary key, or name the columns that identify a row: key => '{id}', or 'key=id' in a trigger.");
	builder->spec->keys = init_columns(builder, key, &builder->spec->nkeys);
}

/* "id" is the name of the member that is there besides; NULL if none is. */
static const char *
name_given_twice(const HceColumn *columns, int count, const char *id)
{
	for (int i = 0; i < count; i++)
	{
		const char *name = columns[i].published;

		if (id != NULL && strcmp(name, id) == 0)
			return name;
		for (int j = 0; j < i; j++)
		{
			if (strcmp(name, columns[j].published) == 0)
				return name;
		}
	}
	return NULL;
}

/*
 * A name that two columns are published by, which is one too many for a JSON
 * object; NULL if there is none.
 */
const char *
hce_spec_published_twice(const HceSpec *spec)
{
	const char *result = name_given_twice(spec->columns, spec->ncolumns,
										  psprintf("%s_id", spec->resource));

	return result != NULL ? result :
		name_given_twice(spec->keys, spec->nkeys, NULL);
}

static HceAction *
make_action(Builder *builder, char *event_type)
{
	HceAction  *action = palloc0(sizeof(HceAction));
	char		topic[MAX_TOPIC + 1];

	if (builder->strict &&
		!hce_topic_name(event_type, builder->spec->schema, topic, sizeof(topic)))
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("the topic name of event type \"%s\" is longer than %d characters",
						event_type, MAX_TOPIC),
				 errhint("Use a shorter event type, or a shorter \"%s\".",
						 "hcevents.topic_prefix")));
	action->event_type = event_type;
	return action;
}

static HceAction *
make_optional_action(Builder *builder, const char *action)
{
	if (action == NULL)
		return NULL;
	return make_action(builder, hce_spec_args_event_type(builder->args, action));
}

static void
init_transitions(Builder *builder)
{
	HceSpec    *spec = builder->spec;
	ListCell   *cell;

	spec->transitions = palloc0(sizeof(HceTransition) *
								Max(list_length(builder->args->transitions), 1));
	foreach(cell, builder->args->transitions)
	{
		const HceTransitionArg *arg = lfirst(cell);
		HceTransition *transition = &spec->transitions[spec->ntransitions];
		Oid			output;
		bool		is_varlena;

		if (!init_column(builder, &transition->column, arg->column))
			break;
		transition->text = transition->column.encoder.kind == HCE_VALUE_TEXT;
		getTypeOutputInfo(transition->column.encoder.type, &output, &is_varlena);
		fmgr_info_cxt(output, &transition->output, spec->context);
		transition->from = arg->from;
		transition->to = arg->to;
		transition->action = make_optional_action(builder, arg->event);
		spec->ntransitions++;
	}
}

static void
init_actions(Builder *builder)
{
	HceSpec    *spec = builder->spec;

	if (builder->args->always != NULL)
		spec->always = make_action(builder, builder->args->always);
	spec->on_insert = make_optional_action(builder, builder->args->on_insert);
	spec->on_update = make_optional_action(builder, builder->args->on_update);
	spec->on_delete = make_optional_action(builder, builder->args->on_delete);
}

/* "text" in UTF-8; what has no UTF-8 form loses everything but ASCII. */
static char *
utf8_name(const char *str)
{
	char	   *result = hce_utf8_from_server(str);

	if (result != NULL)
		return result;
	result = pstrdup(str);
	for (char *p = result; *p; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			*p = '?';
	}
	return result;
}

/* The names of the table that was attached. */
static void
init_names(Builder *builder, const Trigger *trigger)
{
	HceSpec    *spec = builder->spec;
	char	   *schema;

	spec->root = RelationGetRelid(builder->rel);
	if (trigger->tgisclone)
		(void) hce_spec_topmost_trigger(trigger->tgoid, &spec->root);
	spec->table_label = get_rel_name(spec->root);
	schema = get_namespace_name(get_rel_namespace(spec->root));
	if (spec->table_label == NULL || schema == NULL)
		elog(ERROR, "cache lookup failed for relation %u", spec->root);
	spec->table = utf8_name(spec->table_label);
	spec->schema = utf8_name(schema);
	spec->trigger_name = pstrdup(trigger->tgname);
}

/*
 * Build the spec of a trigger, in a memory context of its own under the
 * current one.
 */
HceSpec *
hce_spec_build(Relation rel, const Trigger *trigger, bool strict)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "hcevents attachment",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HceSpec    *spec = palloc0(sizeof(HceSpec));
	HceSpecArgs *args = hce_spec_args_parse(trigger->tgnargs, trigger->tgargs);
	Builder		builder = {spec, rel, args, strict};

	spec->trigger = trigger->tgoid;
	spec->relation = RelationGetRelid(rel);
	spec->context = context;
	spec->resource = args->resource;
	spec->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	init_names(&builder, trigger);
	init_actions(&builder);
	init_keys(&builder);
	hce_spec_init_tree(spec, rel);
	spec->columns = init_columns(&builder, args->columns, &spec->ncolumns);
	init_transitions(&builder);
	MemoryContextSwitchTo(old);
	return spec;
}
