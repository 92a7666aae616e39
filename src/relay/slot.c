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
 * it and pg_replication_slots names the relay.  On a standby it is held for
 * moments only (standby.c).
 *
 * Its name can be set (hcevents.slot_name), so the name does not tell whose
 * it is once its database is gone.  The slot itself does: the field of the
 * output plugin, which a physical slot does not use and no view shows, holds
 * "hcevents_" and the database's oid, and is as durable as the slot.
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
#include "settings.h"

#define SLOT_PREFIX "hcevents_"

/* The mark of a database's slots, which is their default name as well. */
static void
set_mark(Oid dboid, NameData *name)
{
	memset(name, 0, sizeof(NameData));
	snprintf(NameStr(*name), NAMEDATALEN, SLOT_PREFIX "%u", dboid);
}

/* The name of this database's slot, under the settings in force. */
static void
chosen_name(Oid dboid, NameData *name)
{
	if (hce_slot_name[0] != '\0')
		namestrcpy(name, hce_slot_name);
	else
		set_mark(dboid, name);
}

static Oid
parse_mark(const char *mark)
{
	char	   *end;
	unsigned long oid;

	if (strncmp(mark, SLOT_PREFIX, strlen(SLOT_PREFIX)) != 0)
		return InvalidOid;
	oid = strtoul(mark + strlen(SLOT_PREFIX), &end, 10);
	return *end == '\0' && oid <= OID_MAX ? (Oid) oid : InvalidOid;
}

/*
 * The database whose relay a slot belongs to, or InvalidOid.  One without a
 * mark was made by hand or by a cluster manager and is no business of ours,
 * whatever its name, until a relay has acquired it.  The caller holds
 * ReplicationSlotControlLock or the slot.
 */
static Oid
slot_owner(const ReplicationSlot *slot)
{
	if (!slot->in_use || SlotIsLogical(slot))
		return InvalidOid;
	return parse_mark(NameStr(slot->data.plugin));
}

/* Mark the slot that we hold. */
static void
mark_slot(Oid dboid)
{
	NameData	mark;

	set_mark(dboid, &mark);
	if (strcmp(NameStr(MyReplicationSlot->data.plugin), NameStr(mark)) == 0)
		return;
	SpinLockAcquire(&MyReplicationSlot->mutex);
	MyReplicationSlot->data.plugin = mark;
	SpinLockRelease(&MyReplicationSlot->mutex);
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
}

/*
 * Make a slot and hold it.  Ephemeral until WAL is reserved: a failure in
 * between must not leave a persistent slot that keeps nothing.
 */
static XLogRecPtr
create_slot(Oid dboid, const char *name)
{
	hce_compat_slot_create(name);
	set_mark(dboid, &MyReplicationSlot->data.plugin);
	ReplicationSlotReserveWal();
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	ReplicationSlotPersist();
	return hce_slot_restart_lsn();
}

/* Whether a slot of that name is there; raises an error if it is not ours. */
static bool
find_slot(Oid dboid, const char *name)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);
	Oid			owner;

	if (slot == NULL)
		return false;
	if (SlotIsLogical(slot))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("replication slot \"%s\" is a logical one", name),
				errhint("Set hcevents.slot_name to another name, or drop that slot."));
	owner = slot_owner(slot);
	if (OidIsValid(owner) && owner != dboid)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("replication slot \"%s\" belongs to the relay of database %u",
					   name, owner),
				errhint("Give each database a name of its own: ALTER DATABASE ... SET hcevents.slot_name."));
	return true;
}

/*
 * Acquire the slot of a database, or make it.
 *
 * Returns the start of the WAL it keeps: InvalidXLogRecPtr if it was
 * invalidated; then the slot is acquired all the same.  A slot that is made
 * begins at the last checkpoint's redo pointer; "*created" tells.
 *
 * Raises ERRCODE_OBJECT_IN_USE if another process holds it or it belongs to
 * another database, ERRCODE_WRONG_OBJECT_TYPE if it is a logical one, and
 * ERRCODE_CONFIGURATION_LIMIT_EXCEEDED if all slots are in use.
 */
XLogRecPtr
hce_slot_acquire(Oid dboid, bool *created)
{
	NameData	name;

	chosen_name(dboid, &name);
	*created = !find_slot(dboid, NameStr(name));
	if (*created)
		return create_slot(dboid, NameStr(name));
	hce_compat_slot_acquire(NameStr(name));
	mark_slot(dboid);
	return hce_slot_restart_lsn();
}

/* Whether somebody holds the slot of this database. */
bool
hce_slot_in_use(Oid dboid)
{
	NameData	name;
	ReplicationSlot *slot;
	pid_t		holder = 0;

	chosen_name(dboid, &name);
	slot = SearchNamedReplicationSlot(NameStr(name), true);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		holder = slot->active_pid;
		SpinLockRelease(&slot->mutex);
	}
	return holder != 0;
}

/* Replace our slot, which was invalidated, by a new one. */
XLogRecPtr
hce_slot_renew(Oid dboid)
{
	NameData	name;

	chosen_name(dboid, &name);
	ReplicationSlotRelease();
	ReplicationSlotDrop(NameStr(name), true);
	return create_slot(dboid, NameStr(name));
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
 * The name of a slot of a database, other than "except" (NULL: any), which
 * nobody holds.  Returns false if there is none; "*held" tells whether one
 * was passed over because it is held.
 */
static bool
find_owned(Oid dboid, const char *except, NameData *name, bool *held)
{
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		pid_t		holder;

		if (slot_owner(slot) != dboid ||
			(except != NULL && strcmp(NameStr(slot->data.name), except) == 0))
			continue;
		SpinLockAcquire(&slot->mutex);
		holder = slot->active_pid;
		SpinLockRelease(&slot->mutex);
		if (holder != 0)
		{
			*held = true;
			continue;
		}
		*name = slot->data.name;
		found = true;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

/*
 * Drop the slots that this database's relay had under other names.  We hold
 * ours, and it keeps all that the relay needs; it is given up for the moment,
 * since a process can have one slot at a time.
 */
void
hce_slot_drop_former(Oid dboid)
{
	NameData	mine = MyReplicationSlot->data.name;
	NameData	former;
	bool		held = false;

	while (find_owned(dboid, NameStr(mine), &former, &held))
	{
		ReplicationSlotRelease();
		ReplicationSlotDrop(NameStr(former), true);
		hce_compat_slot_acquire(NameStr(mine));
		ereport(LOG,
				errmsg("replication slot \"%s\" has taken the place of \"%s\"",
					   NameStr(mine), NameStr(former)));
	}
}

/*
 * Drop the slots of a database that has no extension any more.  Returns false
 * if somebody still holds one; no slot is no error.
 */
bool
hce_slot_drop_orphan(Oid dboid)
{
	NameData	name;
	bool		held = false;

	while (find_owned(dboid, NULL, &name, &held))
		ReplicationSlotDrop(NameStr(name), true);
	return !held;
}

/*
 * What the slots of a database keep, whoever holds them; "*restart_lsn" is
 * the oldest WAL that is kept, or InvalidXLogRecPtr.
 */
HceSlotState
hce_slot_look(Oid dboid, XLogRecPtr *restart_lsn)
{
	HceSlotState state = HCE_SLOT_NONE;

	*restart_lsn = InvalidXLogRecPtr;
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		XLogRecPtr	lsn;

		if (slot_owner(slot) != dboid)
			continue;
		SpinLockAcquire(&slot->mutex);
		lsn = hce_compat_slot_invalid(slot) ? InvalidXLogRecPtr :
			slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
		if (XLogRecPtrIsInvalid(lsn))
		{
			if (state == HCE_SLOT_NONE)
				state = HCE_SLOT_INVALID;
			continue;
		}
		state = HCE_SLOT_KEEPS;
		if (XLogRecPtrIsInvalid(*restart_lsn) || lsn < *restart_lsn)
			*restart_lsn = lsn;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return state;
}

/* The databases that have a slot of ours, each once or more. */
int
hce_slot_list(Oid *dboids, int capacity)
{
	int			count = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && count < capacity; i++)
	{
		Oid			owner = slot_owner(&ReplicationSlotCtl->replication_slots[i]);

		if (OidIsValid(owner))
			dboids[count++] = owner;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return count;
}
