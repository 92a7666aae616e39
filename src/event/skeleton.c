/*-------------------------------------------------------------------------
 *
 * skeleton.c
 *		What is the same in all envelopes of one event type.
 *
 * The capture side writes a skeleton once per journal record; event_text.c
 * puts an event's values between its pieces.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "event/event_text.h"
#include "event/json_text.h"
#include "event/skeleton.h"

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
	return (out->used - start) + strlen(parts->event_type) +
		strlen("{\"event_id\":\"\",\"event_type\":\"\",\"timestamp\":\"") +
		HCE_UUID_TEXT + HCE_TIMESTAMP_TEXT;
}
