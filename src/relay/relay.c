/*-------------------------------------------------------------------------
 *
 * relay.c
 *		The background worker that delivers one database's journal.
 *
 * Owns the process: its place in shared memory, its loop and its waits.  Its
 * beginning is in relay_start.c, its end in relay_end.c, the work of a turn in
 * relay_read.c, relay_send.c and relay_store.c.
 *
 * No transaction is open while the relay waits, and it never waits for Kafka:
 * librdkafka's threads do, and wake it through a pipe.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "relay/exit_guard.h"
#include "relay/holds.h"
#include "relay/relay.h"
#include "relay/relay_settings.h"
#include "settings.h"

/* Waits, in milliseconds. */
#define IDLE_WAIT		200		/* nothing to do */
#define BUSY_WAIT		50		/* the producer mends something */
#define ASYNC_WAIT		10		/* a commit is not flushed yet */
#define VISIBLE_WAIT	1		/* a commit is not visible yet */
#define PARKING_WAIT	20		/* parked events are to be written */

/* Each COMMIT PREPARED asks for a recount, and there may be many. */
#define RECOUNT_US		(100 * 1000)

/* By how much the clock must be set back to matter. */
#define CLOCK_BACK_US	USECS_PER_SEC

/*
 * Grouping.  At low rates each commit wakes the relay and its events leave at
 * once.  When commits follow each other faster than BUSY_BELOW_US, a wake-up
 * and a request to Kafka for each would cost the writers more than it gives,
 * so the relay naps after a turn and takes what has come in one go.  Measured
 * over MEASURED_US, so that a few commits that happen to come together do not
 * make the next one wait.
 */
#define BUSY_BELOW_US	400
#define MEASURED_US		(30 * 1000)
#define NAP_MS			10

static HceDatabase *my_database = NULL;

/* Before the process gives up shared memory: nobody may wake it any more. */
static void
leave(int code, Datum arg)
{
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	if (my_database->state != HCE_FAILED)
	{
		my_database->state = HCE_STOPPED;
		my_database->waiting_for[0] = '\0';
	}
	my_database->relay_latch = NULL;
	my_database->leaving_pid = MyProcPid;
	my_database->relay_pid = 0;
	pg_atomic_write_u32(&my_database->napping, 0);
	LWLockRelease(hce_shared->lock);
}

/* End the process; the launcher acts on the reason. */
void
hce_relay_end(HceExit reason)
{
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	my_database->exit_reason = reason;
	LWLockRelease(hce_shared->lock);
	proc_exit(0);
}

/* Take this database's place in shared memory. */
static void
enter(Oid dboid)
{
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	my_database = hce_shared_find_or_add(dboid);
	if (my_database == NULL || my_database->relay_pid != 0)
	{
		LWLockRelease(hce_shared->lock);
		proc_exit(0);
	}
	my_database->relay_pid = MyProcPid;
	my_database->relay_latch = MyLatch;
	my_database->leaving_pid = 0;
	my_database->state = HCE_STARTING;
	my_database->waiting_for[0] = '\0';
	my_database->start_time = GetCurrentTimestamp();
	my_database->restart_requested = false;
	my_database->exit_reason = HCE_EXIT_ERROR;
	LWLockRelease(hce_shared->lock);
	before_shmem_exit(leave, 0);
}

/* Show the state, and log it when it changed. */
static void
show_state(HceRelay *relay)
{
	HceRelayState state;
	const char *waiting_for = "";
	const char *error = "";
	bool		changed;
	bool		waiting_changed;
	char		resume[HCE_MAX_ERROR];

	if (relay->paused != NULL)
	{
		state = HCE_PAUSED;
		waiting_for = relay->paused;
	}
	else if (hce_parking_paused(relay) != NULL)
	{
		state = HCE_PAUSED;
		snprintf(resume, sizeof(resume), "hcevents.resume(): %s",
				 hce_parking_paused(relay));
		waiting_for = resume;
	}
	else if (relay->producer == NULL)
	{
		state = HCE_DISABLED;
		waiting_for = "hcevents.enabled";
	}
	else
	{
		state = hce_producer_connected(relay->producer) ? HCE_STREAMING :
			HCE_DISCONNECTED;
		waiting_for = relay->waits_for_sync ?
			"a synchronous standby to confirm what was committed before the server's start" :
			hce_parking_waiting_for(relay);
		error = hce_producer_error(relay->producer);
	}

	/* a start is no change until the first answer had time to come */
	if (state == HCE_DISCONNECTED && my_database->state == HCE_STARTING &&
		error[0] == '\0')
		state = HCE_STARTING;

	changed = my_database->state != state;
	waiting_changed = strcmp(my_database->waiting_for, waiting_for) != 0;
	if (!changed && !waiting_changed &&
		strcmp(my_database->last_error, error) == 0)
		return;
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	my_database->state = state;
	strlcpy(my_database->waiting_for, waiting_for, HCE_MAX_ERROR);
	if (error[0] != '\0' && strcmp(my_database->last_error, error) != 0)
	{
		strlcpy(my_database->last_error, error, HCE_MAX_ERROR);
		my_database->last_error_time = GetCurrentTimestamp();
	}
	LWLockRelease(hce_shared->lock);

	if ((changed || waiting_changed) && state == HCE_DISCONNECTED)
		ereport(WARNING,
				errmsg("the relay of database \"%s\" has no connection to Kafka at \"%s\": %s",
					   relay->database, hce_bootstrap_servers,
					   error[0] != '\0' ? error : "no answer"),
				errhint("Events wait in the WAL; delivery goes on by itself. %s",
						hce_producer_hint(relay->producer) != NULL ?
						hce_producer_hint(relay->producer) :
						"Check the brokers, hcevents.bootstrap_servers and hcevents.kafka_config."));
	else if (changed && state == HCE_STREAMING)
		ereport(LOG,
				errmsg("the relay of database \"%s\" is connected to Kafka at \"%s\"",
					   relay->database, hce_bootstrap_servers));
	else if (changed && state != HCE_STARTING)
		ereport(LOG,
				errmsg("the relay of database \"%s\" is %s: %s", relay->database,
					   hce_relay_state_name(state), waiting_for));
	if (waiting_changed && state == HCE_STREAMING && waiting_for[0] != '\0')
		ereport(WARNING,
				errmsg("the relay of database \"%s\" waits for %s",
					   relay->database, waiting_for));
	else if (waiting_changed && !changed && state == HCE_STREAMING)
		ereport(LOG,
				errmsg("the relay of database \"%s\" goes on", relay->database));
}

/*
 * While Kafka does not answer: whether the files of hcevents.kafka_config_file
 * have changed, which may be the remedy.  Looked at once a second.
 */
static bool
files_mended(HceRelay *relay)
{
	if (hce_producer_connected(relay->producer) ||
		relay->poll_time - relay->files_looked < USECS_PER_SEC)
		return false;
	relay->files_looked = relay->poll_time;
	return hce_producer_files_changed(relay->producer);
}

/* Obey what others have asked for. */
static void
serve_requests(HceRelay *relay)
{
	bool		reset;
	bool		check;

	/* first: an interrupt may have come with it, and would end us at once */
	if (ShutdownRequestPending)
	{
		ProcDiePending = false;
		hce_relay_stop(relay, HCE_EXIT_ERROR);
	}
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		if (hce_relay_settings_stale() || (relay->producer != NULL &&
										   hce_producer_files_changed(relay->producer)))
			hce_relay_stop(relay, HCE_EXIT_RESTART);
	}
	if (relay->producer != NULL && files_mended(relay))
		hce_relay_stop(relay, HCE_EXIT_RESTART);
	if (hce_holder(my_database) != 0 || my_database->restart_requested ||
		my_database->excluded)
		hce_relay_stop(relay, HCE_EXIT_RESTART);

	hce_parking_serve(relay);
	if (my_database->recount_requested &&
		relay->poll_time - relay->recount_time >= Max(RECOUNT_US, relay->recount_us))
	{
		relay->recount_time = relay->poll_time;
		LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
		my_database->recount_requested = false;
		LWLockRelease(hce_shared->lock);
		if (!hce_dead_letters_recount(relay))
			hce_relay_stop(relay, HCE_EXIT_GONE);
	}
	if (!my_database->reset_requested && !my_database->check_requested)
		return;
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	reset = my_database->reset_requested;
	check = my_database->check_requested;
	my_database->reset_requested = false;
	my_database->check_requested = false;
	relay->neighbours = 0;
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
		relay->neighbours += hce_shared->databases[i].wanted &&
			!hce_shared->databases[i].excluded ? 1 : 0;
	LWLockRelease(hce_shared->lock);
	if (check && !my_database->wanted)
		hce_relay_stop(relay, HCE_EXIT_GONE);
	if (check && hce_relay_settings_changed_in_catalog())
		hce_relay_stop(relay, HCE_EXIT_RESTART);
	if (reset && relay->wal != NULL)
	{
		hce_relay_reset_stats(relay);
		if (!hce_relay_store(relay))
			hce_relay_stop(relay, HCE_EXIT_GONE);
	}
}

/*
 * How long to wait, in milliseconds; 0 = not at all.  "more" tells that WAL
 * or events are at hand which could be dealt with at once.
 */
static long
wait_time(HceRelay *relay, bool more)
{
	long		wait = IDLE_WAIT;
	TimestampTz now = relay->poll_time;

	if (more)
		return 0;
	if (relay->producer != NULL && hce_producer_busy(relay->producer))
		wait = BUSY_WAIT;
	if (pg_atomic_read_u64(&my_database->last_commit_end) > GetFlushRecPtr(NULL) ||
		hce_drain_slowed(relay))
		wait = Min(wait, ASYNC_WAIT);
	if (hce_assembler_all_visible(relay->assembler))
		relay->visible_wait = VISIBLE_WAIT;
	else
	{
		/* moments as a rule, but long when a synchronous standby is away */
		wait = Min(wait, relay->visible_wait);
		relay->visible_wait = Min(relay->visible_wait * 2, BUSY_WAIT);
	}
	if (hce_relay_gather_ms(relay) > 0)
		wait = Min(wait, hce_relay_gather_ms(relay));
	if (hce_parking_unstored(relay) || hce_parking_store_due(relay, PG_INT64_MAX))
		wait = Min(wait, PARKING_WAIT);
	if (relay->unstored > 0 || relay->dead != NIL)
		wait = Min(wait, Max(1, (relay->stored_time + USECS_PER_SEC - now) / 1000 + 1));
	return wait;
}

/*
 * Find out whether commits follow each other fast.  To be called when a turn has
 * read what came while the relay waited.
 */
static void
measure_commits(HceRelay *relay)
{
	int64		passed = relay->poll_time - relay->measured;

	/* less than nothing when the clock was set back a little */
	if (passed >= 0 && passed < MEASURED_US)
		return;
	relay->busy = (int64) (relay->commits_read - relay->commits_measured) >
		Max(passed, MEASURED_US) / BUSY_BELOW_US;
	relay->commits_measured = relay->commits_read;
	relay->measured = relay->poll_time;
}

/*
 * After a busy turn, nap: writers need not wake us meanwhile.  See NAP_MS.
 * Returns true after a nap: the next turn must follow, since commits during
 * the nap have set no latch.  Not while events wait for the producer, whose
 * news do not end a nap.
 */
static bool
nap_if_busy(HceRelay *relay, uint64 commits)
{
	if (commits == 0 || !relay->busy || relay->held_up)
		return false;

	/* the turn has seen what set the latch; what comes now waits for us */
	ResetLatch(MyLatch);
	pg_atomic_write_u32(&my_database->napping, 1);
	pg_memory_barrier();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 NAP_MS, PG_WAIT_EXTENSION);
	pg_atomic_write_u32(&my_database->napping, 0);
	pg_memory_barrier();
	return true;
}

/*
 * The time of a turn.  All that is due at some time has been noted by the
 * server's clock; when that is set back, by NTP after a boot for instance, it
 * would be late by as much, so begin anew.
 */
static void
read_clock(HceRelay *relay)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		back = relay->poll_time - now;

	relay->poll_time = now;
	if (back < CLOCK_BACK_US)
		return;
	ereport(LOG,
			errmsg("the clock was set back by " INT64_FORMAT " s: the relay of database \"%s\" starts again",
				   back / USECS_PER_SEC, relay->database));
	hce_relay_stop(relay, HCE_EXIT_RESTART);
}

/* One turn; returns whether the next should follow at once. */
static bool
turn(HceRelay *relay)
{
	bool		more = false;

	MemoryContextSwitchTo(relay->turn);
	read_clock(relay);
	if (relay->producer != NULL)
		hce_producer_poll(relay->producer);
	if (relay->wal != NULL)
	{
		more = hce_relay_read(relay);
		measure_commits(relay);
		hce_relay_look_visible(relay);
		MemoryContextSwitchTo(relay->turn); /* a commit leaves it */
		hce_parking_turn(relay);
		MemoryContextSwitchTo(relay->turn);
		more |= hce_drain_turn(relay);
		MemoryContextSwitchTo(relay->turn);
		more |= hce_relay_send(relay);
		hce_relay_settle(relay);
		if (hce_relay_store_due(relay, relay->poll_time) && !hce_relay_store(relay))
			hce_relay_stop(relay, HCE_EXIT_GONE);
		hce_relay_advance_slot(relay);
		if (!hce_dead_letters_look_old(relay))
			hce_relay_stop(relay, HCE_EXIT_GONE);
		hce_relay_publish_stats(relay);
	}
	show_state(relay);
	MemoryContextReset(relay->turn);
	return more;
}

static void
run(HceRelay *relay)
{
	WaitEventSet *events = hce_compat_wait_event_set(3);
	WaitEvent	occurred;

	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (relay->producer != NULL)
		AddWaitEventToSet(events, WL_SOCKET_READABLE,
						  hce_producer_fd(relay->producer), NULL, NULL);
	for (;;)
	{
		uint64		commits = relay->commits_read;
		bool		more;
		bool		away;
		long		wait;

		ResetLatch(MyLatch);
		serve_requests(relay);
		more = turn(relay);
		wait = wait_time(relay, more);
		if (wait == 0)
			continue;
		if (nap_if_busy(relay, relay->commits_read - commits))
			continue;

		/* nothing can be sent: spare the writers a signal for each commit */
		away = relay->producer != NULL && !hce_producer_connected(relay->producer);
		if (away)
			pg_atomic_write_u32(&my_database->napping, 1);
		(void) WaitEventSetWait(events, wait, &occurred, 1, PG_WAIT_EXTENSION);
		if (away)
			pg_atomic_write_u32(&my_database->napping, 0);
	}
}

/* Remember why the relay fails, for the view and the next start. */
void
hce_relay_note_failure(HceDatabase *db)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();

	LWLockReleaseAll();
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db->state = HCE_FAILED;
	strlcpy(db->last_error, error->message, HCE_MAX_ERROR);
	db->last_error_time = GetCurrentTimestamp();
	strlcpy(db->waiting_for,
			error->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED ?
			"a free replication slot (max_replication_slots)" :
			"its restart after an error", HCE_MAX_ERROR);
	LWLockRelease(hce_shared->lock);
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
}

/* Main function of a relay; the argument is the database's oid. */
void
hce_relay_main(Datum arg)
{
	Oid			dboid = DatumGetObjectId(arg);

	hce_exit_guard_install();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	hce_relay_catch_sigterm();
	BackgroundWorkerUnblockSignals();
	enter(dboid);

	PG_TRY();
	{
		BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
		hce_sync_wait_init();
		hce_relay_settings_override("hcevents relay");
		run(hce_relay_start(my_database));
	}
	PG_CATCH();
	{
		hce_relay_note_failure(my_database);
		PG_RE_THROW();
	}
	PG_END_TRY();
}
