/*-------------------------------------------------------------------------
 *
 * event_text.c
 *		An event's key, headers and envelope, from its journal record.
 *
 * The same code serves the relay and preview(), so that what a DBA is shown
 * is what a consumer receives.  Pure: memory is the caller's, nothing is
 * allocated and nothing can fail but a malformed body.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "event/event_text.h"

#define ENVELOPE_HEAD	"{\"event_id\":\""
#define ENVELOPE_TYPE	"\",\"event_type\":\""
#define ENVELOPE_TIME	"\",\"timestamp\":\""

/* What four digits of a year can say: 0000-01-01 to the end of 9999. */
#define FIRST_TIMESTAMP	(-INT64CONST(730485) * USECS_PER_DAY)
#define LAST_TIMESTAMP	(INT64CONST(2921940) * USECS_PER_DAY - 1)

static inline char *
append(char *dst, const char *data, Size len)
{
	memcpy(dst, data, len);
	return dst + len;
}

static inline char *
append_2_digits(char *dst, int value)
{
	dst[0] = (char) ('0' + value / 10);
	dst[1] = (char) ('0' + value % 10);
	return dst + 2;
}

/* Write date and time down to the second, and a point: 20 bytes. */
static void
format_second(int64 second, char *dst)
{
	int64		day_number = second / SECS_PER_DAY;
	int			in_day = (int) (second % SECS_PER_DAY);
	int			year,
				month,
				day;

	if (in_day < 0)
	{
		in_day += SECS_PER_DAY;
		day_number--;
	}
	j2date((int) (day_number + POSTGRES_EPOCH_JDATE), &year, &month, &day);
	dst = append_2_digits(dst, year / 100);
	dst = append_2_digits(dst, year % 100);
	*dst++ = '-';
	dst = append_2_digits(dst, month);
	*dst++ = '-';
	dst = append_2_digits(dst, day);
	*dst++ = 'T';
	dst = append_2_digits(dst, in_day / SECS_PER_HOUR);
	*dst++ = ':';
	dst = append_2_digits(dst, in_day / SECS_PER_MINUTE % MINS_PER_HOUR);
	*dst++ = ':';
	dst = append_2_digits(dst, in_day % SECS_PER_MINUTE);
	*dst = '.';
}

/*
 * Write an ISO-8601 UTC timestamp with microseconds, HCE_TIMESTAMP_TEXT bytes
 * without a NUL.  The part down to the second is kept from call to call:
 * events come in bursts.  A time beyond four digits of a year, which only a
 * damaged record can hold, becomes the nearest that has them.
 */
void
hce_event_timestamp(TimestampTz when, char *dst)
{
	static int64 cached_second = PG_INT64_MIN;
	static char cached[20];
	int64		second;
	int			usec;

	when = Min(Max(when, FIRST_TIMESTAMP), LAST_TIMESTAMP);
	second = when / USECS_PER_SEC;
	usec = (int) (when % USECS_PER_SEC);
	if (usec < 0)
	{
		usec += USECS_PER_SEC;
		second--;
	}
	if (second != cached_second)
	{
		format_second(second, cached);
		cached_second = second;
	}
	memcpy(dst, cached, sizeof(cached));
	for (int i = 25; i >= 20; i--)
	{
		dst[i] = (char) ('0' + usec % 10);
		usec /= 10;
	}
	dst[26] = 'Z';
}

/* Find the key of an event whose skeleton says where it is. */
static bool
find_key(const HceSkeleton *skeleton, HceEventParts *parts)
{
	const uint8 *pos = parts->values;
	HceSlice	id;

	if (skeleton->key_mode != HCE_KEY_NUMBER &&
		skeleton->key_mode != HCE_KEY_STRING)
		return true;
	if (!hce_get_string(&pos, parts->values_end, &id))
		return false;
	if (id.len == 4 && memcmp(id.data, "null", 4) == 0)
		return true;			/* no key */
	if (skeleton->key_mode == HCE_KEY_STRING)
	{
		if (id.len < 2)
			return false;
		id.data++;
		id.len -= 2;
	}
	parts->key = id;
	return true;
}

/*
 * Take the body of an event apart.  Returns false if it is malformed, which
 * a record that we wrote ourselves never is.
 */
bool
hce_event_parts(const HceSkeleton *skeleton, const HceJournalEvent *event,
				HceEventParts *parts)
{
	const uint8 *pos = (const uint8 *) event->body.data;
	const uint8 *end = pos + event->body.len;
	HceSlice	skipped;

	parts->key.data = NULL;
	parts->key.len = 0;
	parts->headers = parts->key;
	parts->values = pos;
	for (int i = 0; i < skeleton->nvalues; i++)
	{
		if (!hce_get_string(&pos, end, &skipped))
			return false;
	}
	parts->values_end = pos;

	if (event->flags & HCE_EVENT_HAS_KEY)
	{
		if (!hce_get_string(&pos, end, &parts->key))
			return false;
	}
	else if (!find_key(skeleton, parts))
		return false;
	if ((event->flags & HCE_EVENT_HAS_HEADERS) &&
		!hce_get_string(&pos, end, &parts->headers))
		return false;

	return pos == end;
}

/* At least the length of the envelope. */
Size
hce_event_envelope_bound(const HceSkeleton *skeleton,
						 const HceJournalEvent *event)
{
	Size		size = sizeof(ENVELOPE_HEAD ENVELOPE_TYPE ENVELOPE_TIME) +
		HCE_UUID_TEXT + HCE_TIMESTAMP_TEXT +
		skeleton->event_type.len + event->body.len;

	for (int i = 0; i <= skeleton->nvalues; i++)
		size += skeleton->pieces[i].len;
	return size;
}

/*
 * Write the envelope of an event whose parts were found before; returns the
 * byte after its end.  "dst" has room for hce_event_envelope_bound() bytes.
 */
char *
hce_event_envelope(char *dst, const HceSkeleton *skeleton,
				   const HceJournalEvent *event, const HceEventParts *parts,
				   const char *id_text)
{
	const uint8 *pos = parts->values;

	dst = append(dst, ENVELOPE_HEAD, sizeof(ENVELOPE_HEAD) - 1);
	dst = append(dst, id_text, HCE_UUID_TEXT);
	dst = append(dst, ENVELOPE_TYPE, sizeof(ENVELOPE_TYPE) - 1);
	dst = append(dst, skeleton->event_type.data, skeleton->event_type.len);
	dst = append(dst, ENVELOPE_TIME, sizeof(ENVELOPE_TIME) - 1);
	hce_event_timestamp(event->captured_at, dst);
	dst += HCE_TIMESTAMP_TEXT;
	dst = append(dst, skeleton->pieces[0].data, skeleton->pieces[0].len);
	for (int i = 0; i < skeleton->nvalues; i++)
	{
		HceSlice	value = {NULL, 0};

		(void) hce_get_string(&pos, parts->values_end, &value);
		dst = append(dst, value.data, value.len);
		dst = append(dst, skeleton->pieces[i + 1].data,
					 skeleton->pieces[i + 1].len);
	}
	return dst;
}
