/*-------------------------------------------------------------------------
 *
 * shared.c
 *		The shared memory of hcevents, and waking the processes that wait.
 *
 * Owns the layout of shared.h.  Sizes are fixed at server start: 128
 * databases and 4,096 event types in all, about 4 MB.  An event type beyond
 * that is delivered as any other and counted in hcevents.status, but has no
 * row in hcevents.delivery_stats.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "stats/shared.h"

HceShared  *hce_shared = NULL;
HTAB	   *hce_type_stats = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static Size
types_size(void)
{
	return hash_estimate_size(HCE_MAX_TYPES, sizeof(HceTypeStats));
}

static void
request_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(HceShared)));
	RequestAddinShmemSpace(types_size());
	RequestNamedLWLockTranche("hcevents", 1);
}

static void
create_memory(void)
{
	HASHCTL		ctl;
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	hce_shared = ShmemInitStruct("hcevents", sizeof(HceShared), &found);
	if (!found)
	{
		memset(hce_shared, 0, sizeof(HceShared));
		hce_shared->lock = &GetNamedLWLockTranche("hcevents")->lock;
		hce_home_find(&hce_shared->home);
		pg_atomic_init_u32(&hce_shared->databases_changed, 1);
		for (int i = 0; i < HCE_MAX_DATABASES; i++)
		{
			pg_atomic_init_u32(&hce_shared->databases[i].napping, 0);
			pg_atomic_init_u64(&hce_shared->databases[i].last_commit_end, 0);
		}
	}
	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(HceTypeKey);
	ctl.entrysize = sizeof(HceTypeStats);
	hce_type_stats = ShmemInitHash("hcevents event types",
								   HCE_MAX_TYPES, HCE_MAX_TYPES, &ctl,
								   HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);
}

/* Called from _PG_init; without preloading there is nothing to share. */
void
hce_shared_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = create_memory;
}

bool
hce_shared_available(void)
{
	return hce_shared != NULL;
}

/*
 * The entry of a database, or NULL.  The caller holds the lock, or only reads
 * a field whose being stale does no harm: entries never move.
 */
HceDatabase *
hce_shared_find(Oid dboid)
{
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		if (hce_shared->databases[i].dboid == dboid)
			return &hce_shared->databases[i];
	}
	return NULL;
}

/* The same, made when it is missing; NULL when all entries are taken. */
HceDatabase *
hce_shared_find_or_add(Oid dboid)
{
	HceDatabase *db = hce_shared_find(dboid);

	Assert(LWLockHeldByMeInMode(hce_shared->lock, LW_EXCLUSIVE));

	if (db == NULL && (db = hce_shared_find(InvalidOid)) != NULL)
	{
		memset(db, 0, offsetof(HceDatabase, napping));
		pg_atomic_write_u32(&db->napping, 0);
		pg_atomic_write_u64(&db->last_commit_end, 0);
		db->dboid = dboid;
	}
	return db;
}

/* Remove the counters of a database; the caller holds the lock. */
void
hce_shared_forget_types(Oid dboid)
{
	HASH_SEQ_STATUS scan;
	HceTypeStats *stats;

	hash_seq_init(&scan, hce_type_stats);
	while ((stats = hash_seq_search(&scan)) != NULL)
	{
		if (stats->key.dboid == dboid)
			hash_search(hce_type_stats, &stats->key, HASH_REMOVE, NULL);
	}
}

/*
 * Tell this database's relay that a transaction which captured has
 * committed.  Called at XACT_EVENT_COMMIT: takes no lock and cannot fail.
 *
 * A relay that naps between two rounds of a busy time looks by itself within
 * milliseconds; sparing the signal is what lets single-row commits keep their
 * speed.
 */
void
hce_shared_wake_relay(void)
{
	static HceDatabase *mine = NULL;
	Latch	   *latch;

	if (hce_shared == NULL)
		return;
	if (mine == NULL || mine->dboid != MyDatabaseId)
		mine = hce_shared_find(MyDatabaseId);
	if (mine == NULL)
		return;

	/* after the commit became visible, before we look whether it naps */
	pg_atomic_write_u64(&mine->last_commit_end, XactLastCommitEnd);
	pg_memory_barrier();
	if (pg_atomic_read_u32(&mine->napping) != 0)
		return;
	latch = mine->relay_latch;
	if (latch != NULL)
		SetLatch(latch);
}

/* Make the launcher look at the catalogs. Takes no lock, cannot fail. */
void
hce_shared_wake_launcher(void)
{
	Latch	   *latch;

	if (hce_shared == NULL)
		return;
	pg_atomic_write_u32(&hce_shared->databases_changed, 1);
	latch = hce_shared->launcher_latch;
	if (latch != NULL)
		SetLatch(latch);
}

const char *
hce_relay_state_name(HceRelayState state)
{
	static const char *const names[] = {
		"stopped", "starting", "streaming", "disconnected", "paused",
		"disabled", "failed", "standby", "excluded"
	};

	return names[state];
}
