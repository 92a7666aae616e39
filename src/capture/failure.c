/*-------------------------------------------------------------------------
 *
 * failure.c
 *		An event that could not be captured.
 *
 * The write goes on.  In place of the event the journal gets its metadata and
 * the reason, which the relay keeps as a dead letter, and the writer gets a
 * WARNING, once per transaction and attachment.  Neither holds a value of the
 * row; the key is kept where it can be had, for it says which row it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "event/json_text.h"
#include "settings.h"
#include "utils/timestamp.h"

/* A key longer than this is not worth keeping. */
#define MAX_FAILED_KEY	8192

static void
warn(HceSpec *spec, const HceAction *action, const HceFault *fault)
{
	int			sqlerrcode = ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
	const char *hint = "The type's output function or its cast to json failed.";

	if (spec->warned_in == hce_capture_transaction())
		return;
	spec->warned_in = hce_capture_transaction();

	if (strcmp(fault->reason, "too_large") == 0)
	{
		sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		hint = "Publish fewer columns, or raise hcevents.max_event_size.";
	}
	else if (strcmp(fault->reason, "missing_column") == 0)
	{
		sqlerrcode = ERRCODE_UNDEFINED_COLUMN;
		hint = "Attach the table again with the columns that it has.";
	}
	else if (strcmp(fault->reason, "invalid_encoding") == 0)
	{
		sqlerrcode = ERRCODE_UNTRANSLATABLE_CHARACTER;
		hint = "Correct the value, or do not publish the column.";
	}
	ereport(WARNING,
			(errcode(sqlerrcode),
			 errmsg("event \"%s\" of table \"%s\" was not captured: %s",
					action->event_type, spec->table_label, fault->error),
			 errdetail("The row was written; a dead letter takes the event's place."),
			 errhint("%s", hint)));
}

/* Can the key be rendered without a risk? */
static bool
key_is_harmless(const HceSpec *spec, HceRow row)
{
	for (int i = 0; i < spec->nkeys; i++)
	{
		const HceColumn *key = &spec->keys[i];
		int			at = key->attnum - 1;

		if (key->encoder.user_code)
			return false;
		if (row.isnull[at])
			continue;
		if (hce_encoder_raw_size(&key->encoder, row.values[at]) > MAX_FAILED_KEY)
			return false;
	}
	return spec->nkeys > 0;
}

/* The key's text; false if there is none to be had. */
static bool
render_key(HceSpec *spec, HceRow row, HceBytes *key)
{
	HceSlice   *prepared;
	HceFault	fault;

	if (!key_is_harmless(spec, row) ||
		(spec->nkeys == 1 && row.isnull[spec->keys[0].attnum - 1]))
		return false;
	prepared = palloc0(sizeof(HceSlice) * spec->nkeys);
	hce_bytes_init(key, CurrentMemoryContext, 256);
	if (!hce_render_id(spec, row, prepared, key, &fault))
		return false;
	if (key->data[0] == '"')
		key->used = hce_json_unescape((char *) key->data,
									  (char *) key->data + 1, key->used - 2);
	return true;
}

/* A message in UTF-8; it holds names only, so '?' will do in need. */
static const char *
utf8_message(const char *message)
{
	const char *result = hce_utf8_from_server(message);

	return result != NULL ? result : "see the server log";
}

/*
 * Put a capture failure into the buffer in place of the event, and warn.
 */
void
hce_failure_capture(HceSpec *spec, HceAction *action, HceRow row,
					const HceFault *fault)
{
	const char *error = utf8_message(fault->error);
	HceBytes	key;
	bool		has_key = render_key(spec, row, &key);
	HceBytes   *out;

	if (action->failed.bytes == NULL ||
		action->failed.generation != hce_envelope_generation)
		hce_template_prepare(spec, action, HCE_KEY_FAILED, &action->failed);

	out = hce_buffer_begin(&action->failed, GetCurrentTimestamp());
	hce_bytes_put_string(out, fault->reason, strlen(fault->reason));
	hce_bytes_put_string(out, error, strlen(error));
	if (has_key)
		hce_bytes_put_string(out, (const char *) key.data, key.used);
	hce_buffer_finish(has_key ? HCE_EVENT_HAS_KEY : 0);

	/* last, so that nothing is half done if sending it fails */
	warn(spec, action, fault);
}
