/*-------------------------------------------------------------------------
 *
 * transition.c
 *		Which event an UPDATE is: a transition's, or the plain one.
 *
 * A transition fires when the text of its column became "to", and was "from"
 * where that is given.  The first one that fires decides; there is at most
 * one event per row change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "catalog/pg_type.h"

/* The text of a value; in its own memory for the text types. */
static HceSlice
text_of(const HceTransition *transition, Datum value)
{
	HceSlice	result;

	if (transition->text)
	{
		struct varlena *str = PG_DETOAST_DATUM_PACKED(value);

		result.data = VARDATA_ANY(str);
		result.len = VARSIZE_ANY_EXHDR(str);

		/* the padding of char(n) means nothing */
		if (transition->column.encoder.type == BPCHAROID)
			while (result.len > 0 && result.data[result.len - 1] == ' ')
				result.len--;
	}
	else
	{
		result.data = OutputFunctionCall(unconstify(FmgrInfo *, &transition->output),
										 value);
		result.len = (uint32) strlen(result.data);
	}
	return result;
}

static bool
is_text(HceSlice slice, const char *str)
{
	return strlen(str) == slice.len && memcmp(slice.data, str, slice.len) == 0;
}

/* Did this transition happen?  The new value is looked at first. */
static bool
fires(const HceTransition *transition, HceRow old_row, HceRow new_row)
{
	int			i = transition->column.attnum - 1;
	HceSlice	was;

	if (new_row.isnull[i] ||
		!is_text(text_of(transition, new_row.values[i]), transition->to))
		return false;
	if (old_row.isnull[i])
		return transition->from == NULL;
	was = text_of(transition, old_row.values[i]);
	if (is_text(was, transition->to))
		return false;
	return transition->from == NULL || is_text(was, transition->from);
}

/* The action of an UPDATE; NULL = no event. */
HceAction *
hce_transition_choose(HceSpec *spec, HceRow old_row, HceRow new_row)
{
	for (int i = 0; i < spec->ntransitions; i++)
	{
		if (fires(&spec->transitions[i], old_row, new_row))
			return spec->transitions[i].action;
	}
	return spec->on_update;
}
