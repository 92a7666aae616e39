/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The static worker that starts one relay for each database.
 *
 * Learns which databases have the extension from their labels (labels.c),
 * starts a relay for each, starts it again when it ends, at once when it
 * wanted to be and with a growing delay after an error, and drops the slots
 * of databases that have the extension no more, or are excluded
 * (hcevents.excluded_databases).  Where it can start none it raises an alarm
 * (alarm.c).  It is connected to no database and holds no transaction while it
 * waits.
 *
 * On a standby it starts no relay, but now and then for each database the
 * worker that keeps its slot (standby.c), and goes over to relays within a
 * moment of the promotion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/alarm.h"
#include "relay/databases.h"
#include "relay/holds.h"
#include "relay/relay.h"
#include "relay/slot.h"
#include "relay/workers.h"

/* How often the launcher looks without being woken. */
#define LOOK_INTERVAL_MS	10000

/* The delay before a relay that failed is started again. */
#define FIRST_DELAY_MS		1000
#define LONGEST_DELAY_MS	60000

/* How often a free worker slot is looked for. */
#define WORKER_DELAY_MS		5000

/* When it is worth an alarm: the third failure in a row, and a command that
 * takes long. */
#define ALARM_DELAY_MS		(FIRST_DELAY_MS * 4)
#define HELD_ALARM_MS		30000

/* On a standby: how often slots follow the primary, and how soon a promotion
 * is noticed. */
#define FOLLOW_INTERVAL_MS	10000
#define PROMOTION_POLL_MS	200

/* What the launcher knows of a database beside shared memory. */
typedef struct Started
{
	BackgroundWorkerHandle *handle; /* NULL: none was started or it has ended */
	int			delay_ms;
	TimestampTz started;
	TimestampTz held;			/* since when, 0 = not held */
	HceWorkerKind kind;			/* of the handle's */
	bool		slots_warned;
} Started;

static Started started[HCE_MAX_DATABASES];

static void
leave(int code, Datum arg)
{
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	hce_shared->launcher_latch = NULL;
	hce_shared->launcher_pid = 0;
	pg_atomic_write_u32(&hce_shared->databases_changed, 1);
	LWLockRelease(hce_shared->lock);
}

/* Show why no relay runs, where none is there to do that. */
static void
show_waiting(HceDatabase *db, HceRelayState state, const char *waiting_for)
{
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	if (db->relay_pid == 0)
	{
		db->state = state;
		strlcpy(db->waiting_for, waiting_for, HCE_MAX_ERROR);
	}
	LWLockRelease(hce_shared->lock);
}

/*
 * Start a worker for a database.  Returns false when the server has no place
 * for one.
 */
static bool
start_worker(int i, HceWorkerKind kind)
{
	started[i].handle = hce_worker_start(hce_shared->databases[i].dboid, kind);
	if (started[i].handle == NULL)
		return false;
	started[i].kind = kind;
	started[i].started = GetCurrentTimestamp();
	started[i].slots_warned = false;
	return true;
}

/*
 * The label of an excluded database has to say so (exclude.c): on standbys,
 * and to whatever is made of this cluster.  Looked at now and then.
 */
static void
mark_excluded(int i)
{
	HceDatabase *db = &hce_shared->databases[i];
	TimestampTz now = GetCurrentTimestamp();

	if (!db->label_on || RecoveryInProgress() || hce_holder(db) != 0 ||
		(db->next_start > now &&
		 db->next_start <= TimestampTzPlusMilliseconds(now, WORKER_DELAY_MS)) ||
		!hce_database_allows_connections(db->dboid))
		return;
	db->next_start = TimestampTzPlusMilliseconds(now, WORKER_DELAY_MS);
	(void) start_worker(i, HCE_WORKER_EXCLUDE);
}

/*
 * An excluded database has no relay, and nothing of it keeps WAL.  Its
 * position row stays: a relay that starts some day goes on there, and records
 * what is missing.  Returns the milliseconds after which something is due.
 */
static long
leave_alone(int i)
{
	HceDatabase *db = &hce_shared->databases[i];
	XLogRecPtr	from;
	bool		has_slot = hce_slot_look(db->dboid, &from) != HCE_SLOT_NONE;

	started[i].held = 0;
	hce_alarm_forget(i);
	if (!hce_slot_drop_orphan(db->dboid))
		return FIRST_DELAY_MS;
	if (db->state != HCE_EXCLUDED)
	{
		LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
		db->restart_lsn = InvalidXLogRecPtr;
		db->adopt_requested = false;
		LWLockRelease(hce_shared->lock);
		show_waiting(db, HCE_EXCLUDED, "hcevents.excluded_databases");
		hce_alarm_excluded(db, has_slot);
		db->next_start = 0;
	}
	mark_excluded(i);
	return LOOK_INTERVAL_MS;
}

/* Returns the milliseconds after which something is due. */
static long
start_relay(int i)
{
	if (start_worker(i, HCE_WORKER_RELAY))
		return LOOK_INTERVAL_MS;
	show_waiting(&hce_shared->databases[i], HCE_FAILED,
				 "a free background worker slot (max_worker_processes)");
	hce_shared->databases[i].next_start =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WORKER_DELAY_MS);
	hce_alarm_raise(i, HCE_NO_WORKER);
	return WORKER_DELAY_MS;
}

/* A standby's worker, for which there is no alarm: the primary delivers. */
static void
start_keeper(int i)
{
	if (!start_worker(i, HCE_WORKER_STANDBY) && !started[i].slots_warned)
	{
		show_waiting(&hce_shared->databases[i], HCE_FAILED,
					 "a free background worker slot (max_worker_processes)");
		ereport(WARNING,
				errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				errmsg("no background worker slot is free to keep the WAL of database %u on this standby",
					   hce_shared->databases[i].dboid),
				errhint("Increase max_worker_processes; after a promotion WAL may be missing."));
		started[i].slots_warned = true;
	}
}

/* Whether no worker of ours runs for a database; forgets one that has ended. */
static bool
reap_worker(int i)
{
	if (started[i].handle != NULL && hce_worker_ended(started[i].handle))
	{
		pfree(started[i].handle);
		started[i].handle = NULL;
	}
	return started[i].handle == NULL;
}

/* A relay has ended: when may the next one start? */
static void
relay_ended(int i)
{
	HceDatabase *db = &hce_shared->databases[i];
	TimestampTz now = GetCurrentTimestamp();
	bool		gone = db->exit_reason == HCE_EXIT_GONE;
	bool		failed = db->wanted && db->exit_reason == HCE_EXIT_ERROR;

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db->restarts++;
	switch (db->exit_reason)
	{
		case HCE_EXIT_RESTART:
			db->next_start = 0;
			started[i].delay_ms = 0;
			break;
		case HCE_EXIT_GONE:

			/*
			 * The extension may have been created again since the relay
			 * looked: the labels decide, as if it had failed meanwhile.
			 */
			pg_atomic_write_u32(&hce_shared->databases_changed, 1);
			SetLatch(MyLatch);
			/* FALLTHROUGH */
		case HCE_EXIT_ERROR:
			/* a relay that ran for long has recovered from what it had */
			if (now - started[i].started > (int64) LONGEST_DELAY_MS * 1000)
				started[i].delay_ms = 0;
			started[i].delay_ms = Max(FIRST_DELAY_MS,
									  Min(started[i].delay_ms * 2, LONGEST_DELAY_MS));
			db->next_start = TimestampTzPlusMilliseconds(now, started[i].delay_ms);
			break;
	}
	db->exit_reason = HCE_EXIT_ERROR;
	LWLockRelease(hce_shared->lock);

	/*
	 * The label may stay behind, when the extension was dropped by a session
	 * without our library; the slot must not.  Should there be a new
	 * extension by now, its relay makes a slot by the row.
	 */
	if (gone)
		(void) hce_slot_drop_orphan(db->dboid);
	if (failed && strstr(db->waiting_for, "max_replication_slots") != NULL)
		hce_alarm_raise(i, HCE_NO_SLOT);
	else if (failed && started[i].delay_ms >= ALARM_DELAY_MS)
		hce_alarm_raise(i, HCE_RELAY_FAILS);
}

/* A relay runs, or is on its way: is an alarm over? */
static void
look_at_relay(int i)
{
	HceDatabase *db = &hce_shared->databases[i];
	HceRelayState state = db->state;

	started[i].held = 0;
	if (hce_alarm_reason(i) == HCE_RELAY_RUNS || db->relay_pid == 0 ||
		state == HCE_STOPPED || state == HCE_STARTING || state == HCE_FAILED)
		return;
	/* one that fails now and again has done so after a while each time */
	if (hce_alarm_reason(i) == HCE_RELAY_FAILS &&
		!TimestampDifferenceExceeds(started[i].started, GetCurrentTimestamp(),
									LONGEST_DELAY_MS))
		return;
	hce_alarm_clear(i);
}

/* No relay may run, for a command that needs the database alone. */
static void
look_at_hold(int i)
{
	HceDatabase *db = &hce_shared->databases[i];
	TimestampTz now = GetCurrentTimestamp();
	char		waiting_for[HCE_MAX_ERROR];

	if (started[i].held == 0)
		started[i].held = now;
	snprintf(waiting_for, sizeof(waiting_for),
			 "process %d, whose command needs the database alone", hce_holder(db));
	show_waiting(db, HCE_STOPPED, waiting_for);
	if (TimestampDifferenceExceeds(started[i].held, now, HELD_ALARM_MS))
		hce_alarm_raise(i, HCE_DATABASE_HELD);
	else
		hce_alarm_look(i);
}

/*
 * A database without a relay: start one, if it is time and if one can run.
 * Returns the milliseconds after which something is due.
 */
static long
tend_database(int i)
{
	HceDatabase *db = &hce_shared->databases[i];
	TimestampTz now = GetCurrentTimestamp();

	started[i].held = 0;
	/* later than any delay: the clock was set back */
	if (db->next_start > now + (int64) LONGEST_DELAY_MS * 1000)
		db->next_start = now;
	if (db->next_start > now)
	{
		hce_alarm_look(i);
		return TimestampDifferenceMilliseconds(now, db->next_start) + 1;
	}
	if (db->next_start == 0)
		started[i].delay_ms = 0;
	if (!hce_database_allows_connections(db->dboid))
	{
		show_waiting(db, HCE_STOPPED, "ALLOW_CONNECTIONS true for this database");
		hce_alarm_raise(i, HCE_DATABASE_CLOSED);
		return FIRST_DELAY_MS;
	}
	return start_relay(i);
}

/*
 * Start and reap relays.  Returns the milliseconds after which something is
 * due.
 */
static long
tend_relays(void)
{
	long		wait = LOOK_INTERVAL_MS;

	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		HceDatabase *db = &hce_shared->databases[i];

		if (!OidIsValid(db->dboid))
			continue;
		if (started[i].handle != NULL && reap_worker(i) &&
			started[i].kind == HCE_WORKER_RELAY)
			relay_ended(i);
		/* a relay that an earlier launcher started has no handle here */
		if (started[i].handle != NULL || db->relay_pid != 0)
			look_at_relay(i);
		else if (db->wanted && db->excluded)
		{
			long		due = leave_alone(i);

			wait = Min(wait, due);
		}
		else if (hce_holder(db) != 0)
			look_at_hold(i);
		else if (db->wanted)
		{
			long		due = tend_database(i);

			wait = Min(wait, due);
		}
		else if (hce_slot_drop_orphan(db->dboid))
			hce_forget_database(db);
		else
			wait = Min(wait, FIRST_DELAY_MS);
	}
	return wait;
}

/*
 * On a standby: start, for each database, the worker that lets its slot
 * follow the primary, and reap it.  Returns the milliseconds after which
 * something is due.
 */
static long
tend_standby(void)
{
	static TimestampTz labels_read = 0;
	TimestampTz now = GetCurrentTimestamp();

	/* nobody tells us of changes that were made on the primary */
	if (TimestampDifferenceExceeds(labels_read, now, FOLLOW_INTERVAL_MS))
	{
		labels_read = now;
		hce_labels_read();
	}
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		HceDatabase *db = &hce_shared->databases[i];

		if (!OidIsValid(db->dboid) || !reap_worker(i))
			continue;
		if (!db->wanted)
		{
			if (hce_slot_drop_orphan(db->dboid))
				hce_forget_database(db);
		}
		else if (db->excluded)
			(void) leave_alone(i);
		else if (db->next_start <= now && hce_database_allows_connections(db->dboid))
		{
			db->next_start = TimestampTzPlusMilliseconds(now, FOLLOW_INTERVAL_MS);
			start_keeper(i);
		}
	}
	return PROMOTION_POLL_MS;
}

/*
 * The server has left recovery, or we have started on one that had: relays
 * may run.  What was committed up to here nobody has waited for.
 */
static void
leave_recovery(void)
{
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	if (XLogRecPtrIsInvalid(hce_shared->recovered_to))
		hce_shared->recovered_to = GetFlushRecPtr(NULL);
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		HceDatabase *db = &hce_shared->databases[i];

		if (!OidIsValid(db->dboid))
			continue;
		db->next_start = 0;
		if (db->state != HCE_STANDBY)
			continue;
		db->state = HCE_STARTING;
		db->waiting_for[0] = '\0';
	}
	LWLockRelease(hce_shared->lock);
	pg_atomic_write_u32(&hce_shared->databases_changed, 1);
}

/* Main function of the launcher. */
void
hce_launcher_main(Datum arg)
{
	bool		standby = true; /* until we have looked */

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(InvalidOid, InvalidOid, 0);
	before_shmem_exit(leave, 0);

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	hce_shared->launcher_latch = MyLatch;
	hce_shared->launcher_pid = MyProcPid;
	LWLockRelease(hce_shared->lock);
	MemoryContextSwitchTo(TopMemoryContext);

	for (;;)
	{
		long		wait;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			/* hcevents.excluded_databases may say something new */
			pg_atomic_write_u32(&hce_shared->databases_changed, 1);
		}
		if (standby && !RecoveryInProgress())
		{
			standby = false;
			leave_recovery();
		}
		if (standby)
			wait = tend_standby();
		else
		{
			if (pg_atomic_exchange_u32(&hce_shared->databases_changed, 0) != 0)
				hce_labels_read();
			wait = tend_relays();
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
