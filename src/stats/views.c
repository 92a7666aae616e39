/*-------------------------------------------------------------------------
 *
 * views.c
 *		What SQL sees of the relays: the functions behind the views.
 *
 * Copies from shared memory under the lock and builds rows after it.  Shows
 * numbers, names and Kafka's error texts, never a key or a payload.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "stats/shared.h"

#define STATUS_COLUMNS	19
#define TYPE_COLUMNS	20

static void
require_shared(void)
{
	if (hce_shared == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents was not loaded when the server started"),
				errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = 'hcevents' (after a comma if there are others)."));
}

static void
put_text(Datum *values, bool *nulls, int i, const char *string)
{
	if (string[0] == '\0')
		nulls[i] = true;
	else
		values[i] = CStringGetTextDatum(string);
}

static void
put_time(Datum *values, bool *nulls, int i, TimestampTz time)
{
	if (time == 0)
		nulls[i] = true;
	else
		values[i] = TimestampTzGetDatum(time);
}

static void
put_lsn(Datum *values, bool *nulls, int i, XLogRecPtr lsn)
{
	if (XLogRecPtrIsInvalid(lsn))
		nulls[i] = true;
	else
		values[i] = LSNGetDatum(lsn);
}

/* A negative number stands for "none". */
static void
put_double(Datum *values, bool *nulls, int i, double number)
{
	if (number < 0)
		nulls[i] = true;
	else
		values[i] = Float8GetDatum(number);
}

static double
seconds_since(TimestampTz when)
{
	return when == 0 ? 0 :
		Max(0, (double) (GetCurrentTimestamp() - when) / USECS_PER_SEC);
}

static void
status_row(const HceDatabase *db, ReturnSetInfo *result)
{
	Datum		values[STATUS_COLUMNS];
	bool		nulls[STATUS_COLUMNS] = {0};
	XLogRecPtr	flushed = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) :
		GetFlushRecPtr(NULL);
	bool		known = !XLogRecPtrIsInvalid(db->read_lsn);

	values[0] = ObjectIdGetDatum(db->dboid);
	nulls[1] = db->relay_pid == 0;
	values[1] = Int32GetDatum(db->relay_pid);
	values[2] = CStringGetTextDatum(hce_relay_state_name(db->state));
	put_text(values, nulls, 3, db->waiting_for);
	put_lsn(values, nulls, 4, db->settled_lsn);
	put_lsn(values, nulls, 5, db->read_lsn);
	nulls[6] = nulls[7] = !known;
	values[6] = Int64GetDatum(flushed > db->settled_lsn ?
							  (int64) (flushed - db->settled_lsn) : 0);
	values[7] = Float8GetDatum(seconds_since(db->oldest_pending));
	nulls[8] = XLogRecPtrIsInvalid(db->restart_lsn);
	values[8] = Int64GetDatum(flushed > db->restart_lsn ?
							  (int64) (flushed - db->restart_lsn) : 0);
	values[9] = Int64GetDatum(db->in_flight);
	values[10] = Int64GetDatum(db->pending);
	values[11] = Int64GetDatum(db->dead);
	values[12] = Int64GetDatum(db->gaps);
	put_text(values, nulls, 13, db->last_error);
	put_time(values, nulls, 14, db->last_error_time);
	put_time(values, nulls, 15, db->start_time);
	values[16] = Int32GetDatum(db->restarts);
	values[17] = Int64GetDatum(db->foreign_messages);
	values[18] = Int64GetDatum(db->parked);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* hcevents.relay_status(): a row for each database with the extension. */
PG_FUNCTION_INFO_V1(hcevents_relay_status);

Datum
hcevents_relay_status(PG_FUNCTION_ARGS)
{
	HceDatabase *copy;

	require_shared();
	InitMaterializedSRF(fcinfo, 0);
	copy = palloc(sizeof(hce_shared->databases));
	LWLockAcquire(hce_shared->lock, LW_SHARED);
	memcpy(copy, hce_shared->databases, sizeof(hce_shared->databases));
	LWLockRelease(hce_shared->lock);
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		if (OidIsValid(copy[i].dboid) && copy[i].wanted)
			status_row(&copy[i], (ReturnSetInfo *) fcinfo->resultinfo);
	}
	return (Datum) 0;
}

static Datum
latency_array(const int64 *latency)
{
	Datum		counts[HCE_BUCKETS];

	for (int i = 0; i < HCE_BUCKETS; i++)
		counts[i] = Int64GetDatum(latency[i]);
	return PointerGetDatum(construct_array(counts, HCE_BUCKETS, INT8OID,
										   sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static void
type_row(const HceTypeStats *stats, TimestampTz stats_reset,
		 ReturnSetInfo *result)
{
	Datum		values[TYPE_COLUMNS];
	bool		nulls[TYPE_COLUMNS] = {0};
	double		age = seconds_since(stats->rate_time);

	values[0] = CStringGetTextDatum(stats->key.event_type);
	values[1] = CStringGetTextDatum(stats->topic);
	values[2] = Int64GetDatum(stats->captured);
	values[3] = Int64GetDatum(stats->delivered);
	values[4] = Int64GetDatum(stats->captured - stats->delivered - stats->dead -
							  stats->parked);
	values[5] = Int64GetDatum(stats->parked);
	values[6] = Int64GetDatum(stats->dead);
	values[7] = Int64GetDatum(stats->redelivered);
	values[8] = Int64GetDatum(stats->bytes);
	/* a relay that stopped computes no more: let the rate fade out */
	values[9] = Float8GetDatum(age > 5 ? stats->per_second * 5 / age :
							   stats->per_second);
	put_time(values, nulls, 10, stats->oldest_pending);
	put_time(values, nulls, 11, stats->last_captured);
	put_time(values, nulls, 12, stats->last_delivered);
	put_double(values, nulls, 13, hce_histogram_percentile(stats->latency, 0.50));
	put_double(values, nulls, 14, hce_histogram_percentile(stats->latency, 0.95));
	put_double(values, nulls, 15, hce_histogram_percentile(stats->latency, 0.99));
	put_text(values, nulls, 16, stats->last_error);
	put_time(values, nulls, 17, stats->last_error_time);
	put_time(values, nulls, 18, stats_reset);
	values[19] = latency_array(stats->latency);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Copy the counters of this database; returns their number. */
static int
copy_types(HceTypeStats **copies, TimestampTz *stats_reset)
{
	HASH_SEQ_STATUS scan;
	HceTypeStats *stats;
	HceDatabase *db;
	int			count = 0;
	int			capacity;

	LWLockAcquire(hce_shared->lock, LW_SHARED);
	capacity = (int) hash_get_num_entries(hce_type_stats);
	LWLockRelease(hce_shared->lock);
	capacity += 16;
	*copies = palloc(capacity * sizeof(HceTypeStats));

	LWLockAcquire(hce_shared->lock, LW_SHARED);
	db = hce_shared_find(MyDatabaseId);
	*stats_reset = db != NULL ? db->stats_reset : 0;
	hash_seq_init(&scan, hce_type_stats);
	while ((stats = hash_seq_search(&scan)) != NULL)
	{
		if (stats->key.dboid == MyDatabaseId && count < capacity)
			(*copies)[count++] = *stats;
	}
	LWLockRelease(hce_shared->lock);
	return count;
}

static int
compare_types(const void *a, const void *b)
{
	return strcmp(((const HceTypeStats *) a)->key.event_type,
				  ((const HceTypeStats *) b)->key.event_type);
}

/* hcevents.type_stats(): a row for each event type of this database. */
PG_FUNCTION_INFO_V1(hcevents_type_stats);

Datum
hcevents_type_stats(PG_FUNCTION_ARGS)
{
	HceTypeStats *copies;
	TimestampTz stats_reset;
	int			count;

	require_shared();
	InitMaterializedSRF(fcinfo, 0);
	count = copy_types(&copies, &stats_reset);
	qsort(copies, count, sizeof(HceTypeStats), compare_types);
	for (int i = 0; i < count; i++)
		type_row(&copies[i], stats_reset, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

/* hcevents.histogram_bounds(): the buckets' upper bounds in milliseconds. */
PG_FUNCTION_INFO_V1(hcevents_histogram_bounds);

Datum
hcevents_histogram_bounds(PG_FUNCTION_ARGS)
{
	Datum		bounds[HCE_BUCKETS];

	for (int i = 0; i < HCE_BUCKETS; i++)
		bounds[i] = Float8GetDatum(i == HCE_BUCKETS - 1 ? get_float8_infinity() :
								   hce_histogram_bound_ms(i));
	PG_RETURN_POINTER(construct_array(bounds, HCE_BUCKETS, FLOAT8OID,
									  sizeof(float8), FLOAT8PASSBYVAL,
									  TYPALIGN_DOUBLE));
}

/*
 * A place that all commits so far lie before.  What is written but not
 * flushed is flushed, since the relay reads no further than that.
 */
static XLogRecPtr
flushed_end(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();
	uint32		in_page = end % XLOG_BLCKSZ;

	/* just behind a page's header there is nothing yet: the page before ends */
	if (in_page == SizeOfXLogShortPHD || in_page == SizeOfXLogLongPHD)
		end -= in_page;
	if (GetFlushRecPtr(NULL) < end)
		XLogFlush(end);
	return end;
}

/*
 * hcevents.flush(timeout interval): wait until all that was committed before
 * the call is settled.  Takes no lock while it waits and can be cancelled.
 * Must not be called in a transaction whose own events are meant: they are
 * not committed yet.  False at once, with a NOTICE, in a database that
 * hcevents.excluded_databases excludes: nothing is delivered there.
 */
PG_FUNCTION_INFO_V1(hcevents_flush);

Datum
hcevents_flush(PG_FUNCTION_ARGS)
{
	Interval   *timeout = PG_GETARG_INTERVAL_P(0);
	TimestampTz end;
	XLogRecPtr	target;
	long		pause = 1;
	bool		excluded;

	require_shared();
	if (RecoveryInProgress())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents.flush() cannot be used during recovery"),
				errhint("Call it on the primary."));
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(GetCurrentTimestamp()),
												  IntervalPGetDatum(timeout)));
	target = flushed_end();
	for (;;)
	{
		HceDatabase *db;
		bool		settled;

		LWLockAcquire(hce_shared->lock, LW_SHARED);
		db = hce_shared_find(MyDatabaseId);
		settled = db != NULL && db->relay_pid != 0 && db->settled_lsn >= target;
		excluded = db != NULL && db->excluded;
		if (db != NULL && db->relay_latch != NULL && !settled)
			SetLatch(db->relay_latch);
		LWLockRelease(hce_shared->lock);
		if (settled)
			PG_RETURN_BOOL(true);
		if (excluded)
			ereport(NOTICE,
					errmsg("nothing is delivered from this database: hcevents.excluded_databases matches its name"));
		if (excluded || GetCurrentTimestamp() >= end)
			PG_RETURN_BOOL(false);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(pause * 2, 50);
	}
}

/* Set one of the relay's request flags and wake it. */
static void
ask_relay(size_t flag_offset)
{
	HceDatabase *db;

	require_shared();
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db = hce_shared_find(MyDatabaseId);
	if (db != NULL)
	{
		*(bool *) ((char *) db + flag_offset) = true;
		if (db->relay_latch != NULL)
			SetLatch(db->relay_latch);
	}
	LWLockRelease(hce_shared->lock);
}

/* hcevents.reset_stats(): the relay does it, at once or when it starts. */
PG_FUNCTION_INFO_V1(hcevents_reset_stats);

Datum
hcevents_reset_stats(PG_FUNCTION_ARGS)
{
	ask_relay(offsetof(HceDatabase, reset_requested));
	PG_RETURN_VOID();
}

/* hcevents.restart_relay() */
PG_FUNCTION_INFO_V1(hcevents_restart_relay);

Datum
hcevents_restart_relay(PG_FUNCTION_ARGS)
{
	ask_relay(offsetof(HceDatabase, restart_requested));
	PG_RETURN_VOID();
}
