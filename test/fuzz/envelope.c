/*
 * Names and values of any text become an envelope that is JSON.
 *
 * The input is cut at zero bytes: a number (key mode, time), the names and
 * the values.  What hce_skeleton_write() and hce_json_append_string() make is
 * written to a record's form, read back, and must be JSON that holds each
 * value, in UTF-8 or not, as it was.
 */
#include "postgres.h"

#include "event/event_text.h"
#include "event/json_text.h"
#include "event/skeleton.h"
#include "utils/memutils.h"

#include "fuzz.h"

#define MOST_NAMES	20

/* Strings: no control character, and each backslash begins an escape. */
static const char *
skip_string(const char *p, const char *end)
{
	MUST(p < end && *p == '"');
	for (p++; p < end && *p != '"'; p++)
	{
		MUST((unsigned char) *p >= 0x20);
		if (*p == '\\')
		{
			p++;
			MUST(p < end && strchr("\"\\bfnrtu", *p) != NULL);
			if (*p == 'u')
			{
				MUST(end - p > 4);
				for (int i = 1; i <= 4; i++)
					MUST(strchr("0123456789abcdef", p[i]) != NULL);
				p += 4;
			}
		}
	}
	MUST(p < end);
	return p + 1;
}

/* JSON as our envelopes have it: objects of strings and objects, null. */
static const char *
skip_value(const char *p, const char *end)
{
	MUST(p < end);
	if (*p == '"')
		return skip_string(p, end);
	if (*p == 'n')
	{
		MUST(end - p > 4 && memcmp(p, "null", 4) == 0);
		return p + 4;
	}
	MUST(*p == '{');
	do
	{
		p = skip_string(p + 1, end);
		MUST(p < end && *p == ':');
		p = skip_value(p + 1, end);
		MUST(p < end);
	} while (*p == ',');
	MUST(*p == '}');
	return p + 1;
}

/* The next zero-terminated piece of the input, in memory of its own. */
static char *
next_piece(const uint8 **pos, const uint8 *end)
{
	const uint8 *zero = *pos < end ? memchr(*pos, '\0', end - *pos) : NULL;
	Size		len = zero != NULL ? zero - *pos : end - *pos;
	char	   *piece = pnstrdup((const char *) *pos, len);

	*pos = zero != NULL ? zero + 1 : end;
	return piece;
}

static void
check_string(const uint8 *escaped, Size len, const char *original)
{
	char	   *back = palloc(len);
	Size		back_len = hce_json_unescape(back, (const char *) escaped + 1, len - 2);

	MUST(back_len == strlen(original) && memcmp(back, original, back_len) == 0);
}

static void
make_and_check(const uint8 *pos, const uint8 *end)
{
	HceSkeletonParts parts = {"a.b"};
	const char *names[MOST_NAMES];
	HceBytes	skeleton_bytes;
	HceBytes	body;
	HceSkeleton skeleton;
	HceJournalEvent event = {0};
	HceEventParts found;
	char	   *envelope;
	const char *envelope_end;
	Size		fixed;
	Size		values = 0;

	memcpy(&event.captured_at, pos, 8);
	parts.data_value = pos[8] & 1;
	parts.key_mode = pos[8] & 2 ? HCE_KEY_STRING : HCE_KEY_NONE;
	parts.nnames = parts.data_value ? 0 : 1 + pos[8] / 8 % MOST_NAMES;
	pos += 9;
	parts.source = next_piece(&pos, end);
	parts.version = next_piece(&pos, end);
	parts.schema = next_piece(&pos, end);
	parts.table = next_piece(&pos, end);
	for (int i = 0; i < parts.nnames; i++)
		names[i] = next_piece(&pos, end);
	parts.names = names;
	hce_bytes_init(&skeleton_bytes, CurrentMemoryContext, 1);
	fixed = hce_skeleton_write(&skeleton_bytes, &parts);
	MUST(hce_skeleton_parse((HceSlice) {(char *) skeleton_bytes.data,
										(uint32) skeleton_bytes.used}, &skeleton));

	hce_bytes_init(&body, CurrentMemoryContext, 1);
	for (int i = 0; i < skeleton.nvalues; i++)
	{
		char	   *value = next_piece(&pos, end);
		Size		start = hce_bytes_open_string(&body);

		if (i > 0 && value[0] == '\0')
			hce_bytes_append(&body, "null", 4);
		else
		{
			hce_json_append_string(&body, value, strlen(value));
			check_string(body.data + start + 1, body.used - start - 1, value);
		}
		values += body.used - start - 1;
		hce_bytes_close_string(&body, start);
	}
	event.body = (HceSlice) {(char *) body.data, (uint32) body.used};
	MUST(hce_event_parts(&skeleton, &event, &found));
	envelope = palloc(hce_event_envelope_bound(&skeleton, &event));
	envelope_end = hce_event_envelope(envelope, &skeleton, &event, &found,
									  "01234567-89ab-7def-8123-456789abcdef");
	MUST((Size) (envelope_end - envelope) <= fixed + values);
	MUST(skip_value(envelope, envelope_end) == envelope_end);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	MemoryContext context;
	MemoryContext old;

	if (size < 9)
		return 0;
	context = stub_context_create();
	old = MemoryContextSwitchTo(context);
	make_and_check(data, data + size);
	MemoryContextSwitchTo(old);
	stub_context_delete(context);
	return 0;
}
