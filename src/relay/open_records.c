/*-------------------------------------------------------------------------
 *
 * open_records.c
 *		Journal records of open transactions that must not retain WAL.
 *
 * A transaction that captured events and stays open, or prepared, would keep
 * the WAL from its first journal record on.  When that is more than the limit
 * its records are copied to the table hcevents.open_records, in the
 * transaction of relay_store.c that moves restart_lsn over them.
 *
 * A row holds what one (sub)transaction has in one record (hce_journal_cut),
 * so rows live and die by their xid: the end of a (sub)transaction in the WAL
 * says what becomes of them, and nothing else does.  Which xids have rows is
 * kept in memory here; the assembler knows where the data of its segments is.
 *
 * Invariants, on which completeness rests:
 *
 *	1. Rows begin before restart_lsn, the ends of their transactions do not,
 *	   unless the rows go in the transaction that moves restart_lsn over the
 *	   end.  So a new relay takes in the rows first, then reads the WAL from
 *	   restart_lsn on, and meets each end that is still to come: nothing that
 *	   is over comes back, and nothing that is not over is missed.
 *	2. The rows of a rolled-back (sub)transaction, or of one lost in a crash,
 *	   are deleted with the next position row.
 *	3. Those of a committed one are needed until the position has passed its
 *	   commit record, and are deleted with the row that says so.  Until then
 *	   the assembler, or the settlement, holds restart_lsn at the commit.
 *	4. Rows at or behind restart_lsn, as there are when something else holds
 *	   it, are deleted at the start: the WAL has those records still.
 *	5. PREPARE TRANSACTION may lie before restart_lsn as well, so a row tells
 *	   whether its transaction is prepared: if not, the next start of the server
 *	   ends it.
 *
 * An xid that was lost in a crash may be given out again at once.  Its old
 * rows are deleted before new ones are written, in the same transaction or an
 * earlier one.  LSNs are not ambiguous: all that a row may be compared with
 * lies in the same history, whatever the timeline; a database that has become
 * another one forgets all rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "replication/slot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "relay/parking.h"
#include "settings.h"

/* How often open transactions are looked at. */
#define LOOK_US			(200 * 1000)

/* When rows that nobody needs are deleted. */
#define DELETE_US		USECS_PER_SEC

/*
 * What is copied with one position row, in bytes of records; more follows with
 * the next one, so that reports and commits are served in between.
 */
#define COPY_BATCH		(4 * 1024 * 1024)

/* Beside its record, what a row counts against that. */
#define ROW_COST		500

/* Rows that are read at a time at the start. */
#define LOAD_ROWS		100

/* A (sub)transaction that has rows. */
typedef struct OpenXid
{
	TransactionId xid;			/* hash key */
	bool		prepared;
	bool		prepared_stored;	/* its rows say so */
	bool		over;
	XLogRecPtr	commit_lsn;		/* when over by a commit that is not settled */
} OpenXid;

struct HceOpenRecords
{
	HTAB	   *xids;
	uint64		dropped;		/* of them: over, and not by a commit */
	bool		copy;			/* with the next position row */
	TimestampTz looked;
	XLogRecPtr	before;			/* while copying: what begins before it */
	SPIPlanPtr	insert;			/* likewise */
	Size		copied;			/* likewise, bytes */
};

static void
check_spi(int result, int expected)
{
	if (result != expected)
		elog(ERROR, "could not use hcevents.open_records: %s",
			 SPI_result_code_string(result));
}

static OpenXid *
note_xid(HceOpenRecords *open, TransactionId xid, bool prepared)
{
	bool		found;
	OpenXid    *entry = hash_search(open->xids, &xid, HASH_ENTER, &found);

	if (!found)
	{
		entry->prepared = entry->prepared_stored = prepared;
		entry->over = false;
		entry->commit_lsn = InvalidXLogRecPtr;
	}
	return entry;
}

static void
end_xid(HceOpenRecords *open, OpenXid *entry, XLogRecPtr commit_lsn)
{
	if (entry == NULL || entry->over)
		return;
	entry->over = true;
	entry->commit_lsn = commit_lsn;
	open->dropped += XLogRecPtrIsInvalid(commit_lsn) ? 1 : 0;
}

/*
 * A (sub)transaction, with its children, has ended: by the commit at
 * "commit_lsn", or, if that is invalid, in a way that its events need not be
 * sent.
 */
void
hce_open_records_end(HceRelay *relay, TransactionId xid, int nsubxacts,
					 const TransactionId *subxacts, XLogRecPtr commit_lsn)
{
	HceOpenRecords *open = relay->open_records;

	if (hash_get_num_entries(open->xids) == 0)
		return;
	end_xid(open, hash_search(open->xids, &xid, HASH_FIND, NULL), commit_lsn);
	for (int i = 0; i < nsubxacts; i++)
		end_xid(open, hash_search(open->xids, &subxacts[i], HASH_FIND, NULL),
				commit_lsn);
}

static void
prepare_xid(HceOpenRecords *open, TransactionId xid)
{
	OpenXid    *entry = hash_search(open->xids, &xid, HASH_FIND, NULL);

	if (entry != NULL)
		entry->prepared = true;
}

/* PREPARE TRANSACTION: its rows are to say so. */
void
hce_open_records_prepare(HceRelay *relay, TransactionId xid, int nsubxacts,
						 const TransactionId *subxacts)
{
	HceOpenRecords *open = relay->open_records;

	if (hash_get_num_entries(open->xids) == 0)
		return;
	prepare_xid(open, xid);
	for (int i = 0; i < nsubxacts; i++)
		prepare_xid(open, subxacts[i]);
}

/* The server has come up anew, see hce_assembler_server_restarted(). */
void
hce_open_records_server_restarted(HceRelay *relay)
{
	HceOpenRecords *open = relay->open_records;
	HASH_SEQ_STATUS scan;
	OpenXid    *entry;

	hash_seq_init(&scan, open->xids);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->prepared)
			end_xid(open, entry, InvalidXLogRecPtr);
	}
}

/*
 * Whether an open transaction retains more WAL than it may.  Without a slot,
 * at the relay's end, there is nothing to give back.
 */
static bool
retains_too_much(HceRelay *relay)
{
	uint64		limit = hce_parking_wal_limit(hce_max_retained_wal);
	XLogRecPtr	first;

	if (limit == 0 || MyReplicationSlot == NULL)
		return false;
	first = hce_assembler_first_open(relay->assembler);
	return !XLogRecPtrIsInvalid(first) && GetXLogInsertRecPtr() > first + limit;
}

/* Whether the position row should be written because of us. */
bool
hce_open_records_due(HceRelay *relay, TimestampTz now)
{
	HceOpenRecords *open = relay->open_records;

	if (now - open->looked >= LOOK_US)
	{
		open->looked = now;
		open->copy |= retains_too_much(relay);
	}
	return open->copy ||
		(open->dropped > 0 && now - relay->stored_time >= DELETE_US);
}

/* Run a statement whose one parameter is an array of these xids. */
static void
execute_for(const char *sql, Datum *xids, int count, int expected)
{
	Oid			type = INT8ARRAYOID;
	Datum		value;

	if (count == 0)
		return;
	value = PointerGetDatum(construct_array(xids, count, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	check_spi(SPI_execute_with_args(sql, 1, &type, &value, NULL, false, 0),
			  expected);
}

/* Delete the rows that are needed no more, and mark those prepared since. */
static void
store_ends(HceRelay *relay)
{
	HceOpenRecords *open = relay->open_records;
	Size		count = hash_get_num_entries(open->xids);
	Datum	   *gone;
	Datum	   *prepared;
	int			ngone = 0;
	int			nprepared = 0;
	HASH_SEQ_STATUS scan;
	OpenXid    *entry;

	if (count == 0)
		return;
	gone = palloc(count * sizeof(Datum));
	prepared = palloc(count * sizeof(Datum));
	hash_seq_init(&scan, open->xids);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->over && entry->commit_lsn < relay->stored.settled.lsn)
		{
			gone[ngone++] = Int64GetDatum(entry->xid);
			hash_search(open->xids, &entry->xid, HASH_REMOVE, NULL);
		}
		else if (entry->prepared && !entry->prepared_stored)
		{
			prepared[nprepared++] = Int64GetDatum(entry->xid);
			entry->prepared_stored = true;
		}
	}
	open->dropped = 0;
	execute_for("DELETE FROM hcevents.open_records WHERE xid = ANY ($1)",
				gone, ngone, SPI_OK_DELETE);
	execute_for("UPDATE hcevents.open_records SET prepared = true WHERE xid = ANY ($1)",
				prepared, nprepared, SPI_OK_UPDATE);
	pfree(gone);
	pfree(prepared);
}

/* The assembler's callback: insert a row; returns whether more may follow. */
static bool
copy_record(const HceRecord *record, TransactionId xid, bool prepared, void *arg)
{
	HceRelay   *relay = arg;
	HceOpenRecords *open = relay->open_records;
	HceSlice	data = {record->data, record->len};
	bytea	   *cut;
	Size		len;
	Datum		values[4];

	if (data.data == NULL)
		data = hce_relay_read_again(relay, record->lsn);
	cut = palloc(VARHDRSZ + data.len);
	len = hce_journal_cut(VARDATA(cut), data.data, data.len, xid);
	if (len == 0)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("malformed journal record at %X/%X",
					   LSN_FORMAT_ARGS(record->lsn)));
	SET_VARSIZE(cut, VARHDRSZ + len);
	values[0] = Int64GetDatum(xid);
	values[1] = LSNGetDatum(record->lsn);
	values[2] = BoolGetDatum(prepared);
	values[3] = PointerGetDatum(cut);
	check_spi(SPI_execute_plan(open->insert, values, NULL, false, 0), SPI_OK_INSERT);
	pfree(cut);
	(void) note_xid(open, xid, prepared);
	open->copied += len + ROW_COST;
	return open->copied < COPY_BATCH;
}

/*
 * Copy what would retain more than half of the limit, so that the next time
 * is not at once.
 */
static void
copy_records(HceRelay *relay)
{
	HceOpenRecords *open = relay->open_records;
	Oid			types[] = {INT8OID, LSNOID, BOOLOID, BYTEAOID};
	XLogRecPtr	end = GetXLogInsertRecPtr();
	bool		first = hash_get_num_entries(open->xids) == 0;

	open->insert = SPI_prepare("INSERT INTO hcevents.open_records VALUES ($1, $2, $3, $4)",
							   4, types);
	if (open->insert == NULL)
		elog(ERROR, "could not prepare an insert into hcevents.open_records");
	open->copied = 0;
	open->copy = !hce_assembler_copy_open(relay->assembler,
										  end - hce_parking_wal_limit(hce_max_retained_wal) / 2,
										  copy_record, relay);
	SPI_freeplan(open->insert);
	open->insert = NULL;
	if (first)
		ereport(LOG,
				errmsg("the relay of database \"%s\" copies events of open transactions to hcevents.open_records: they retain more WAL than hcevents.max_retained_wal",
					   relay->database),
				errhint("Look for old transactions in pg_stat_activity and pg_prepared_xacts."));
}

/*
 * Write what belongs to the position row, before restart_lsn is looked up;
 * inside its transaction.  Should that fail the relay ends, so memory may run
 * ahead of the table here.
 */
void
hce_open_records_store(HceRelay *relay)
{
	HceOpenRecords *open = relay->open_records;

	store_ends(relay);
	if (open->copy && MyReplicationSlot != NULL)
		copy_records(relay);
}

/*
 * Read the row of a segment that was copied, and hand its data to "take"; it
 * is valid during the call.  In a transaction of its own.
 */
void
hce_open_records_read(HceRelay *relay, const HceSegment *segment,
					  void (*take) (HceRelay *, const HceSegment *, HceSlice))
{
	MemoryContext old = CurrentMemoryContext;
	Oid			types[] = {INT8OID, LSNOID};
	Datum		values[2];
	bool		isnull;
	bytea	   *data;

	values[0] = Int64GetDatum(segment->copied_as);
	values[1] = LSNGetDatum(segment->record->lsn);
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	check_spi(SPI_execute_with_args("SELECT record FROM hcevents.open_records"
									" WHERE xid = $1 AND record_lsn = $2",
									2, types, values, NULL, true, 1),
			  SPI_OK_SELECT);
	if (SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("hcevents.open_records lacks the journal record at %X/%X",
					   LSN_FORMAT_ARGS(segment->record->lsn)));
	data = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	take(relay, segment, (HceSlice) {VARDATA_ANY(data),
				(uint32) VARSIZE_ANY_EXHDR(data)});
	hce_position_commit();
	MemoryContextSwitchTo(old);
}

/*
 * Forget all rows, of a database that has become another one or has lost WAL,
 * and with it perhaps the ends of their transactions.  Returns the first
 * record that is lost so, InvalidXLogRecPtr if there is none.  Inside a
 * transaction begun by hce_position_begin().
 */
XLogRecPtr
hce_open_records_forget_all(void)
{
	Datum		first;
	bool		isnull;

	check_spi(SPI_execute("WITH gone AS (DELETE FROM hcevents.open_records RETURNING record_lsn)"
						  " SELECT pg_catalog.min(record_lsn) FROM gone",
						  false, 0), SPI_OK_SELECT);
	first = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? InvalidXLogRecPtr : DatumGetLSN(first);
}

/* Take in a row. */
static void
load_row(HceRelay *relay, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	TransactionId xid = (TransactionId) DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	XLogRecPtr	lsn = DatumGetLSN(SPI_getbinval(tuple, desc, 2, &isnull));
	bool		prepared = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	Datum		value = SPI_getbinval(tuple, desc, 4, &isnull);
	bytea	   *data = DatumGetByteaPP(value);

	if (!hce_assembler_restore(relay->assembler, lsn, VARDATA_ANY(data),
							   (uint32) VARSIZE_ANY_EXHDR(data), xid, prepared))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("malformed journal record of %X/%X in hcevents.open_records",
					   LSN_FORMAT_ARGS(lsn)));
	(void) note_xid(relay->open_records, xid, prepared);
	if ((Pointer) data != DatumGetPointer(value))
		pfree(data);
}

/* What a new relay finds, in the order of capture for each xid. */
static void
load_rows(HceRelay *relay)
{
	Oid			type = LSNOID;
	Datum		restart = LSNGetDatum(relay->stored.restart_lsn);
	Portal		portal;
	uint64		found;

	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	check_spi(SPI_execute_with_args("DELETE FROM hcevents.open_records WHERE record_lsn >= $1",
									1, &type, &restart, NULL, false, 0),
			  SPI_OK_DELETE);
	portal = SPI_cursor_open_with_args(NULL,
									   "SELECT xid, record_lsn, prepared, record"
									   " FROM hcevents.open_records ORDER BY xid, record_lsn",
									   0, NULL, NULL, NULL, false, 0);
	do
	{
		SPI_cursor_fetch(portal, true, LOAD_ROWS);
		found = SPI_processed;
		for (uint64 i = 0; i < found; i++)
			load_row(relay, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	} while (found == LOAD_ROWS);
	SPI_cursor_close(portal);
	hce_position_commit();
}

/* Make the state, and give the assembler its copies before any WAL is read. */
void
hce_open_records_start(HceRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;
	HceOpenRecords *open = MemoryContextAllocZero(relay->context,
												  sizeof(HceOpenRecords));
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(TransactionId);
	ctl.entrysize = sizeof(OpenXid);
	ctl.hcxt = relay->context;
	open->xids = hash_create("hcevents copied transactions", 64, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	relay->open_records = open;
	if (relay->wal != NULL)
		load_rows(relay);
	MemoryContextSwitchTo(old);
}
