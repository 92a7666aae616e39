/*-------------------------------------------------------------------------
 *
 * position.c
 *		The relay's tables: position, counters, gaps and dead letters.
 *
 * Owns the transactions that read and write them.  They are short, hold no
 * lock across anything but SPI, and commit with synchronous_commit = off: a
 * lost commit only means that the relay begins a little earlier and sends
 * again what was acknowledged since.  What a write says is relied on (WAL is
 * given back) only after its commit is flushed; the caller sees to that.
 *
 * The position and what it covers (counters, dead letters) are written in one
 * transaction, so that after any crash the counters are those of the
 * position.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "relay/position.h"
#include "relay/statement.h"

/* How often a lock that is not free is tried. */
#define LOCK_POLL_MS	20

static HceStatement update_position = {
	"UPDATE hcevents.position SET system_identifier = $1, database_oid = $2,"
	" timeline = $3, epoch = $4, commit_lsn = $5, event_index = $6,"
	" sent_lsn = $7, sent_index = $8, restart_lsn = $9, written = $10,"
	" stats_reset = $11, home = $12, complete = $13",
	NULL, 13,
	{INT8OID, OIDOID, INT4OID, INT4OID, LSNOID, INT8OID, LSNOID, INT8OID,
	LSNOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, BOOLOID}
};

static HceStatement upsert_counters = {
	"INSERT INTO hcevents.counters AS c VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
	" ON CONFLICT (event_type) DO UPDATE SET topic = $2, delivered = $3,"
	" dead = $4, redelivered = $5, bytes = $6, latency = $7,"
	" last_captured_time = $8, last_delivered_time = $9, parked = $10",
	NULL, 10,
	{TEXTOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8ARRAYOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

/*
 * An event that is sent again after a crash may become the dead letter that
 * it is already: nothing changes then.  One that was retried has failed again.
 */
static HceStatement insert_dead = {
	"INSERT INTO hcevents.dead_letter_store AS d (event_id, event_type, topic,"
	" source_schema, source_table, key, headers, reason, error, envelope, size,"
	" timeline, epoch, commit_lsn, event_index, commit_time,"
	" first_failed_time, last_failed_time)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
	" $16, $17, $17)"
	" ON CONFLICT (event_id) DO UPDATE SET topic = excluded.topic,"
	" key = excluded.key, headers = excluded.headers, reason = excluded.reason,"
	" error = excluded.error, envelope = excluded.envelope,"
	" size = excluded.size,"
	" attempts = d.attempts OPERATOR(pg_catalog.+) 1,"
	" last_failed_time = excluded.last_failed_time, retried_time = NULL"
	" WHERE d.retried_time IS NOT NULL",
	NULL, 17,
	{UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID,
	TEXTOID, TEXTOID, TEXTOID, INT8OID, INT4OID, INT4OID, LSNOID, INT8OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static HceStatement insert_gap = {
	"INSERT INTO hcevents.gap_log (from_lsn, to_lsn, from_time, to_time, cause)"
	" VALUES ($1, $2, $3, $4, $5)",
	NULL, 5,
	{LSNOID, LSNOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID}
};

/*
 * Lock the extension against being dropped until the transaction ends.
 * DROP EXTENSION takes this lock first, so that the two wait for each other
 * here and nowhere else: once in their tables they would deadlock.  Returns
 * false when the extension is gone.
 *
 * That wait may last as long as somebody's transaction, while a checkpoint
 * may wait for the slot that we hold.  A relay that was asked to end before
 * the wait began ends here: only a wait that has begun is ended by SIGTERM.
 */
static bool
lock_extension(void)
{
	Oid			extension = get_extension_oid("hcevents", true);
	LOCKTAG		tag;

	if (!OidIsValid(extension))
		return false;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 0);
	while (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		if (ShutdownRequestPending)
			ereport(FATAL,
					errcode(ERRCODE_ADMIN_SHUTDOWN),
					errmsg("terminating the relay while DROP EXTENSION or ALTER EXTENSION runs"));
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOCK_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	AcceptInvalidationMessages();
	return get_extension_oid("hcevents", true) == extension;
}

/*
 * Begin a transaction on the relay's tables.  Returns false, with no
 * transaction, when the extension is gone.  Waits while DROP EXTENSION runs.
 */
bool
hce_position_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!lock_extension())
	{
		AbortCurrentTransaction();
		return false;
	}
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	return true;
}

/*
 * Commit; returns the end of the commit record, which must be flushed before
 * what was written is relied on.
 */
XLogRecPtr
hce_position_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	/* else autovacuum never hears of these tables */
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return XactLastCommitEnd;
}

static int64
query_count(const char *sql)
{
	hce_statement_query(sql, SPI_OK_SELECT);
	return DatumGetInt64(hce_result(0, 1, NULL));
}

/* Read the position row, in a transaction of its own. */
HceLoad
hce_position_load(HceStoredPosition *position)
{
	if (!hce_position_begin())
		return HCE_NO_EXTENSION;
	if (SPI_execute("SELECT system_identifier, database_oid, timeline, epoch,"
					" commit_lsn, event_index, sent_lsn, sent_index,"
					" restart_lsn, written, stats_reset, home, complete"
					" FROM hcevents.position",
					true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("hcevents.position has no row"),
				errhint("Drop the extension and create it again; undelivered events are lost."));
	position->system_identifier = (uint64) DatumGetInt64(hce_result(0, 1, NULL));
	position->database_oid = DatumGetObjectId(hce_result(0, 2, NULL));
	position->timeline = (TimeLineID) DatumGetInt32(hce_result(0, 3, NULL));
	position->epoch = DatumGetInt32(hce_result(0, 4, NULL));
	position->settled.lsn = DatumGetLSN(hce_result(0, 5, NULL));
	position->settled.index = (uint32) DatumGetInt64(hce_result(0, 6, NULL));
	position->sent.lsn = DatumGetLSN(hce_result(0, 7, NULL));
	position->sent.index = (uint32) DatumGetInt64(hce_result(0, 8, NULL));
	position->restart_lsn = DatumGetLSN(hce_result(0, 9, NULL));
	position->written = DatumGetTimestampTz(hce_result(0, 10, NULL));
	position->stats_reset = DatumGetTimestampTz(hce_result(0, 11, NULL));
	position->home = DatumGetInt64(hce_result(0, 12, NULL));
	position->complete = DatumGetBool(hce_result(0, 13, NULL));
	hce_position_commit();
	return HCE_LOADED;
}

static TimestampTz
column_time(uint64 row, int number)
{
	bool		isnull;
	Datum		value = hce_result(row, number, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* Call "take" for each row of the counters; valid during the call. */
void
hce_position_load_counters(void (*take) (const HceStoredCounters *, void *),
						   void *arg)
{
	if (!hce_position_begin())
		return;
	hce_statement_query("SELECT event_type, topic, delivered, dead, redelivered,"
						" bytes, latency, last_captured_time, last_delivered_time, parked"
						" FROM hcevents.counters", SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HceStoredCounters counters;
		Datum	   *latency;
		int			nbuckets;

		memset(&counters, 0, sizeof(counters));
		counters.event_type = TextDatumGetCString(hce_result(i, 1, NULL));
		counters.topic = TextDatumGetCString(hce_result(i, 2, NULL));
		counters.delivered = DatumGetInt64(hce_result(i, 3, NULL));
		counters.dead = DatumGetInt64(hce_result(i, 4, NULL));
		counters.redelivered = DatumGetInt64(hce_result(i, 5, NULL));
		counters.bytes = DatumGetInt64(hce_result(i, 6, NULL));
		deconstruct_array(DatumGetArrayTypeP(hce_result(i, 7, NULL)), INT8OID,
						  sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
						  &latency, NULL, &nbuckets);
		for (int b = 0; b < Min(nbuckets, HCE_BUCKETS); b++)
			counters.latency[b] = DatumGetInt64(latency[b]);
		counters.last_captured = column_time(i, 8);
		counters.last_delivered = column_time(i, 9);
		counters.parked = DatumGetInt64(hce_result(i, 10, NULL));
		take(&counters, arg);
	}
	hce_position_commit();
}

/*
 * The number of gaps that nobody has acknowledged; inside a transaction begun
 * by hce_position_begin.
 */
int64
hce_position_gap_count(void)
{
	return query_count("SELECT pg_catalog.count(*) FROM hcevents.gap_log"
					   " WHERE acknowledged_time IS NULL");
}

/* The number of dead letters, without those that were retried; likewise. */
int64
hce_position_dead_count(void)
{
	return query_count("SELECT pg_catalog.count(*) FROM hcevents.dead_letter_store"
					   " WHERE retried_time IS NULL");
}

void
hce_position_put(const HceStoredPosition *position)
{
	Datum		values[] = {
		Int64GetDatum((int64) position->system_identifier),
		ObjectIdGetDatum(position->database_oid),
		Int32GetDatum((int32) position->timeline),
		Int32GetDatum(position->epoch),
		LSNGetDatum(position->settled.lsn),
		Int64GetDatum(position->settled.index),
		LSNGetDatum(position->sent.lsn),
		Int64GetDatum(position->sent.index),
		LSNGetDatum(position->restart_lsn),
		TimestampTzGetDatum(GetCurrentTimestamp()),
		TimestampTzGetDatum(position->stats_reset),
		Int64GetDatum(position->home),
		BoolGetDatum(position->complete)
	};

	hce_statement_run(&update_position, values, NULL);
	if (SPI_processed != 1)
		elog(ERROR, "hcevents.position has no row");
}

void
hce_position_put_counters(const HceStoredCounters *counters)
{
	Datum		latency[HCE_BUCKETS];
	char		nulls[] = "          ";
	Datum		values[10];

	for (int i = 0; i < HCE_BUCKETS; i++)
		latency[i] = Int64GetDatum(counters->latency[i]);
	values[0] = CStringGetTextDatum(counters->event_type);
	values[1] = CStringGetTextDatum(counters->topic);
	values[2] = Int64GetDatum(counters->delivered);
	values[3] = Int64GetDatum(counters->dead);
	values[4] = Int64GetDatum(counters->redelivered);
	values[5] = Int64GetDatum(counters->bytes);
	values[6] = PointerGetDatum(construct_array(latency, HCE_BUCKETS, INT8OID,
												sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	values[7] = TimestampTzGetDatum(counters->last_captured);
	values[8] = TimestampTzGetDatum(counters->last_delivered);
	values[9] = Int64GetDatum(counters->parked);
	if (counters->last_captured == 0)
		nulls[7] = 'n';
	if (counters->last_delivered == 0)
		nulls[8] = 'n';
	hce_statement_run(&upsert_counters, values, nulls);
}

/* Set a text parameter, which is UTF-8 like all in the journal, or NULL. */
static void
set_text(Datum *values, char *nulls, int i, const char *value)
{
	if (value != NULL)
		values[i] = hce_text_datum(value, strlen(value));
	else
		nulls[i] = 'n';
}

/* Set a parameter to an array of such texts, or to NULL when there is none. */
static void
set_texts(Datum *values, char *nulls, int i, char **texts, int count)
{
	Datum	   *elements;

	if (count == 0)
	{
		nulls[i] = 'n';
		return;
	}
	elements = palloc(count * sizeof(Datum));
	for (int n = 0; n < count; n++)
		elements[n] = hce_text_datum(texts[n], strlen(texts[n]));
	values[i] = PointerGetDatum(construct_array(elements, count, TEXTOID, -1,
												false, TYPALIGN_INT));
}

/* Store a dead letter.  Returns false when it is in the store already. */
bool
hce_position_put_dead(const HceDeadLetter *letter)
{
	char		nulls[] = "                 ";
	Datum		values[17];

	values[0] = UUIDPGetDatum((const pg_uuid_t *) letter->event_id);
	set_text(values, nulls, 1, letter->event_type);
	set_text(values, nulls, 2, letter->topic);
	set_text(values, nulls, 3, letter->source_schema);
	set_text(values, nulls, 4, letter->source_table);
	set_text(values, nulls, 5, letter->key);
	set_texts(values, nulls, 6, letter->headers, letter->nheaders);
	set_text(values, nulls, 7, letter->reason);
	set_text(values, nulls, 8, letter->error);
	set_text(values, nulls, 9, letter->envelope);
	values[10] = Int64GetDatum(letter->size);
	values[11] = Int32GetDatum((int32) letter->timeline);
	values[12] = Int32GetDatum(letter->epoch);
	values[13] = LSNGetDatum(letter->position.lsn);
	values[14] = Int64GetDatum(letter->position.index);
	values[15] = TimestampTzGetDatum(letter->commit_time);
	values[16] = TimestampTzGetDatum(GetCurrentTimestamp());
	hce_statement_run(&insert_dead, values, nulls);
	return SPI_processed > 0;
}

void
hce_position_put_gap(XLogRecPtr from, XLogRecPtr to, TimestampTz from_time,
					 const char *cause)
{
	Datum		values[] = {
		LSNGetDatum(from),
		LSNGetDatum(to),
		TimestampTzGetDatum(from_time),
		TimestampTzGetDatum(GetCurrentTimestamp()),
		CStringGetTextDatum(cause)
	};

	hce_statement_run(&insert_gap, values, NULL);
}

void
hce_position_clear_counters(void)
{
	hce_statement_query("DELETE FROM hcevents.counters", SPI_OK_DELETE);
}
