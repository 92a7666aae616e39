/*-------------------------------------------------------------------------
 *
 * relay_cursor.c
 *		The events of a committed transaction, one after the other.
 *
 * Their records are in memory, or read again from where they were copied to
 * or from the WAL, one at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/memutils.h"

#include "relay/relay.h"

/* Keep data that was read again: the reader's memory is its own. */
static void
keep_reread(HceRelay *relay, const HceSegment *segment, HceSlice data)
{
	HceCursor  *cursor = &relay->cursor;

	if (cursor->reread_size < data.len)
	{
		if (cursor->reread != NULL)
			pfree(cursor->reread);
		cursor->reread_size = data.len;
		cursor->reread = MemoryContextAllocHuge(relay->context, data.len);
	}
	memcpy(cursor->reread, data.data, data.len);
	cursor->reread_len = data.len;
	cursor->reread_lsn = segment->record->lsn;
	cursor->reread_as = segment->copied_as;
}

/*
 * The data of a segment's record: in memory, or read again from where it was
 * copied to or from the WAL.
 */
static HceSlice
segment_data(HceRelay *relay, const HceSegment *segment)
{
	HceCursor  *cursor = &relay->cursor;
	const HceRecord *record = segment->record;

	if (record->data != NULL)
		return (HceSlice) {record->data, record->len};
	if (cursor->reread_lsn != record->lsn ||
		cursor->reread_as != segment->copied_as)
	{
		if (TransactionIdIsValid(segment->copied_as))
			hce_open_records_read(relay, segment, keep_reread);
		else
			keep_reread(relay, segment, hce_relay_read_again(relay, record->lsn));
	}
	return (HceSlice) {cursor->reread, cursor->reread_len};
}

static void
malformed(XLogRecPtr lsn)
{
	ereport(ERROR,
			errcode(ERRCODE_DATA_CORRUPTED),
			errmsg("malformed journal record at %X/%X", LSN_FORMAT_ARGS(lsn)));
}

/* Place the cursor before the first event of its segment. */
static void
open_segment(HceRelay *relay, const HceCommitted *committed)
{
	HceCursor  *cursor = &relay->cursor;
	const HceSegment *segment = &committed->segments[cursor->segment];
	HceSlice	data = segment_data(relay, segment);
	TransactionId xid;
	bool		found;

	found = hce_journal_open(&cursor->reader, data.data, data.len);
	for (uint32 i = 0; found && i <= segment->number; i++)
		found = hce_journal_next_segment(&cursor->reader, &xid, &cursor->left);
	cursor->span_left = segment->span - 1;
	if (cursor->reader.skeletons != NULL)
		pfree(cursor->reader.skeletons);
	cursor->reader.skeletons = NULL;
	if (!found)
		malformed(segment->record->lsn);
	cursor->segment_open = true;
}

/*
 * Read the next event of the transaction, unless the last one read is not done
 * with; false at the transaction's end.  It is in the cursor's "event" then.
 */
bool
hce_cursor_next(HceRelay *relay, HceCommitted *committed)
{
	HceCursor  *cursor = &relay->cursor;

	while (!cursor->event_read)
	{
		TransactionId xid;

		if (cursor->segment == committed->nsegments)
			return false;
		if (!cursor->segment_open)
			open_segment(relay, committed);
		else if (cursor->left > 0)
		{
			if (!hce_journal_next_event(&cursor->reader, &cursor->event))
				malformed(committed->segments[cursor->segment].record->lsn);
			cursor->event_read = true;
		}
		else if (cursor->span_left > 0)
		{
			if (!hce_journal_next_segment(&cursor->reader, &xid, &cursor->left))
				malformed(committed->segments[cursor->segment].record->lsn);
			cursor->span_left--;
		}
		else
		{
			hce_assembler_release_segment(relay->assembler, committed,
										  cursor->segment);
			cursor->segment++;
			cursor->segment_open = false;
		}
	}
	return true;
}

/* The cursor's event is done with. */
void
hce_cursor_done(HceCursor *cursor)
{
	cursor->event_read = false;
	cursor->left--;
	cursor->index++;
}
