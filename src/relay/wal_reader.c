/*-------------------------------------------------------------------------
 *
 * wal_reader.c
 *		Reading WAL records up to the flush pointer, without ever waiting.
 *
 * Owns an XLogReaderState, the open segment file and a buffer of 128 kB that
 * is filled by one pread; the XLogReader asks for a page at a time.  The file
 * is opened here and not by WALRead(): reading ahead there would move the
 * segment that the XLogReader believes to have read its page from.
 *
 * Never reads past the flush pointer, which alone makes asynchronous commits
 * safe: what a consumer has seen survives a crash of the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/rmgr.h"
#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "access/xlogutils.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "relay/wal_reader.h"

#define READ_AHEAD	(128 * 1024)

/* What is kept of the buffer in which records are put together. */
#define RECORD_BUFFER	(4 * 1024 * 1024)

struct HceWalReader
{
	MemoryContext context;
	XLogReaderState *xlog;
	XLogRecPtr	limit;			/* flush pointer, as last looked up */
	TimeLineID	timeline;		/* the server's, at the same moment */
	char	   *buffer;
	XLogRecPtr	buffer_start;
	uint32		buffer_len;
	int			file;			/* -1 = none */
	XLogSegNo	file_segment;
	TimeLineID	file_timeline;
	XLogRecPtr	last;			/* start of the record read last */
	XLogRecPtr	end;			/* and its end */
};

/* Have the segment of "lsn" open, as timeline "tli" wrote it. */
static void
open_segment(HceWalReader *reader, XLogRecPtr lsn, TimeLineID tli)
{
	XLogSegNo	segment;
	char		path[MAXPGPATH];

	XLByteToSeg(lsn, segment, wal_segment_size);
	if (reader->file >= 0 && reader->file_segment == segment &&
		reader->file_timeline == tli)
		return;
	if (reader->file >= 0)
		close(reader->file);

	XLogFilePath(path, tli, segment, wal_segment_size);
	reader->file = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	if (reader->file < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not open WAL file \"%s\": %m", path),
				errhint("Journal that was removed is recorded in hcevents.gaps when the relay starts again."));
	reader->file_segment = segment;
	reader->file_timeline = tli;
}

/*
 * Fill the buffer from "page" on, with all that is flushed, is in the same
 * segment and fits.
 */
static void
fill_buffer(HceWalReader *reader, XLogRecPtr page)
{
	TimeLineID	tli = reader->xlog->currTLI;
	uint32		offset = XLogSegmentOffset(page, wal_segment_size);
	uint32		wanted = Min(READ_AHEAD, wal_segment_size - offset);
	int			got;

	wanted = Min(wanted, reader->limit - page);
	open_segment(reader, page, tli);
	pgstat_report_wait_start(WAIT_EVENT_WAL_READ);
	got = pg_pread(reader->file, reader->buffer, wanted, offset);
	pgstat_report_wait_end();
	if (got < 0 || (uint32) got < wanted)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not read WAL at %X/%X: read %d of %u bytes: %m",
					   LSN_FORMAT_ARGS(page), got, wanted));

	/* The file may have been recycled while we read it. */
	CheckXLogRemoved(reader->file_segment, tli);
	reader->buffer_start = page;
	reader->buffer_len = wanted;
}

/*
 * XLogReader's page_read callback: one page, from the buffer.  Returning
 * XLREAD_WOULDBLOCK keeps the reader's state, so that the same call works
 * later when more is flushed.
 */
static int
read_page(XLogReaderState *xlog, XLogRecPtr page, int wanted,
		  XLogRecPtr record, char *dst)
{
	HceWalReader *reader = xlog->private_data;
	uint32		available;

	if (page + wanted > reader->limit)
		return XLREAD_WOULDBLOCK;

	/*
	 * A segment is read as the newest timeline on it wrote it; that one also
	 * holds what earlier timelines wrote before the switch.
	 */
	XLogReadDetermineTimeline(xlog, page, wanted, reader->timeline);

	available = Min(XLOG_BLCKSZ, reader->limit - page);
	if (page < reader->buffer_start ||
		page + available > reader->buffer_start + reader->buffer_len ||
		xlog->currTLI != reader->file_timeline)
		fill_buffer(reader, page);
	memcpy(dst, reader->buffer + (page - reader->buffer_start), available);
	return (int) available;
}

/*
 * Make a reader in "context"; it lives as long as the process.  Raises
 * ERRCODE_OUT_OF_MEMORY only.
 */
HceWalReader *
hce_wal_reader_create(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	HceWalReader *reader = palloc0(sizeof(HceWalReader));

	reader->context = context;
	reader->buffer = palloc(READ_AHEAD);
	reader->file = -1;
	reader->xlog = XLogReaderAllocate(wal_segment_size, NULL,
									  XL_ROUTINE(.page_read = read_page,
												 .segment_open = wal_segment_open,
												 .segment_close = wal_segment_close),
									  reader);
	if (reader->xlog == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	MemoryContextSwitchTo(old);
	return reader;
}

/*
 * Look up how far WAL is flushed, and return it.  Records up to there are
 * what hce_wal_reader_next() gives.
 */
XLogRecPtr
hce_wal_reader_refresh(HceWalReader *reader)
{
	if (RecoveryInProgress())
		reader->limit = GetXLogReplayRecPtr(&reader->timeline);
	else
		reader->limit = GetFlushRecPtr(&reader->timeline);
	return reader->limit;
}

/* Continue at "lsn", which must be the start of a record. */
void
hce_wal_reader_seek(HceWalReader *reader, XLogRecPtr lsn)
{
	hce_wal_reader_refresh(reader);
	XLogBeginRead(reader->xlog, lsn);
	reader->last = lsn;
	reader->end = lsn;
}

/*
 * The start of the first record at or after "lsn", which may be any place in
 * the WAL; where the next one will be written when there is none yet.
 */
XLogRecPtr
hce_wal_reader_find(HceWalReader *reader, XLogRecPtr lsn)
{
	MemoryContext old;

	hce_wal_reader_refresh(reader);
	old = MemoryContextSwitchTo(reader->context);
	lsn = XLogFindNextRecord(reader->xlog, lsn);
	MemoryContextSwitchTo(old);
	return XLogRecPtrIsInvalid(lsn) ? GetXLogInsertRecPtr() : lsn;
}

/* Whether a segment is there, on whichever timeline of the history. */
static bool
has_segment(List *history, XLogSegNo segment)
{
	ListCell   *cell;

	foreach(cell, history)
	{
		TimeLineHistoryEntry *entry = lfirst(cell);
		char		path[MAXPGPATH];

		XLogFilePath(path, entry->tli, segment, wal_segment_size);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/*
 * From where on all WAL is there, up to what is flushed: "lsn", or the start
 * of the first segment behind the last one that is missing.  A crash while
 * the server removes segments may leave a hole.
 */
XLogRecPtr
hce_wal_reader_kept(XLogRecPtr lsn)
{
	TimeLineID	timeline;
	XLogRecPtr	end;
	List	   *history;
	XLogSegNo	first;
	XLogSegNo	segment;

	if (RecoveryInProgress())
		end = GetXLogReplayRecPtr(&timeline);
	else
	{
		end = GetFlushRecPtr(NULL);
		timeline = GetWALInsertionTimeLine();
	}
	if (lsn >= end)
		return lsn;				/* none is needed yet */
	history = readTimeLineHistory(timeline);
	XLByteToSeg(lsn, first, wal_segment_size);
	XLByteToPrevSeg(end, segment, wal_segment_size);
	while (segment > first && has_segment(history, segment))
		segment--;
	if (!has_segment(history, segment))
		XLogSegNoOffsetToRecPtr(segment + 1, 0, wal_segment_size, lsn);
	list_free_deep(history);
	return lsn;
}

/*
 * The XLogReader puts a record that lies on several pages together in a
 * buffer that never shrinks by itself, and any role can write a logical
 * message of a gigabyte.  The decoded record is elsewhere.
 */
static void
shrink_buffer(XLogReaderState *xlog)
{
	if (likely(xlog->readRecordBufSize <= RECORD_BUFFER))
		return;
	xlog->readRecordBuf = repalloc(xlog->readRecordBuf, RECORD_BUFFER);
	xlog->readRecordBufSize = RECORD_BUFFER;
}

/* Whether the relay may have a use for a record. */
static bool
is_wanted(const XLogRecord *record)
{
	return record->xl_rmid == RM_LOGICALMSG_ID ||
		record->xl_rmid == RM_XACT_ID || record->xl_rmid == RM_XLOG_ID;
}

/*
 * Pass by records that the relay has no use for, most of what is in the WAL: a
 * look at the header costs a twentieth of what it takes to decode one.
 *
 * Stops before a wanted one, and before one that does not lie on one page with
 * more behind it: the XLogReader begins at the start of a record only, and has
 * to see each page's header.  All that is passed is in the buffer, so in one
 * segment of one timeline, and flushed; its checksum is not looked at, but each
 * record must point to the one before.
 */
static void
pass_by(HceWalReader *reader)
{
	XLogRecPtr	filled = reader->buffer_start + reader->buffer_len;
	XLogRecPtr	last = reader->last;
	XLogRecPtr	place = reader->end;

	/* where reading has just begun there is no record before */
	if (last == place || place < reader->buffer_start ||
		reader->xlog->currTLI != reader->file_timeline)
		return;
	while (place + SizeOfXLogRecord <= filled)
	{
		const XLogRecord *record =
			(const XLogRecord *) (reader->buffer + (place - reader->buffer_start));
		uint32		left = XLOG_BLCKSZ - place % XLOG_BLCKSZ;

		if (left == XLOG_BLCKSZ || left < SizeOfXLogRecord ||
			record->xl_tot_len < SizeOfXLogRecord ||
			record->xl_tot_len > left || MAXALIGN(record->xl_tot_len) >= left ||
			place + MAXALIGN(record->xl_tot_len) > filled ||
			record->xl_prev != last || is_wanted(record))
			break;
		last = place;
		place += MAXALIGN(record->xl_tot_len);
	}
	if (place == reader->end)
		return;
	XLogBeginRead(reader->xlog, place);
	reader->last = last;
	reader->end = place;
}

/*
 * The next record, or NULL when the rest is not flushed yet; those that are not
 * wanted, see is_wanted(), may be passed by.  The record is valid until the next
 * call.  An invalid record raises an error: up to the flush pointer there must
 * not be one.
 */
XLogReaderState *
hce_wal_reader_next(HceWalReader *reader)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	char	   *message;
	XLogRecord *record;

	pass_by(reader);
	record = XLogReadRecord(reader->xlog, &message);
	/* it allocates its buffers when it first needs them */
	MemoryContextSwitchTo(old);
	if (record != NULL)
	{
		/* behind those passed by, the XLogReader checks that but loosely */
		if (reader->last != reader->end && record->xl_prev != reader->last)
			ereport(ERROR,
					errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("the WAL record at %X/%X does not follow the one at %X/%X",
						   LSN_FORMAT_ARGS(reader->xlog->ReadRecPtr),
						   LSN_FORMAT_ARGS(reader->last)));
		reader->last = reader->xlog->ReadRecPtr;
		reader->end = reader->xlog->EndRecPtr;
		shrink_buffer(reader->xlog);
		return reader->xlog;
	}
	if (message != NULL)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("could not read WAL after %X/%X: %s",
					   LSN_FORMAT_ARGS(reader->end), message));
	return NULL;
}

/*
 * The start of the record read last, or where reading began: a place where
 * reading may begin again.
 */
XLogRecPtr
hce_wal_reader_last(const HceWalReader *reader)
{
	return reader->last;
}

/* The end of the record read last. */
XLogRecPtr
hce_wal_reader_end(const HceWalReader *reader)
{
	return reader->end;
}
