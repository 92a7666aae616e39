/*-------------------------------------------------------------------------
 *
 * wal_units.c
 *		The relay's WAL reader gives each record that is wanted.
 *
 * Reads WAL twice, once as the server does, record by record, and once by the
 * relay's reader, which passes records by.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlog.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "relay/wal_reader.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hce_test_wal_reader);

typedef struct Record
{
	XLogRecPtr	start;
	XLogRecPtr	end;
	bool		wanted;
	pg_crc32c	crc;
} Record;

typedef struct Records
{
	Record	   *items;
	int			count;
	int			capacity;
} Records;

static void
add_record(Records *records, XLogReaderState *xlog)
{
	RmgrId		rmgr = XLogRecGetRmid(xlog);

	if (records->count == records->capacity)
	{
		records->capacity = Max(1024, records->capacity * 2);
		records->items = records->items == NULL ?
			palloc(records->capacity * sizeof(Record)) :
			repalloc_huge(records->items, records->capacity * sizeof(Record));
	}
	records->items[records->count++] = (Record) {
		.start = xlog->ReadRecPtr,
		.end = xlog->EndRecPtr,
		.wanted = rmgr == RM_LOGICALMSG_ID || rmgr == RM_XACT_ID ||
		rmgr == RM_XLOG_ID,
		.crc = xlog->record->header.xl_crc
	};
}

/* All records from "from" to what is flushed. */
static Records
all_records(XLogRecPtr from)
{
	Records		records = {NULL, 0, 0};
	XLogReaderState *xlog =
		XLogReaderAllocate(wal_segment_size, NULL,
						   XL_ROUTINE(.page_read = &read_local_xlog_page_no_wait,
									  .segment_open = &wal_segment_open,
									  .segment_close = &wal_segment_close),
						   palloc0(sizeof(ReadLocalXLogPageNoWaitPrivate)));
	char	   *error;

	if (XLogFindNextRecord(xlog, from) != InvalidXLogRecPtr)
		while (XLogReadRecord(xlog, &error) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			add_record(&records, xlog);
		}
	XLogReaderFree(xlog);
	return records;
}

/*
 * What the relay's reader gives from a record on to what is flushed, looked up
 * again and again for so many milliseconds.  Its place must be that of the
 * record it gave last.  The last record is what it says it has come to.
 */
static Records
wanted_records(HceWalReader *reader, XLogRecPtr from, int milliseconds)
{
	Records		records = {NULL, 0, 0};
	TimestampTz end = GetCurrentTimestamp() + milliseconds * INT64CONST(1000);

	hce_wal_reader_seek(reader, from);
	do
	{
		XLogReaderState *xlog;

		hce_wal_reader_refresh(reader);
		while ((xlog = hce_wal_reader_next(reader)) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			if (hce_wal_reader_last(reader) != xlog->ReadRecPtr ||
				hce_wal_reader_end(reader) != xlog->EndRecPtr)
				elog(ERROR, "the reader is at %X/%X, its record at %X/%X",
					 LSN_FORMAT_ARGS(hce_wal_reader_last(reader)),
					 LSN_FORMAT_ARGS(xlog->ReadRecPtr));
			add_record(&records, xlog);
		}
	} while (GetCurrentTimestamp() < end);
	return records;
}

/*
 * What the relay's reader gave from the record "first" on must be the list of
 * all without some that are not wanted.  Returns how many it passed by.
 */
static int
compare(const Records *all, int first, const Records *given, XLogRecPtr end)
{
	int			passed = 0;
	int			g = 0;
	int			i;

	for (i = first; i < all->count && all->items[i].end <= end; i++)
	{
		const Record *due = &all->items[i];
		const Record *got = &given->items[g];

		if (g < given->count && got->start == due->start)
		{
			if (got->end != due->end || got->crc != due->crc)
				elog(ERROR, "the record at %X/%X is another one",
					 LSN_FORMAT_ARGS(due->start));
			g++;
		}
		else if (due->wanted)
			elog(ERROR, "the record at %X/%X did not come",
				 LSN_FORMAT_ARGS(due->start));
		else
			passed++;
	}
	if (i == first || all->items[i - 1].end != end)
		elog(ERROR, "there is no record that ends at %X/%X", LSN_FORMAT_ARGS(end));
	if (g < given->count)
		elog(ERROR, "there is no record at %X/%X",
			 LSN_FORMAT_ARGS(given->items[g].start));
	return passed;
}

/*
 * From the first record on and from "places" others; or, while WAL is written,
 * for so many milliseconds from the end on.  Returns how many records there were
 * and how many of them the relay's reader passed by.
 */
Datum
hce_test_wal_reader(PG_FUNCTION_ARGS)
{
	XLogRecPtr	from = PG_GETARG_LSN(0);
	int			places = PG_GETARG_INT32(1);
	int			milliseconds = PG_GETARG_INT32(2);
	HceWalReader *reader = hce_wal_reader_create(CurrentMemoryContext);
	Records		given;
	Records		all;
	XLogRecPtr	end;
	int			passed;

	from = hce_wal_reader_find(reader, from);
	given = wanted_records(reader, from, milliseconds);
	end = hce_wal_reader_end(reader);
	all = all_records(from);
	passed = compare(&all, 0, &given, end);
	for (int place = 1; place <= places; place++)
	{
		int			first = (int) ((int64) all.count * place / (places + 1));

		given = wanted_records(reader, all.items[first].start, 0);
		end = hce_wal_reader_end(reader);
		if (end > all.items[all.count - 1].end)
			all = all_records(from);
		(void) compare(&all, first, &given, end);
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d %d", all.count, passed)));
}
