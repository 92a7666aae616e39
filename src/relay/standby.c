/*-------------------------------------------------------------------------
 *
 * standby.c
 *		The worker that keeps a database's slot on a physical standby.
 *
 * A standby publishes nothing, but the day it is promoted its relay must find
 * the WAL that the position row asks for.  The row arrives with the WAL; this
 * worker reads it and lets a slot of the standby's own follow its
 * restart_lsn.  It writes nothing that is WAL-logged.
 *
 * The launcher starts it now and then, and it ends at once.  A worker that
 * stayed connected would stand in the way of DROP DATABASE on the primary,
 * whose replay waits until nobody is connected, and a slot that is held would
 * be in the way of whoever manages slots (Patroni) and of the promotion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/timestamp.h"

#include "relay/relay.h"
#include "relay/relay_settings.h"
#include "relay/slot.h"

/*
 * Have a slot that keeps WAL from "restart_lsn" on.  Returns whether that WAL
 * is there; if not, the slot keeps what is.
 */
static bool
keep_wal(XLogRecPtr restart_lsn)
{
	bool		created;
	XLogRecPtr	kept;
	bool		has;

	/* somebody moves it just now: the next worker will find it free */
	if (hce_slot_in_use(MyDatabaseId))
		return hce_wal_reader_kept(restart_lsn) == restart_lsn;

	kept = hce_slot_acquire(MyDatabaseId, &created);
	if (XLogRecPtrIsInvalid(kept))
		kept = hce_slot_renew(MyDatabaseId);

	/* backwards as well: the row is the authority, see slot.c */
	has = hce_wal_reader_kept(restart_lsn) == restart_lsn;
	if (has && (created || kept > restart_lsn ||
				kept / wal_segment_size != restart_lsn / wal_segment_size))
	{
		hce_slot_advance(restart_lsn);
		/* it may have been removed before the slot kept it */
		has = hce_wal_reader_kept(restart_lsn) == restart_lsn;
	}
	hce_slot_drop_former(MyDatabaseId);
	ReplicationSlotRelease();
	return has;
}

/*
 * Whether the row is of a database or a cluster that this one was copied from.
 * A copy is paused until it is resumed, and begins then with a place of its
 * own: its row stands still, and no WAL may be kept for it.
 */
static bool
is_copy(const HceStoredPosition *stored)
{
	return stored->database_oid != MyDatabaseId ||
		stored->system_identifier != GetSystemIdentifier();
}

/* Show what we found, and log it when it changed. */
static void
show(HceDatabase *db, const HceStoredPosition *stored, bool has)
{
	char		waiting_for[HCE_MAX_ERROR] = "";
	bool		changed;

	if (!has)
		snprintf(waiting_for, sizeof(waiting_for),
				 "its position to pass the WAL that this standby lacks, from %X/%X on",
				 LSN_FORMAT_ARGS(stored->restart_lsn));
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	changed = (db->waiting_for[0] == '\0') != has || db->state != HCE_STANDBY;
	db->state = HCE_STANDBY;
	strlcpy(db->waiting_for, waiting_for, HCE_MAX_ERROR);
	db->settled_lsn = stored->settled.lsn;
	db->read_lsn = stored->settled.lsn;
	db->restart_lsn = stored->restart_lsn;
	LWLockRelease(hce_shared->lock);

	if (changed && !has)
		ereport(WARNING,
				errmsg("this standby lacks WAL from %X/%X on that the relay of database %u would need after a promotion",
					   LSN_FORMAT_ARGS(stored->restart_lsn), db->dboid),
				errdetail("Events of that time are not delivered yet, or the primary has not written its position since this standby was made."),
				errhint("This mends itself when the primary has delivered them. A promotion before that is recorded in hcevents.gaps."));
}

/*
 * Main function of the worker; the argument is the database's oid.  Ends with
 * status 0 when there is nothing to do (any more).
 */
void
hce_standby_main(Datum arg)
{
	Oid			dboid = DatumGetObjectId(arg);
	HceStoredPosition stored;
	HceDatabase *db;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	LWLockAcquire(hce_shared->lock, LW_SHARED);
	db = hce_shared_find(dboid);
	LWLockRelease(hce_shared->lock);
	if (db == NULL || !RecoveryInProgress())
		proc_exit(0);

	PG_TRY();
	{
		BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
		hce_relay_settings_override("hcevents standby");
		if (hce_position_load(&stored) == HCE_LOADED && RecoveryInProgress())
		{
			bool		copy = is_copy(&stored);

			if (copy)
				(void) hce_slot_drop_orphan(MyDatabaseId);
			show(db, &stored, copy || keep_wal(stored.restart_lsn));
		}
	}
	PG_CATCH();
	{
		hce_relay_note_failure(db);
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
