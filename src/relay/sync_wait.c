/*-------------------------------------------------------------------------
 *
 * sync_wait.c
 *		Commits that nobody waited for the synchronous standbys with.
 *
 * A transaction that waits for its synchronous standbys is not visible yet,
 * so that its events are held by that.  But after a crash or a promotion, all
 * that was recovered is visible at once, also the commit whose writer was
 * still waiting: if the standby then takes over, the row is gone.  So commits
 * from before the end of recovery are published only once the standbys have
 * confirmed all of it, as they would have had to.
 *
 * That point is taken as a whole, not commit by commit: standbys confirm it
 * as soon as they stream, and it keeps the test off the normal path.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

#include "relay/relay.h"

/* What the database's synchronous_commit asks of standbys; -1: nothing. */
static int	wait_mode = SYNC_REP_NO_WAIT;

/*
 * Take the value of synchronous_commit that sessions of this database have by
 * default.  Called before the relay sets its own to off.
 */
void
hce_sync_wait_init(void)
{
	switch (synchronous_commit)
	{
		case SYNCHRONOUS_COMMIT_REMOTE_WRITE:
			wait_mode = SYNC_REP_WAIT_WRITE;
			break;
		case SYNCHRONOUS_COMMIT_REMOTE_FLUSH:
			wait_mode = SYNC_REP_WAIT_FLUSH;
			break;
		case SYNCHRONOUS_COMMIT_REMOTE_APPLY:
			wait_mode = SYNC_REP_WAIT_APPLY;
			break;
		default:
			wait_mode = SYNC_REP_NO_WAIT;
			break;
	}
}

/*
 * Whether a commit has to wait: it was recovered, and synchronous standbys
 * have not confirmed what was.  Takes SyncRepLock, shared, until they have.
 */
bool
hce_sync_wait_needed(HceRelay *relay, XLogRecPtr commit_lsn)
{
	XLogRecPtr	recovered_to = hce_shared->recovered_to;
	XLogRecPtr	confirmed;

	if (commit_lsn >= recovered_to || relay->recovered_confirmed ||
		wait_mode == SYNC_REP_NO_WAIT || max_wal_senders == 0 ||
		SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0')
		return false;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	confirmed = WalSndCtl->lsn[wait_mode];
	LWLockRelease(SyncRepLock);
	relay->recovered_confirmed = confirmed >= recovered_to;
	return !relay->recovered_confirmed;
}
