/*-------------------------------------------------------------------------
 *
 * journal_decode.c
 *		Taking a journal record apart.
 *
 * The bytes come from the WAL and are checked as if they came from an enemy:
 * nothing is read beyond the record, no count in it is believed before the
 * bytes that it counts have been seen, and no allocation is larger than sixteen
 * times the record.  A record that is malformed in any way ends the walk, and
 * hce_journal_malformed() then says so; the walker itself never raises an
 * error (palloc apart).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "event/journal_record.h"

/*
 * The least that a skeleton takes: its length, four strings, two counts and
 * one piece.  Keeps the array of skeletons in proportion to the record.
 */
#define SMALLEST_SKELETON	8

/* Mark a reader as malformed: no event is found any more. */
static bool
fail(HceJournalReader *reader)
{
	reader->pos = NULL;
	reader->segments_left = 0;
	reader->events_left = 0;
	return false;
}

/* Find the record's skeletons; they stay in the record's memory. */
static bool
open_skeletons(HceJournalReader *reader)
{
	uint64		count;

	if (!hce_get_varint(&reader->pos, reader->end, &count))
		return false;

	if (count > (uint64) (reader->end - reader->pos) / SMALLEST_SKELETON)
		return false;
	reader->nskeletons = (int) count;
	reader->skeletons = palloc(sizeof(HceSlice) * Max(count, 1));
	for (int i = 0; i < reader->nskeletons; i++)
	{
		if (!hce_get_string(&reader->pos, reader->end, &reader->skeletons[i]))
			return false;
	}
	return true;
}

/*
 * Begin to read the record of "len" bytes at "data".
 *
 * The reader and all that it returns point into "data".  Its array of
 * skeletons is allocated in the current memory context.  False if the head of
 * the record is malformed.
 */
bool
hce_journal_open(HceJournalReader *reader, const char *data, Size len)
{
	uint64		segments;

	memset(reader, 0, sizeof(*reader));
	reader->pos = (const uint8 *) data;
	reader->end = reader->pos + len;

	if (len < sizeof(reader->seed) + sizeof(reader->base_time) ||
		len > PG_INT32_MAX)
		return fail(reader);
	memcpy(reader->seed, reader->pos, sizeof(reader->seed));
	reader->pos += sizeof(reader->seed);
	memcpy(&reader->base_time, reader->pos, sizeof(reader->base_time));
	reader->pos += sizeof(reader->base_time);

	if (!open_skeletons(reader) ||
		!hce_get_varint(&reader->pos, reader->end, &segments) ||
		segments > (uint64) (reader->end - reader->pos))
		return fail(reader);
	reader->segments_left = (int) segments;
	reader->segment_end = reader->pos;
	return true;
}

/*
 * Go to the next segment, skipping what is left of the current one.
 *
 * False at the end of the record, or when it is malformed.
 */
bool
hce_journal_next_segment(HceJournalReader *reader, TransactionId *xid,
						 uint32 *nevents)
{
	uint64		first;
	uint64		count;
	uint64		nbytes;

	if (reader->pos == NULL)
		return false;
	reader->pos = reader->segment_end;
	reader->events_left = 0;
	if (reader->segments_left == 0)
		return reader->pos == reader->end ? false : fail(reader);
	reader->segments_left--;

	if ((Size) (reader->end - reader->pos) < sizeof(reader->xid))
		return fail(reader);
	memcpy(&reader->xid, reader->pos, sizeof(reader->xid));
	reader->pos += sizeof(reader->xid);
	if (!TransactionIdIsValid(reader->xid) ||
		!hce_get_varint(&reader->pos, reader->end, &first) ||
		!hce_get_varint(&reader->pos, reader->end, &count) ||
		!hce_get_varint(&reader->pos, reader->end, &nbytes) ||
		nbytes > (uint64) (reader->end - reader->pos) ||
		count > nbytes ||		/* an event takes three bytes at least */
		first > PG_UINT32_MAX - count)
		return fail(reader);

	reader->number = (uint32) first;
	reader->events_left = (uint32) count;
	reader->segment_end = reader->pos + nbytes;
	*xid = reader->xid;
	*nevents = (uint32) count;
	return true;
}

/*
 * Whether the record's segments fill it exactly; the reader, just opened,
 * stays where it is.  Their events are not looked at.
 */
bool
hce_journal_segments_valid(const HceJournalReader *reader)
{
	HceJournalReader copy = *reader;
	TransactionId xid;
	uint32		nevents;

	while (hce_journal_next_segment(&copy, &xid, &nevents))
		;
	return !hce_journal_malformed(&copy);
}

/*
 * Find the next event of the current segment.
 *
 * False at the end of the segment, or when the record is malformed.
 */
bool
hce_journal_next_event(HceJournalReader *reader, HceJournalEvent *event)
{
	uint64		tag;
	uint64		delta;

	if (reader->pos == NULL)
		return false;
	if (reader->events_left == 0)
		return reader->pos == reader->segment_end ? false : fail(reader);

	if (!hce_get_varint(&reader->pos, reader->segment_end, &tag) ||
		!hce_get_varint(&reader->pos, reader->segment_end, &delta) ||
		!hce_get_string(&reader->pos, reader->segment_end, &event->body) ||
		(tag >> 2) >= (uint64) reader->nskeletons)
		return fail(reader);

	event->xid = reader->xid;
	event->number = reader->number++;
	event->captured_at = (TimestampTz) ((uint64) reader->base_time +
										(uint64) hce_unzigzag(delta));
	event->skeleton = (int) (tag >> 2);
	event->flags = (int) (tag & 3);
	reader->events_left--;
	return true;
}

/* True once something in the record did not make sense. */
bool
hce_journal_malformed(const HceJournalReader *reader)
{
	return reader->pos == NULL;
}

/*
 * Cut out of a record what belongs to one (sub)transaction.
 *
 * Writes a journal record to "dst", which has room for "len" bytes, and
 * returns its length; 0 if the record at "data" is malformed.  Of segments of
 * other (sub)transactions an empty one is left, so that segments keep their
 * places and events their numbers, from which their ids are derived.
 */
Size
hce_journal_cut(char *dst, const char *data, Size len, TransactionId xid)
{
	HceJournalReader reader;
	const uint8 *start;
	TransactionId owner;
	uint32		nevents;
	char	   *end;

	if (!hce_journal_open(&reader, data, len))
		return 0;
	pfree(reader.skeletons);
	start = reader.segment_end;
	memcpy(dst, data, (const char *) start - data);
	end = dst + ((const char *) start - data);
	while (hce_journal_next_segment(&reader, &owner, &nevents))
	{
		Size		size = reader.segment_end - start;

		if (owner == xid)
		{
			memcpy(end, start, size);
			end += size;
		}
		else
		{
			/* no first number, no events, no bytes */
			memcpy(end, &owner, sizeof(owner));
			memset(end + sizeof(owner), 0, 3);
			end += sizeof(owner) + 3;
		}
		start = reader.segment_end;
	}
	return hce_journal_malformed(&reader) ? 0 : end - dst;
}

/*
 * Take a skeleton apart.
 *
 * Slices point into "bytes"; the array of pieces is allocated in the current
 * memory context.
 */
bool
hce_skeleton_parse(HceSlice bytes, HceSkeleton *skeleton)
{
	const uint8 *pos = (const uint8 *) bytes.data;
	const uint8 *end = pos + bytes.len;
	uint64		key_mode;
	uint64		nvalues;

	if (!hce_get_string(&pos, end, &skeleton->event_type) ||
		!hce_get_string(&pos, end, &skeleton->source) ||
		!hce_get_string(&pos, end, &skeleton->schema) ||
		!hce_get_string(&pos, end, &skeleton->table) ||
		!hce_get_varint(&pos, end, &key_mode) ||
		!hce_get_varint(&pos, end, &nvalues))
		return false;

	/* every piece has a length of one byte at least */
	if (key_mode > HCE_KEY_FAILED || nvalues >= (uint64) (end - pos))
		return false;
	if (key_mode == HCE_KEY_FAILED && nvalues < HCE_FAILED_NVALUES)
		return false;
	if ((key_mode == HCE_KEY_NUMBER || key_mode == HCE_KEY_STRING) &&
		nvalues < 1)
		return false;

	skeleton->key_mode = (HceKeyMode) key_mode;
	skeleton->nvalues = (int) nvalues;
	skeleton->pieces = palloc(sizeof(HceSlice) * (nvalues + 1));
	for (uint64 i = 0; i <= nvalues; i++)
	{
		if (!hce_get_string(&pos, end, &skeleton->pieces[i]))
			return false;
	}
	return pos == end;
}
