/*-------------------------------------------------------------------------
 *
 * exclude.c
 *		The worker that notes that a database is excluded.
 *
 * hcevents.excluded_databases is a setting of one server.  Three must know of
 * what it does: a standby, whose slot would wait for a position that stands
 * still; the cluster that pg_upgrade makes, which must not believe that all
 * was delivered because it was so when a relay last stopped; and a server on
 * which the setting is gone.  So the database's label says it, as the other
 * facts of that kind: it is replicated, and travels with a dump.
 *
 * The launcher, which cannot write to a catalog since it is connected to no
 * database, starts this worker, and it ends at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"

#include "relay/databases.h"
#include "relay/relay.h"
#include "relay/relay_settings.h"

/* Main function of the worker; the argument is the database's oid. */
void
hce_exclude_main(Datum arg)
{
	Oid			dboid = DatumGetObjectId(arg);
	HceDatabase *db;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	LWLockAcquire(hce_shared->lock, LW_SHARED);
	db = hce_shared_find(dboid);
	LWLockRelease(hce_shared->lock);
	if (db == NULL || !db->excluded)
		proc_exit(0);
	hce_relay_settings_override("hcevents exclude");
	(void) hce_database_label_set(HCE_LABEL_EXCLUDED);
	proc_exit(0);
}
