/*-------------------------------------------------------------------------
 *
 * labels.c
 *		The launcher's look at the databases: which carry our label, and what
 *		those have left behind that carry it no more.
 *
 * The labels are set by databases.c.  All here runs without a transaction of
 * the caller's, in a process that is connected to no database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_shseclabel.h"
#include "replication/slot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "relay/alarm.h"
#include "relay/databases.h"
#include "relay/slot.h"

/* Whether anybody may connect to a database. */
bool
hce_database_allows_connections(Oid dboid)
{
	HeapTuple	tuple;
	bool		allows = false;

	StartTransactionCommand();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		allows = ((Form_pg_database) GETSTRUCT(tuple))->datallowconn;
		ReleaseSysCache(tuple);
	}
	CommitTransactionCommand();
	return allows;
}

/* The databases that carry our label, a list of oids in the caller's memory. */
List *
hce_labelled_databases(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *oids = NIL;
	Relation	labels;
	SysScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	labels = table_open(SharedSecLabelRelationId, AccessShareLock);
	scan = systable_beginscan(labels, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shseclabel label = (Form_pg_shseclabel) GETSTRUCT(tuple);
		bool		isnull;
		Datum		provider = heap_getattr(tuple, Anum_pg_shseclabel_provider,
											RelationGetDescr(labels), &isnull);

		if (label->classoid != DatabaseRelationId || isnull ||
			strcmp(TextDatumGetCString(provider), HCE_LABEL_PROVIDER) != 0)
			continue;
		MemoryContextSwitchTo(caller);
		oids = lappend_oid(oids, label->objoid);
		MemoryContextSwitchTo(CurTransactionContext);
	}
	systable_endscan(scan);
	table_close(labels, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return oids;
}

/*
 * Drop the slots of databases that carry no label: left by a database that
 * was dropped, or by an extension dropped just before a crash.  On a standby
 * the labels are those of what is replayed, and so is all that could need
 * WAL.
 */
void
hce_drop_orphan_slots(List *labelled)
{
	int			capacity = max_replication_slots;
	Oid		   *dboids = palloc(Max(capacity, 1) * sizeof(Oid));
	int			count = hce_slot_list(dboids, capacity);

	for (int i = 0; i < count; i++)
	{
		bool		known;

		LWLockAcquire(hce_shared->lock, LW_SHARED);
		known = hce_shared_find(dboids[i]) != NULL;
		LWLockRelease(hce_shared->lock);
		if (!known && !list_member_oid(labelled, dboids[i]) &&
			hce_slot_drop_orphan(dboids[i]))
			ereport(LOG,
					errmsg("dropped the replication slot of database %u, which has hcevents no more",
						   dboids[i]));
	}
	pfree(dboids);
}

/* A place in shared memory of a database that needs none any more. */
void
hce_forget_database(HceDatabase *db)
{
	hce_alarm_forget(db - hce_shared->databases);
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	if (!db->wanted && db->relay_pid == 0 && db->hold_pid == 0)
	{
		hce_shared_forget_types(db->dboid);
		db->dboid = InvalidOid;
	}
	LWLockRelease(hce_shared->lock);
}
