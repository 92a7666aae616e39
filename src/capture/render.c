/*-------------------------------------------------------------------------
 *
 * render.c
 *		From a row to an event in the buffer.
 *
 * This is the hot path: values are rendered straight into the buffer, and
 * nothing is allocated for the common types.  Everything that may run a
 * user's function has been rendered before by guard.c, for such a function
 * may write rows, and so capture events, itself.
 *
 * Memory: scratch is left in the current context, which the executor resets
 * before each trigger call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "event/json_text.h"
#include "settings.h"
#include "utils/timestamp.h"

static bool
too_large(HceFault *fault)
{
	fault->reason = "too_large";
	fault->error = psprintf("the envelope is larger than hcevents.max_event_size (%d kB)",
							hce_max_event_size);
	return false;
}

/*
 * Append the JSON of one column's value, in UTF-8.
 *
 * "prepared" is what guard.c has rendered for it, or NULL data.  A value that
 * is too large is refused before it is detoasted.
 */
static bool
append_value(const HceColumn *column, Datum value, HceSlice prepared,
			 HceBytes *out, HceFault *fault)
{
	Size		start = out->used;

	if (prepared.data != NULL)
		hce_bytes_append(out, prepared.data, prepared.len);
	else
	{
		if (column->encoder.varlena &&
			hce_encoder_raw_size(&column->encoder, value) >
			(Size) hce_max_event_size * 1024)
			return too_large(fault);
		hce_encoder_append(&column->encoder, out, value);
	}
	if (unlikely(hce_utf8_needs_work()) && !hce_utf8_convert_tail(out, start))
	{
		fault->reason = "invalid_encoding";
		fault->error = psprintf("the value of column \"%s\" cannot be converted to UTF-8",
								column->name);
		return false;
	}
	return true;
}

static bool
append_column(const HceColumn *column, HceRow row, HceSlice prepared,
			  HceBytes *out, HceFault *fault)
{
	if (row.isnull[column->attnum - 1])
	{
		hce_bytes_append(out, "null", 4);
		return true;
	}
	return append_value(column, row.values[column->attnum - 1], prepared, out,
						fault);
}

/* What came out as a number, a boolean or an object becomes a string. */
static void
quote_tail(HceBytes *out, Size start)
{
	Size		len = out->used - start;
	char	   *copy;

	if (out->data[start] == '"')
		return;
	copy = palloc(len + 1);
	memcpy(copy, out->data + start, len);
	out->used = start;
	hce_json_append_string(out, copy, len);
}

static bool
append_composed_id(HceSpec *spec, HceRow row, const HceSlice *prepared,
				   HceBytes *out, HceFault *fault)
{
	for (int i = 0; i < spec->nkeys; i++)
	{
		const HceColumn *key = &spec->keys[i];
		Size		start;

		hce_bytes_append_char(out, i == 0 ? '{' : ',');
		start = out->used;
		hce_json_append_string(out, key->published, strlen(key->published));
		if (hce_utf8_needs_work() && !hce_utf8_convert_tail(out, start))
		{
			out->used = start;
			hce_bytes_append(out, "\"\"", 2);
		}
		hce_bytes_append_char(out, ':');
		if (!append_column(key, row, prepared[i], out, fault))
			return false;
	}
	hce_bytes_append_char(out, '}');
	return true;
}

/*
 * Append the first member of "data", the id of the resource.
 *
 * A number if the single key column is an integer or a numeric, an object for
 * several key columns, a string for anything else; null for NULL.
 */
bool
hce_render_id(HceSpec *spec, HceRow row, const HceSlice *prepared,
			  HceBytes *out, HceFault *fault)
{
	const HceColumn *key = &spec->keys[0];
	Size		start = out->used;

	if (spec->nkeys != 1)
		return append_composed_id(spec, row, prepared, out, fault);
	if (!append_column(key, row, prepared[0], out, fault))
		return false;
	if (!key->encoder.number && !row.isnull[key->attnum - 1])
		quote_tail(out, start);
	return true;
}

/*
 * Append the Kafka key where it cannot be cut out of the id: when the id is a
 * string with escapes in it, or the word NaN as a key's number.
 *
 * The id lies at out->data[id .. id_end).  Returns whether a key was added.
 */
bool
hce_render_key(HceSpec *spec, HceRow row, HceBytes *out, Size id, Size id_end)
{
	Size		len = id_end - id;
	Size		start;

	if (spec->nkeys != 1 || out->data[id] != '"')
		return false;
	if (!spec->keys[0].encoder.number &&
		memchr(out->data + id, '\\', len) == NULL)
		return false;

	start = hce_bytes_open_string(out);
	hce_bytes_reserve(out, len);
	out->used += hce_json_unescape((char *) out->data + out->used,
								   (char *) out->data + id + 1, len - 2);
	hce_bytes_close_string(out, start);
	return true;
}

/*
 * Append the body of an event: the id, the columns, and a key if it needs one
 * of its own.
 *
 * "prepared" has an element for each key and each column.  "fixed_size" is
 * what the envelope has besides the values.  On false the bytes appended mean
 * nothing, and "fault" says why.
 */
bool
hce_render_body(HceSpec *spec, HceRow row, const HceSlice *prepared,
				HceBytes *out, Size fixed_size, int *flags, HceFault *fault)
{
	int64		limit = (int64) out->used + (int64) hce_max_event_size * 1024 -
		(int64) fixed_size;		/* below zero if even that is too much */
	Size		id;
	Size		id_end;
	Size		start;

	start = hce_bytes_open_string(out);
	if (!hce_render_id(spec, row, prepared, out, fault))
		return false;
	id_end = out->used - start - 1; /* its length, for now */
	hce_bytes_close_string(out, start);
	id = out->used - id_end;
	id_end = out->used;

	for (int i = 0; i < spec->ncolumns; i++)
	{
		start = hce_bytes_open_string(out);
		if (!append_column(&spec->columns[i], row, prepared[spec->nkeys + i],
						   out, fault))
			return false;
		hce_bytes_close_string(out, start);
		if (unlikely((int64) out->used > limit))
			return too_large(fault);
	}
	if (unlikely((int64) out->used > limit))
		return too_large(fault);
	*flags = hce_render_key(spec, row, out, id, id_end) ? HCE_EVENT_HAS_KEY : 0;
	return true;
}

/*
 * The skeleton of an action for this row, prepared.
 */
HceTemplate *
hce_render_template(HceSpec *spec, HceAction *action, HceRow row)
{
	HceTemplate *result = &action->with_key;
	HceKeyMode	mode;

	if (spec->nkeys != 1)
		mode = HCE_KEY_NUMBER;	/* the object as it is */
	else if (row.isnull[spec->keys[0].attnum - 1])
	{
		mode = HCE_KEY_NONE;
		result = &action->without_key;
	}
	else
		mode = spec->keys[0].encoder.number ? HCE_KEY_NUMBER : HCE_KEY_STRING;

	if (unlikely(result->bytes == NULL ||
				 result->generation != hce_envelope_generation))
		hce_template_prepare(spec, action, mode, result);
	return result;
}

/* Columns whose values need no user's function have nothing prepared. */
#define FEW_COLUMNS		32
static const HceSlice nothing_prepared[FEW_COLUMNS];

/*
 * Capture one event of a row; what cannot be captured becomes a capture
 * failure, never an error.
 */
void
hce_render_event(HceSpec *spec, HceAction *action, HceRow row)
{
	HceFault	fault = {spec->problem_reason, spec->problem};
	const HceSlice *prepared = nothing_prepared;
	int			nvalues = spec->nkeys + spec->ncolumns;
	HceTemplate *skeleton;
	HceBytes   *out;
	int			flags;

	if (unlikely(spec->problem != NULL))
	{
		hce_failure_capture(spec, action, row, &fault);
		return;
	}
	if (unlikely(spec->user_code || nvalues > FEW_COLUMNS))
	{
		HceSlice   *room = palloc0(sizeof(HceSlice) * nvalues);

		if (spec->user_code && !hce_guard_prepare(spec, row, room, &fault))
		{
			hce_failure_capture(spec, action, row, &fault);
			return;
		}
		prepared = room;
	}

	skeleton = hce_render_template(spec, action, row);
	out = hce_buffer_begin(skeleton, GetCurrentTimestamp());
	if (likely(hce_render_body(spec, row, prepared, out, skeleton->envelope_size,
							   &flags, &fault)))
		hce_buffer_finish(flags);
	else
		hce_failure_capture(spec, action, row, &fault);
}
