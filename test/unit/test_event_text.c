/*
 * event/skeleton.c and event/event_text.c: an envelope is what a naive
 * concatenation gives, and its time is what gmtime() says.
 */
#include "postgres.h"

#include <time.h>

#include "event/event_text.h"
#include "event/skeleton.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "unit.h"

static void
timestamps_as_gmtime(void)
{
	for (int round = 0; round < unit_rounds(5000); round++)
	{
		/* 1600 to 2400; every tenth in the second before, or at, 2000 */
		TimestampTz when = unit_chance(10) ? (TimestampTz) unit_below(2000000) - 1000000 :
			(TimestampTz) unit_below(UINT64CONST(25200000000000000)) -
			INT64CONST(12600000000000000);
		int64		usec = ((when % 1000000) + 1000000) % 1000000;
		time_t		second = (time_t) ((when - usec) / 1000000 + INT64CONST(10957) * 86400);
		struct tm	tm;
		char		expected[64];
		char		text[HCE_TIMESTAMP_TEXT];

		gmtime_r(&second, &tm);
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
				 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
				 tm.tm_min, tm.tm_sec, (int) usec);
		hce_event_timestamp(when, text);
		CHECK_BYTES(text, (int) sizeof(text), expected, (int) strlen(expected));
	}
}

/* The last and the first moment of a day, a month, a leap day, a year. */
static void
timestamps_at_the_edges(void)
{
	static const struct
	{
		TimestampTz when;
		const char *text;
	}			cases[] = {
		{0, "2000-01-01T00:00:00.000000Z"},
		{-1, "1999-12-31T23:59:59.999999Z"},
		{INT64CONST(59) * 86400000000 - 1, "2000-02-28T23:59:59.999999Z"},
		{INT64CONST(60) * 86400000000 - 1, "2000-02-29T23:59:59.999999Z"},
		{INT64CONST(762393600000000), "2024-02-28T00:00:00.000000Z"},
		{INT64CONST(762480000000000), "2024-02-29T00:00:00.000000Z"},
		{PG_INT64_MIN, "0000-01-01T00:00:00.000000Z"},
		{PG_INT64_MAX, "9999-12-31T23:59:59.999999Z"},
		{INT64CONST(252455615999999999), "9999-12-31T23:59:59.999999Z"},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		char		text[HCE_TIMESTAMP_TEXT];

		hce_event_timestamp(cases[i].when, text);
		CHECK_BYTES(text, (int) sizeof(text), cases[i].text, HCE_TIMESTAMP_TEXT);
	}
}

static HceSlice
slice_of(const HceBytes *bytes)
{
	HceSlice	slice = {(const char *) bytes->data, (uint32) bytes->used};

	return slice;
}

/* Names and values that JSON has to escape are in the parts. */
static const HceSkeletonParts healthcore = {
	"patient.created", "health\"core", "1.0", "public", "patients",
	HCE_KEY_NUMBER, 3, (const char *[]) {"patient_id", "na\"me", "email"}, false
};

static void
put_body(HceBytes *body, int nvalues, const char *const *values,
		 const char *key, const char *headers, Size headers_len)
{
	hce_bytes_init(body, CurrentMemoryContext, 16);
	for (int i = 0; i < nvalues; i++)
		hce_bytes_put_string(body, values[i], strlen(values[i]));
	if (key != NULL)
		hce_bytes_put_string(body, key, strlen(key));
	if (headers != NULL)
		hce_bytes_put_string(body, headers, headers_len);
}

static void
envelope_of_an_attachment(void)
{
	static const char *const values[] = {"7", "\"Ana\"", "null"};
	static const char expected[] =
	"{\"event_id\":\"01234567-89ab-7def-8123-456789abcdef\","
	"\"event_type\":\"patient.created\","
	"\"timestamp\":\"2024-02-29T00:00:00.000000Z\","
	"\"data\":{\"patient_id\":7,\"na\\\"me\":\"Ana\",\"email\":null},"
	"\"metadata\":{\"source\":\"health\\\"core\",\"version\":\"1.0\"}}";
	HceBytes	bytes;
	HceBytes	body;
	HceSkeleton skeleton;
	HceJournalEvent event = {.captured_at = INT64CONST(762480000000000)};
	HceEventParts parts;
	char		envelope[1024];
	Size		fixed;
	Size		len;

	hce_bytes_init(&bytes, CurrentMemoryContext, 1);
	fixed = hce_skeleton_write(&bytes, &healthcore);
	CHECK(hce_skeleton_parse(slice_of(&bytes), &skeleton));
	CHECK_INT(skeleton.nvalues, 3);
	CHECK_BYTES(skeleton.source.data, (int) skeleton.source.len, "health\"core", 11);
	CHECK_BYTES(skeleton.table.data, (int) skeleton.table.len, "patients", 8);

	put_body(&body, 3, values, NULL, NULL, 0);
	event.body = slice_of(&body);
	CHECK(hce_event_parts(&skeleton, &event, &parts));
	CHECK_BYTES(parts.key.data, (int) parts.key.len, "7", 1);
	CHECK(parts.headers.data == NULL);
	len = (Size) (hce_event_envelope(envelope, &skeleton, &event, &parts,
									 "01234567-89ab-7def-8123-456789abcdef") - envelope);
	CHECK_BYTES(envelope, (int) len, expected, (int) strlen(expected));
	CHECK(hce_event_envelope_bound(&skeleton, &event) >= len);
	/* what capture adds to its values to know whether an event is too large */
	CHECK(fixed + strlen("7") + strlen("\"Ana\"") + strlen("null") >= len);
}

/* Where the key of an event comes from, in each mode. */
static void
keys(void)
{
	static const struct
	{
		HceKeyMode	mode;
		const char *id;
		const char *given;
		const char *key;		/* NULL: none */
		bool		good;
	}			cases[] = {
		{HCE_KEY_NUMBER, "42", NULL, "42", true},
		{HCE_KEY_NUMBER, "null", NULL, NULL, true},
		{HCE_KEY_STRING, "\"abc\"", NULL, "abc", true},
		{HCE_KEY_STRING, "\"\"", NULL, "", true},
		{HCE_KEY_STRING, "null", NULL, NULL, true},
		{HCE_KEY_STRING, "\"", NULL, NULL, false},
		{HCE_KEY_STRING, "", NULL, NULL, false},
		{HCE_KEY_STRING, "\"a\\\"b\"", "a\"b", "a\"b", true},
		{HCE_KEY_NONE, "{}", NULL, NULL, true},
		{HCE_KEY_NONE, "{}", "k", "k", true},
		{HCE_KEY_NONE, "{}", "", "", true},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		HceSkeletonParts made = {"a.b", "s", "1", "", "", cases[i].mode, 0, NULL, true};
		HceBytes	bytes;
		HceBytes	body;
		HceSkeleton skeleton;
		HceJournalEvent event = {0};
		HceEventParts parts;

		hce_bytes_init(&bytes, CurrentMemoryContext, 64);
		hce_skeleton_write(&bytes, &made);
		CHECK(hce_skeleton_parse(slice_of(&bytes), &skeleton));
		put_body(&body, 1, &cases[i].id, cases[i].given, "headers", 7);
		event.body = slice_of(&body);
		event.flags = HCE_EVENT_HAS_HEADERS | (cases[i].given ? HCE_EVENT_HAS_KEY : 0);
		CHECK_INT(hce_event_parts(&skeleton, &event, &parts), cases[i].good);
		if (!cases[i].good)
			continue;
		CHECK((parts.key.data == NULL) == (cases[i].key == NULL));
		if (cases[i].key != NULL)
			CHECK_BYTES(parts.key.data, (int) parts.key.len, cases[i].key,
						(int) strlen(cases[i].key));
		CHECK_BYTES(parts.headers.data, (int) parts.headers.len, "headers", 7);

		/* a body that is cut or too long is refused */
		event.body.len--;
		CHECK(!hce_event_parts(&skeleton, &event, &parts));
		event.body.len++;
		hce_bytes_append_char(&body, 'x');
		event.body = slice_of(&body);
		CHECK(!hce_event_parts(&skeleton, &event, &parts));
	}
}

/* Each way to cut a skeleton short is seen, and so is a byte too many. */
static void
skeleton_cut_short(void)
{
	HceBytes	bytes;
	HceSkeleton skeleton;
	HceSlice	slice;

	hce_bytes_init(&bytes, CurrentMemoryContext, 64);
	hce_skeleton_write(&bytes, &healthcore);
	slice = slice_of(&bytes);
	for (slice.len = 0; slice.len < bytes.used; slice.len++)
		CHECK(!hce_skeleton_parse(slice, &skeleton));
	CHECK(hce_skeleton_parse(slice, &skeleton));
	hce_bytes_append_char(&bytes, '\0');
	CHECK(!hce_skeleton_parse(slice_of(&bytes), &skeleton));
}

const UnitTest event_text_tests[] = {
	{"event text: timestamps as gmtime", timestamps_as_gmtime},
	{"event text: timestamps at the edges", timestamps_at_the_edges},
	{"event text: envelope of an attachment", envelope_of_an_attachment},
	{"event text: keys", keys},
	{"event text: skeleton cut short", skeleton_cut_short},
	{NULL, NULL}
};
