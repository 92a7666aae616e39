/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between PostgreSQL 15, 16, 17 and 18, and nothing else.
 *
 * The only file that looks at PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_COMPAT_H
#define HCE_COMPAT_H

#include "catalog/pg_database.h"
#include "executor/executor.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/spin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "hcevents needs PostgreSQL 15, 16, 17 or 18"
#endif

/* Slots: one more argument in 17 and 18; invalidation has a cause from 16. */
static inline void
hce_compat_slot_acquire(const char *name)
{
#if PG_VERSION_NUM >= 180000
	ReplicationSlotAcquire(name, true, false);
#else
	ReplicationSlotAcquire(name, true);
#endif
}

static inline void
hce_compat_slot_create(const char *name)
{
#if PG_VERSION_NUM >= 170000
	ReplicationSlotCreate(name, false, RS_EPHEMERAL, false, false, false);
#else
	ReplicationSlotCreate(name, false, RS_EPHEMERAL, false);
#endif
}

static inline bool
hce_compat_slot_invalid(ReplicationSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	return slot->data.invalidated != RS_INVAL_NONE;
#else
	return !XLogRecPtrIsInvalid(slot->data.invalidated_at);
#endif
}

/* Memory for the "extra" of a setting; NULL when there is none. */
static inline void *
hce_compat_guc_malloc(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

/* A set of wait events for the life of the process. */
static inline WaitEventSet *
hce_compat_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

static inline bool
hce_compat_database_owner(Oid dboid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, dboid, roleid);
#else
	return pg_database_ownercheck(dboid, roleid);
#endif
}

/* Enter a tuple that was inserted in the table's indexes. */
static inline void
hce_compat_insert_index_tuples(ResultRelInfo *info, TupleTableSlot *slot,
							   EState *estate)
{
#if PG_VERSION_NUM >= 160000
	(void) ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL,
								 false);
#else
	(void) ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL);
#endif
}

#endif							/* HCE_COMPAT_H */
