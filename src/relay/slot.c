/*-------------------------------------------------------------------------
 *
 * slot.c
 *		The replication slot that keeps a relay's WAL.
 *
 * A physical slot: it works at wal_level = replica, pins no catalog rows and
 * waits for no transaction when it is made.  It only keeps WAL from being
 * removed; where to read on is the position row's word (position.c).  After
 * a crash the slot's file may name WAL that is gone, and any role with
 * REPLICATION can move or drop it: both show as a gap.
 *
 * The relay holds its slot from start to end, so that no idle time-out hits
 * it and pg_replication_slots names the relay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "utils/builtins.h"

#include "compat.h"
#include "relay/slot.h"

#define SLOT_PREFIX "hcevents_"

/* The name of a database's slot. */
void
hce_slot_name(Oid dboid, NameData *name)
{
	snprintf(NameStr(*name), NAMEDATALEN, SLOT_PREFIX "%u", dboid);
}

/*
 * Make a slot and hold it.  Ephemeral until WAL is reserved: a failure in
 * between must not leave a persistent slot that keeps nothing.
 */
static XLogRecPtr
create_slot(const char *name)
{
	hce_compat_slot_create(name);
	ReplicationSlotReserveWal();
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	ReplicationSlotPersist();
	return hce_slot_restart_lsn();
}

/*
 * Acquire the slot of a database, or make it.
 *
 * Returns the start of the WAL it keeps: InvalidXLogRecPtr if it was
 * invalidated; then the slot is acquired all the same.  A slot that is made
 * begins at the last checkpoint's redo pointer; "*created" tells.
 *
 * Raises ERRCODE_OBJECT_IN_USE if another process holds it, and
 * ERRCODE_CONFIGURATION_LIMIT_EXCEEDED if all slots are in use.
 */
XLogRecPtr
hce_slot_acquire(Oid dboid, bool *created)
{
	NameData	name;

	hce_slot_name(dboid, &name);
	*created = SearchNamedReplicationSlot(NameStr(name), true) == NULL;
	if (!*created)
	{
		hce_compat_slot_acquire(NameStr(name));
		return hce_slot_restart_lsn();
	}
	return create_slot(NameStr(name));
}

/* Replace our slot, which was invalidated, by a new one. */
XLogRecPtr
hce_slot_renew(Oid dboid)
{
	NameData	name;

	hce_slot_name(dboid, &name);
	ReplicationSlotRelease();
	ReplicationSlotDrop(NameStr(name), true);
	return create_slot(NameStr(name));
}

/* The start of the WAL that our slot keeps, see hce_slot_acquire(). */
XLogRecPtr
hce_slot_restart_lsn(void)
{
	XLogRecPtr	lsn;
	bool		invalid;

	SpinLockAcquire(&MyReplicationSlot->mutex);
	lsn = MyReplicationSlot->data.restart_lsn;
	invalid = hce_compat_slot_invalid(MyReplicationSlot);
	SpinLockRelease(&MyReplicationSlot->mutex);
	return invalid ? InvalidXLogRecPtr : lsn;
}

/*
 * Give back the WAL before "restart_lsn", which must be flushed as part of
 * the position row.  Writes and syncs the slot's file.
 */
void
hce_slot_advance(XLogRecPtr restart_lsn)
{
	SpinLockAcquire(&MyReplicationSlot->mutex);
	MyReplicationSlot->data.restart_lsn = restart_lsn;
	SpinLockRelease(&MyReplicationSlot->mutex);
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	ReplicationSlotsComputeRequiredLSN();
}

/*
 * Drop the slot of a database that has no extension any more.  Returns false
 * if somebody still holds it; a slot that is gone already is no error.
 */
bool
hce_slot_drop_orphan(Oid dboid)
{
	NameData	name;
	ReplicationSlot *slot;
	pid_t		holder;

	hce_slot_name(dboid, &name);
	slot = SearchNamedReplicationSlot(NameStr(name), true);
	if (slot == NULL)
		return true;
	SpinLockAcquire(&slot->mutex);
	holder = slot->active_pid;
	SpinLockRelease(&slot->mutex);
	if (holder != 0)
		return false;
	ReplicationSlotDrop(NameStr(name), true);
	return true;
}

/* The databases that have a slot of ours, by the slots' names. */
int
hce_slot_list(Oid *dboids, int capacity)
{
	int			count = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && count < capacity; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		const char *name = NameStr(slot->data.name);
		char	   *end;
		unsigned long oid;

		if (!slot->in_use ||
			strncmp(name, SLOT_PREFIX, strlen(SLOT_PREFIX)) != 0)
			continue;
		oid = strtoul(name + strlen(SLOT_PREFIX), &end, 10);
		if (*end == '\0' && oid != 0 && oid <= OID_MAX)
			dboids[count++] = (Oid) oid;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return count;
}
