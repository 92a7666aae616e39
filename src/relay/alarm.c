/*-------------------------------------------------------------------------
 *
 * alarm.c
 *		Tells of databases for which no relay can run.
 *
 * While a relay runs it bounds the WAL that it retains (parking).  While none
 * can, its slot keeps all WAL of the server, and nobody but the launcher is
 * there to say so.  It does when that begins, when the reason changes, when
 * the WAL passes the limit at which a relay would have parked, and at each
 * doubling from there on: rare enough for a log, and more often the nearer a
 * full disk is.
 *
 * Runs in the launcher only; a new launcher begins anew and says it again.
 * The reason is also in hcevents.status, where the launcher puts it as long
 * as there is no relay to do that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"

#include "relay/alarm.h"
#include "relay/holds.h"
#include "relay/parking.h"
#include "relay/slot.h"
#include "settings.h"
#include "stats/shared.h"

#define MB(bytes)	((unsigned long long) ((bytes) / (1024 * 1024)))

/* The limit where no setting gives one. */
#define LIMIT_WITHOUT_SETTING	(UINT64CONST(1024) * 1024 * 1024)

/* What is known of a database, by its place in shared memory. */
typedef struct Alarm
{
	HceNoRelay	reason;
	uint64		said;			/* retained WAL when it was said last */
} Alarm;

static Alarm alarms[HCE_MAX_DATABASES];

/*
 * The WAL that the relay of a database would retain before it parks.  The
 * database's own setting is known once a relay has run; before that the
 * server's counts.
 */
static uint64
limit_of(const HceDatabase *db)
{
	uint64		limit = hce_parking_wal_limit(db->limit_known ?
											  db->max_retained_wal :
											  hce_max_retained_wal);

	if (limit > 0)
		return limit;
	/* a relay would never park: half of what the server keeps, if it tells */
	if (max_slot_wal_keep_size_mb > 0)
		return (uint64) max_slot_wal_keep_size_mb * 1024 * 1024 / 2;
	return LIMIT_WITHOUT_SETTING;
}

/*
 * How much WAL the slot of a database retains; 0 when it has none, or only
 * one that was invalidated.  Shows it in hcevents.status while no relay does.
 */
static uint64
retained_wal(HceDatabase *db, HceSlotState *state)
{
	XLogRecPtr	from;
	XLogRecPtr	end = GetFlushRecPtr(NULL);

	*state = hce_slot_look(db->dboid, &from);
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	if (db->relay_pid == 0)
		db->restart_lsn = from;
	LWLockRelease(hce_shared->lock);
	return *state == HCE_SLOT_KEEPS && end > from ? end - from : 0;
}

static const char *
detail_of(HceSlotState state, uint64 retained)
{
	switch (state)
	{
		case HCE_SLOT_NONE:
			return "No replication slot keeps WAL for it: events that are not delivered yet are lost when a checkpoint removes their WAL.";
		case HCE_SLOT_INVALID:
			return "Its replication slot was invalidated: events whose WAL was removed are lost, and will be recorded in hcevents.gaps.";
		case HCE_SLOT_KEEPS:
			break;
	}
	if (max_slot_wal_keep_size_mb >= 0)
		return psprintf("Its replication slot retains %llu MB of WAL; beyond max_slot_wal_keep_size (%d MB) events that are not delivered are lost.",
						MB(retained), max_slot_wal_keep_size_mb);
	return psprintf("Its replication slot retains %llu MB of WAL, and nothing bounds that: max_slot_wal_keep_size is -1.",
					MB(retained));
}

/* What the launcher says.  The transaction's memory takes the strings. */
static void
warn(const HceDatabase *db, HceNoRelay reason, HceSlotState state,
	 uint64 retained)
{
	char	   *name;
	int			code = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
	const char *why = "";
	const char *hint = "";

	StartTransactionCommand();
	switch (reason)
	{
		case HCE_RELAY_RUNS:
			break;
		case HCE_NO_WORKER:
			why = "no background worker slot is free";
			hint = "Raise max_worker_processes and restart the server, or end background workers that are not needed.";
			break;
		case HCE_NO_SLOT:
			why = "no replication slot is free";
			hint = "Drop a replication slot that nobody needs, or raise max_replication_slots and restart the server.";
			break;
		case HCE_RELAY_FAILS:
			code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
			why = db->state == HCE_FAILED && db->last_error[0] != '\0' ?
				psprintf("it fails again and again, last with: %s", db->last_error) :
				"it ends again and again";
			hint = "Mend what the error names; the relay is started again within a minute.";
			break;
		case HCE_DATABASE_CLOSED:
			code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
			why = "the database has ALLOW_CONNECTIONS false";
			hint = "ALTER DATABASE ... ALLOW_CONNECTIONS true lets the relay deliver. If nobody needs the events, drop the database or the extension in it.";
			break;
		case HCE_DATABASE_HELD:
			code = ERRCODE_OBJECT_IN_USE;
			why = psprintf("process %d holds the database for a command that needs it alone",
						   hce_holder(db));
			hint = "End that transaction, or wait for its command.";
			break;
	}
	name = get_database_name(db->dboid);
	ereport(WARNING,
			errcode(code),
			errmsg("no relay runs for database \"%s\": %s",
				   name != NULL ? name : "?", why),
			errdetail("%s", detail_of(state, retained)),
			errhint("%s", hint));
	CommitTransactionCommand();
}

/*
 * Note that no relay can run for a database, and why.  Logs it when that is
 * new, or when so much WAL is retained that it should be said again.
 */
void
hce_alarm_raise(int number, HceNoRelay reason)
{
	HceDatabase *db = &hce_shared->databases[number];
	Alarm	   *alarm = &alarms[number];
	HceSlotState state;
	uint64		retained = retained_wal(db, &state);
	uint64		limit = limit_of(db);

	/* the first of limit, 2 * limit, 4 * limit, ... that was not passed then;
	 * a changed limit counts at once */
	while (limit <= alarm->said)
		limit *= 2;
	if (alarm->reason == reason && retained < limit)
		return;
	alarm->reason = reason;
	alarm->said = retained;
	warn(db, reason, state, retained);
}

/* Look at the WAL of a database without a relay, whatever is known of it. */
void
hce_alarm_look(int number)
{
	HceSlotState state;

	if (alarms[number].reason != HCE_RELAY_RUNS)
		hce_alarm_raise(number, alarms[number].reason);
	else
		(void) retained_wal(&hce_shared->databases[number], &state);
}

HceNoRelay
hce_alarm_reason(int number)
{
	return alarms[number].reason;
}

/* A relay runs again. */
void
hce_alarm_clear(int number)
{
	char	   *name;

	if (alarms[number].reason == HCE_RELAY_RUNS)
		return;
	hce_alarm_forget(number);
	StartTransactionCommand();
	name = get_database_name(hce_shared->databases[number].dboid);
	ereport(LOG,
			errmsg("a relay runs for database \"%s\" again",
				   name != NULL ? name : "?"));
	CommitTransactionCommand();
}

/* The place belongs to nobody, or to another database. */
void
hce_alarm_forget(int number)
{
	memset(&alarms[number], 0, sizeof(Alarm));
}

/*
 * A database is excluded from now on (hcevents.excluded_databases): not by
 * chance, so this is said once.  "delivered": it had a slot.
 */
void
hce_alarm_excluded(const HceDatabase *db, bool delivered)
{
	char	   *name;
	int64		waiting = db->pending + db->parked;

	StartTransactionCommand();
	name = get_database_name(db->dboid);
	if (name == NULL)
		;						/* dropped just now */
	else if (delivered)
		ereport(WARNING,
				errmsg("database \"%s\" is excluded by hcevents.excluded_databases: its relay and its replication slot are gone",
					   name),
				waiting == 0 ? 0 : errdetail("%lld events that were captured are not delivered.",
											 (long long) waiting),
				errhint("If the database is excluded no more, its relay goes on where it was; what of the WAL is gone by then is recorded in hcevents.gaps."));
	else
		ereport(LOG,
				errmsg("database \"%s\" is excluded by hcevents.excluded_databases: no relay runs for it",
					   name));
	CommitTransactionCommand();
}
