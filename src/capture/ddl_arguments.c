/*-------------------------------------------------------------------------
 *
 * ddl_arguments.c
 *		A trigger's arguments, after columns of its table were renamed or
 *		dropped.
 *
 * The arguments name columns, and PostgreSQL does not know.  A column that is
 * renamed keeps its published name: "name" becomes "name:full_name", and
 * "name" again when the column is renamed back.  A column that is dropped is
 * refused, or left out.
 *
 * The text of everything else stays, so that attach() with the arguments of
 * old finds nothing to do once all columns have their old names.  What became
 * of each column is looked up in ddl_columns.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attach.h"
#include "capture/ddl.h"
#include "lib/stringinfo.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

/* Can the strings be written with commas between them? */
static bool
needs_no_array(List *strings)
{
	ListCell   *cell;

	foreach(cell, strings)
	{
		const char *str = lfirst(cell);
		Size		len = strlen(str);

		if (len == 0 || str[0] == '{' || strchr(str, ',') != NULL ||
			isspace((unsigned char) str[0]) ||
			isspace((unsigned char) str[len - 1]))
			return false;
	}
	return true;
}

/* The text of a list, in the style of the text that it replaces. */
static char *
list_text(List *strings, const char *like)
{
	const char *comma = strchr(like, ',');
	StringInfoData out;
	ListCell   *cell;

	while (isspace((unsigned char) *like))
		like++;
	if (*like == '{' || !needs_no_array(strings))
		return OidOutputFunctionCall(F_ARRAY_OUT,
									 PointerGetDatum(hce_attach_array_of_list(strings)));
	initStringInfo(&out);
	foreach(cell, strings)
		appendStringInfo(&out, "%s%s", cell == list_head(strings) ? "" :
						 comma != NULL && comma[1] == ' ' ? ", " : ",",
						 (char *) lfirst(cell));
	return out.data;
}

/*
 * The value of "columns=" or "key=", as it has to be now; NULL if nothing is
 * left of it.  Returns "str" itself when nothing changes.
 */
static const char *
follow_list(HceFollow *follow, const char *str, HceUse use)
{
	List	   *elements = hce_spec_args_list(str);
	List	   *result = NIL;
	ListCell   *cell;
	bool		changed = false;

	foreach(cell, elements)
	{
		const char *element = lfirst(cell);
		char	   *now = hce_ddl_follow_element(follow, element, use);

		if (now == NULL)
			follow->skipped = lappend(follow->skipped, pstrdup(element));
		else
			result = lappend(result, now);
		changed |= now == NULL || strcmp(now, element) != 0;
	}
	if (!changed)
		return str;
	follow->changed = true;
	return result == NIL ? NULL : list_text(result, str);
}

/* A member of a transition, as a C string. */
static char *
transition_member(JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	(void) getKeyJsonValueFromContainer(object, name, (int) strlen(name), &value);
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Add a transition to an array, with another column. */
static void
push_transition(JsonbParseState **state, JsonbContainer *object, char *column)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		is_column = false;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			is_column = value.val.string.len == 6 &&
				strncmp(value.val.string.val, "column", 6) == 0;
		else if (token == WJB_VALUE && is_column)
		{
			value.val.string.val = column;
			value.val.string.len = (int) strlen(column);
		}
		(void) pushJsonbValue(state, token,
							  token == WJB_KEY || token == WJB_VALUE ? &value : NULL);
	}
}

/*
 * The value of "transitions=", as it has to be now; NULL if none is left.
 * The text is that of attach(), which writes jsonb's.
 */
static const char *
follow_transitions(HceFollow *follow, const char *str)
{
	Jsonb	   *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
														  CStringGetDatum(str)));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbParseState *state = NULL;
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		changed = false;
	int			left = 0;
	Jsonb	   *result;

	(void) JsonbIteratorNext(&it, &value, true);
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&it, &value, true)) == WJB_ELEM)
	{
		JsonbContainer *object = value.val.binary.data;
		char	   *column = transition_member(object, "column");
		char	   *now = hce_ddl_follow_element(follow, column,
												 HCE_USE_TRANSITION);

		changed |= now == NULL || strcmp(now, column) != 0;
		if (now == NULL)
		{
			follow->lost_events =
				lappend(follow->lost_events,
						hce_spec_args_event_type(follow->args,
												 transition_member(object, "event")));
			continue;
		}
		push_transition(&state, object, now);
		left++;
	}
	if (!changed)
		return str;
	follow->changed = true;
	if (left == 0)
		return NULL;
	result = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	return JsonbToCString(NULL, &result->root, VARSIZE(result));
}

/* Is this key what the primary key would be, had it not been written down? */
static bool
is_primary_key(const HceFollow *follow, const char *key)
{
	List	   *elements = hce_spec_args_list(key);
	ListCell   *cell;
	ListCell   *other;

	if (list_length(elements) < 2 ||
		list_length(elements) != list_length(follow->primary_key))
		return false;
	forboth(cell, elements, other, follow->primary_key)
	{
		if (strcmp(lfirst(cell), lfirst(other)) != 0)
			return false;
	}
	return true;
}

/*
 * A key as it has to be now; NULL to leave it to the primary key.
 *
 * Renaming a column of a composite primary key writes the key down, so
 * renaming it back takes that away.  (A key that attach() was given and that
 * is the primary key goes, too: it says the same.)
 */
static const char *
follow_key(HceFollow *follow, const char *str)
{
	const char *result = follow_list(follow, str, HCE_USE_KEY);

	return result != str && is_primary_key(follow, result) ? NULL : result;
}

/* If "arg" is name=value, the value. */
static const char *
option_value(const char *arg, const char *name)
{
	Size		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

/* Add an argument as it has to be now, unless nothing is left of it. */
static List *
follow_argument(HceFollow *follow, List *arguments, char *arg)
{
	const char *name;
	const char *now;
	const char *value;

	if ((value = option_value(arg, name = "columns")) != NULL)
		now = follow_list(follow, value, HCE_USE_COLUMN);
	else if ((value = option_value(arg, name = "key")) != NULL)
		now = follow_key(follow, value);
	else if ((value = option_value(arg, name = "transitions")) != NULL)
		now = follow_transitions(follow, value);
	else
		return lappend(arguments, arg);
	if (now == NULL)
		return arguments;
	return lappend(arguments, now == value ? arg : psprintf("%s=%s", name, now));
}

/* Put a key where attach() has it: before the transitions. */
static List *
add_key(List *arguments, List *key)
{
	char	   *arg = psprintf("key=%s",
							   OidOutputFunctionCall(F_ARRAY_OUT,
													 PointerGetDatum(hce_attach_array_of_list(key))));
	int			place = 0;

	while (place < list_length(arguments) &&
		   option_value(list_nth(arguments, place), "transitions") == NULL)
		place++;
	return list_insert_nth(arguments, place, arg);
}

/*
 * The arguments of a trigger as they have to be now: a list of C strings.
 *
 * Sets the second part of "follow".  Errors: 2BP01 a column that
 * was dropped cannot be left out; 42702 see ddl_columns.c.
 */
List *
hce_ddl_arguments_follow(HceFollow *follow, const Trigger *trigger)
{
	List	   *result = NIL;

	for (int i = 0; i < trigger->tgnargs; i++)
		result = follow_argument(follow, result, trigger->tgargs[i]);
	if (follow->args->key == NIL)
	{
		List	   *key = hce_ddl_follow_primary_key(follow);

		if (key != NIL)
		{
			follow->changed = true;
			result = add_key(result, key);
		}
	}
	return result;
}
