/*-------------------------------------------------------------------------
 *
 * spec_literals.c
 *		Array and JSON literals in the arguments of an emit() trigger.
 *
 * What spec_args.c does not read itself: these take PostgreSQL's parsers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

/* The strings of an array literal of text. */
List *
hce_spec_args_array(const char *str)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *result = NIL;

	array = DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN,
													unconstify(char *, str),
													TEXTOID, -1));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a column list must not contain NULL")));
		result = lappend(result, TextDatumGetCString(elements[i]));
	}
	return result;
}

/* A string member of a transition; NULL if absent or null. */
static char *
transition_member(const JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(unconstify(JsonbContainer *, object),
									 name, (int) strlen(name),
									 &value) == NULL ||
		value.type == jbvNull)
		return NULL;
	if (value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("member \"%s\" of a transition must be a string", name)));
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Raise an error if a transition has a member that we do not know. */
static void
check_transition_members(JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		if (strcmp(name, "column") != 0 && strcmp(name, "from") != 0 &&
			strcmp(name, "to") != 0 && strcmp(name, "event") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown member \"%s\" of a transition", name),
					 errhint("A transition has \"column\", \"from\" (optional), \"to\" and \"event\".")));
	}
}

static HceTransitionArg *
parse_transition(const JsonbValue *element)
{
	HceTransitionArg *transition = palloc0(sizeof(HceTransitionArg));
	JsonbContainer *object;

	if (element->type != jbvBinary ||
		!JsonContainerIsObject(element->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a transition must be an object"),
				 errhint("Write transitions like [{\"column\":\"status\",\"to\":\"cancelled\",\"event\":\"cancelled\"}].")));
	object = element->val.binary.data;
	check_transition_members(object);
	transition->column = transition_member(object, "column");
	transition->from = transition_member(object, "from");
	transition->to = transition_member(object, "to");
	transition->event = transition_member(object, "event");
	if (transition->column == NULL || transition->to == NULL ||
		transition->event == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a transition needs \"column\", \"to\" and \"event\"")));
	return transition;
}

/* The list of HceTransitionArg that the JSON array holds. */
List *
hce_spec_args_transitions(const char *json)
{
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *result = NIL;

	jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
	if (!JB_ROOT_IS_ARRAY(jsonb) || JB_ROOT_IS_SCALAR(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("transitions must be a JSON array")));
	it = JsonbIteratorInit(&jsonb->root);
	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) == WJB_ELEM)
		result = lappend(result, parse_transition(&value));
	return result;
}
