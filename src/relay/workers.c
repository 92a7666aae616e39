/*-------------------------------------------------------------------------
 *
 * workers.c
 *		The background workers that serve one database, and the launcher's
 *		own registration.
 *
 * Each is started by the launcher and never by the server: whether, and how
 * soon, one that ended is started again is the launcher's to decide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"

#include "relay/relay.h"
#include "relay/workers.h"

static const struct
{
	const char *function;
	const char *type;
	BgWorkerStartTime start_time;
}			kinds[] = {
	[HCE_WORKER_RELAY] = {"hce_relay_main", "hcevents relay", BgWorkerStart_RecoveryFinished},
	[HCE_WORKER_STANDBY] = {"hce_standby_main", "hcevents standby", BgWorkerStart_ConsistentState},
	[HCE_WORKER_EXCLUDE] = {"hce_exclude_main", "hcevents exclude", BgWorkerStart_RecoveryFinished},
};

/*
 * Start a worker for a database; called by the launcher, which is told when it
 * ends.  Returns NULL when the server has no place for one
 * (max_worker_processes), else what tells of the worker, in the current memory
 * context.
 */
BackgroundWorkerHandle *
hce_worker_start(Oid dboid, HceWorkerKind kind)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = kinds[kind].start_time;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "hcevents", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, kinds[kind].function, BGW_MAXLEN);
	strlcpy(worker.bgw_type, kinds[kind].type, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u",
			 kinds[kind].type, dboid);
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

/* Whether a worker has ended. */
bool
hce_worker_ended(BackgroundWorkerHandle *handle)
{
	pid_t		pid;

	return GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
}

/* Register the launcher; called from _PG_init. */
void
hce_launcher_init(void)
{
	BackgroundWorker worker;

	/* pg_upgrade's own servers must not publish */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "hcevents", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "hce_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "hcevents launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "hcevents launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
