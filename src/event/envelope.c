/*-------------------------------------------------------------------------
 *
 * envelope.c
 *		The envelope: its constant parts, and putting it together.
 *
 * A skeleton holds what is the same in all envelopes of one event type.  The
 * capture side writes it once per journal record; whoever needs the envelope
 * puts the event's values between the pieces.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "event/envelope.h"
#include "event/json_text.h"
#include "utils/datetime.h"

static const char id_opens[] = "{\"event_id\":\"";
static const char type_opens[] = "\",\"event_type\":\"";
static const char time_opens[] = "\",\"timestamp\":\"";

#define LITERAL_LEN(literal)	(sizeof(literal) - 1)

static void
put_cstring(HceBytes *out, const char *str)
{
	hce_bytes_put_string(out, str, strlen(str));
}

static void
append_literal(HceBytes *out, const char *str)
{
	hce_bytes_append(out, str, strlen(str));
}

/* The piece between two values: ,"name": with what precedes the first. */
static void
put_member_piece(HceBytes *out, const char *name, bool first)
{
	Size		start = hce_bytes_open_string(out);

	append_literal(out, first ? "\",\"data\":{" : ",");
	hce_json_append_string(out, name, strlen(name));
	append_literal(out, ":");
	hce_bytes_close_string(out, start);
}

/* The last piece: the end of "data", and the metadata. */
static void
put_closing_piece(HceBytes *out, const HceSkeletonParts *parts)
{
	Size		start = hce_bytes_open_string(out);

	append_literal(out, parts->data_value ? "" : "}");
	append_literal(out, ",\"metadata\":{\"source\":");
	hce_json_append_string(out, parts->source, strlen(parts->source));
	append_literal(out, ",\"version\":");
	hce_json_append_string(out, parts->version, strlen(parts->version));
	append_literal(out, "}}");
	hce_bytes_close_string(out, start);
}

static void
put_pieces(HceBytes *out, const HceSkeletonParts *parts)
{
	if (parts->key_mode == HCE_KEY_FAILED)
	{
		for (int i = 0; i <= HCE_FAILED_NVALUES; i++)
			put_cstring(out, "");
		return;
	}
	for (int i = 0; i < parts->nnames; i++)
		put_member_piece(out, parts->names[i], i == 0);
	if (parts->data_value)
		put_cstring(out, "\",\"data\":");
	put_closing_piece(out, parts);
}

/*
 * Append a skeleton, without the length that precedes it in a record.
 *
 * Returns how many bytes of an envelope do not depend on the event: what has
 * to be added to the length of its values.
 */
Size
hce_skeleton_write(HceBytes *out, const HceSkeletonParts *parts)
{
	Size		start;

	put_cstring(out, parts->event_type);
	put_cstring(out, parts->source);
	put_cstring(out, parts->schema);
	put_cstring(out, parts->table);
	hce_bytes_append_varint(out, parts->key_mode);
	if (parts->key_mode == HCE_KEY_FAILED)
		hce_bytes_append_varint(out, HCE_FAILED_NVALUES);
	else
		hce_bytes_append_varint(out, parts->data_value ? 1 : parts->nnames);

	/* the lengths of the pieces are counted too: a few bytes on the safe side */
	start = out->used;
	put_pieces(out, parts);
	return (out->used - start) + LITERAL_LEN(id_opens) + HCE_UUID_TEXT +
		LITERAL_LEN(type_opens) + strlen(parts->event_type) +
		LITERAL_LEN(time_opens) + HCE_TIME_TEXT;
}

/* Two digits, zero-padded. */
static char *
put_two(char *str, int value)
{
	*str++ = (char) ('0' + value / 10 % 10);
	*str++ = (char) ('0' + value % 10);
	return str;
}

/* The time as HCE_TIME_TEXT characters of ISO 8601 in UTC, without NUL. */
void
hce_time_format(TimestampTz time, char *str)
{
	int64		usec = time % USECS_PER_DAY;
	int64		day_number = time / USECS_PER_DAY;
	int			year;
	int			month;
	int			day;
	int			seconds;

	if (usec < 0)
	{
		usec += USECS_PER_DAY;
		day_number--;
	}
	j2date((int) day_number + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	seconds = (int) (usec / USECS_PER_SEC);
	usec %= USECS_PER_SEC;

	str = put_two(put_two(str, year / 100), year);
	*str++ = '-';
	str = put_two(str, month);
	*str++ = '-';
	str = put_two(str, day);
	*str++ = 'T';
	str = put_two(str, seconds / SECS_PER_HOUR);
	*str++ = ':';
	str = put_two(str, seconds / SECS_PER_MINUTE % MINS_PER_HOUR);
	*str++ = ':';
	str = put_two(str, seconds % SECS_PER_MINUTE);
	*str++ = '.';
	str = put_two(str, (int) (usec / 10000));
	str = put_two(str, (int) (usec / 100 % 100));
	str = put_two(str, (int) (usec % 100));
	*str = 'Z';
}

/*
 * Append the envelope of an event.
 *
 * False if the body does not hold the values that the skeleton asks for; the
 * bytes appended are then meaningless.
 */
bool
hce_envelope_append(HceBytes *out, const HceSkeleton *skeleton,
					const unsigned char id[HCE_UUID_SIZE],
					TimestampTz captured_at, HceSlice body)
{
	const uint8 *pos = (const uint8 *) body.data;
	const uint8 *end = pos + body.len;

	hce_bytes_append(out, id_opens, LITERAL_LEN(id_opens));
	hce_bytes_reserve(out, HCE_UUID_TEXT);
	hce_event_id_format(id, (char *) out->data + out->used);
	out->used += HCE_UUID_TEXT;
	hce_bytes_append(out, type_opens, LITERAL_LEN(type_opens));
	hce_bytes_append(out, skeleton->event_type.data, skeleton->event_type.len);
	hce_bytes_append(out, time_opens, LITERAL_LEN(time_opens));
	hce_bytes_reserve(out, HCE_TIME_TEXT);
	hce_time_format(captured_at, (char *) out->data + out->used);
	out->used += HCE_TIME_TEXT;

	hce_bytes_append(out, skeleton->pieces[0].data, skeleton->pieces[0].len);
	for (int i = 0; i < skeleton->nvalues; i++)
	{
		HceSlice	value;

		if (!hce_get_string(&pos, end, &value))
			return false;
		hce_bytes_append(out, value.data, value.len);
		hce_bytes_append(out, skeleton->pieces[i + 1].data,
						 skeleton->pieces[i + 1].len);
	}
	return true;
}

/*
 * Find the Kafka key of an event; it points into "body".
 *
 * False if the body is malformed.
 */
bool
hce_envelope_key(const HceSkeleton *skeleton, HceSlice body, int flags,
				 HceSlice *key, bool *has_key)
{
	const uint8 *pos = (const uint8 *) body.data;
	const uint8 *end = pos + body.len;
	HceSlice	value = {NULL, 0};
	HceSlice	first = {NULL, 0};

	for (int i = 0; i < skeleton->nvalues; i++)
	{
		if (!hce_get_string(&pos, end, &value))
			return false;
		if (i == 0)
			first = value;
	}

	*has_key = true;
	if (flags & HCE_EVENT_HAS_KEY)
		return hce_get_string(&pos, end, key);
	*key = first;
	if (skeleton->key_mode == HCE_KEY_NUMBER)
		return true;
	if (skeleton->key_mode == HCE_KEY_STRING)
	{
		if (first.len < 2)
			return false;
		key->data++;
		key->len -= 2;
		return true;
	}
	*has_key = false;
	return true;
}
