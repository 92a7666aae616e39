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
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_shseclabel.h"
#include "replication/slot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "excluded.h"
#include "relay/alarm.h"
#include "relay/databases.h"
#include "relay/holds.h"
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

/* A database that carries our label. */
typedef struct Labelled
{
	Oid			dboid;
	bool		on;				/* the label says that it delivers */
	bool		excluded;		/* by hcevents.excluded_databases */
} Labelled;

/*
 * Whether hcevents.excluded_databases matches a database's name.  Reads the
 * table, not the cache: we are woken by ALTER DATABASE ... RENAME at its
 * commit, a moment before the server tells all caches of it.
 */
static bool
is_excluded(Oid dboid, bool made_excluded)
{
	Relation	databases = table_open(DatabaseRelationId, AccessShareLock);
	bool		excluded = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(dboid));
	/* without a database's catalogs the index may not be at hand */
	scan = systable_beginscan(databases, DatabaseOidIndexId,
							  criticalSharedRelcachesBuilt, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		excluded = hce_excluded_database(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datname),
										 made_excluded);
	systable_endscan(scan);
	table_close(databases, AccessShareLock);
	return excluded;
}

/*
 * What a label says; NULL for one that is not ours.  In a transaction.
 *
 * On a standby the label is the primary's word, whose position stands still
 * for a database that is excluded there: no slot could follow it.
 */
static Labelled *
parse_label(HeapTuple tuple, TupleDesc desc, MemoryContext context)
{
	Form_pg_shseclabel form = (Form_pg_shseclabel) GETSTRUCT(tuple);
	bool		isnull;
	Datum		provider = heap_getattr(tuple, Anum_pg_shseclabel_provider,
										desc, &isnull);
	Datum		label;
	const char *says;
	Labelled   *made;

	if (form->classoid != DatabaseRelationId || isnull ||
		strcmp(TextDatumGetCString(provider), HCE_LABEL_PROVIDER) != 0)
		return NULL;
	label = heap_getattr(tuple, Anum_pg_shseclabel_label, desc, &isnull);
	says = isnull ? "" : TextDatumGetCString(label);
	made = MemoryContextAlloc(context, sizeof(Labelled));
	made->dboid = form->objoid;
	made->on = strcmp(says, HCE_LABEL_ON) == 0;
	made->excluded = (RecoveryInProgress() && !made->on) ||
		is_excluded(made->dboid, strcmp(says, HCE_LABEL_TEST) == 0);
	return made;
}

/* The databases that carry our label, in the caller's memory. */
static List *
labelled_databases(void)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *found = NIL;
	Relation	labels;
	SysScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	labels = table_open(SharedSecLabelRelationId, AccessShareLock);
	scan = systable_beginscan(labels, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Labelled   *labelled = parse_label(tuple, RelationGetDescr(labels), caller);

		if (labelled == NULL)
			continue;
		MemoryContextSwitchTo(caller);
		found = lappend(found, labelled);
		MemoryContextSwitchTo(CurTransactionContext);
	}
	systable_endscan(scan);
	table_close(labels, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return found;
}

static Labelled *
find_labelled(List *labelled, Oid dboid)
{
	ListCell   *cell;

	foreach(cell, labelled)
	{
		if (((Labelled *) lfirst(cell))->dboid == dboid)
			return lfirst(cell);
	}
	return NULL;
}

/*
 * Drop the slots of databases that carry no label: left by a database that
 * was dropped, or by an extension dropped just before a crash.  On a standby
 * the labels are those of what is replayed, and so is all that could need
 * WAL.
 */
static void
drop_orphan_slots(List *labelled)
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
		if (!known && find_labelled(labelled, dboids[i]) == NULL &&
			hce_slot_drop_orphan(dboids[i]))
			ereport(LOG,
					errmsg("dropped the replication slot of database %u, which has hcevents no more",
						   dboids[i]));
	}
	pfree(dboids);
}

/*
 * Whether there is anything to do for a database.  One that is excluded, and
 * whose label says so, has no relay and no slot: a place only lets it show that.
 */
static bool
needs_place(const Labelled *labelled)
{
	return !labelled->excluded || labelled->on;
}

/* Take the place of a database that needs none, and has been left alone. */
static void
make_room(List *labelled)
{
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		HceDatabase *db = &hce_shared->databases[i];
		const Labelled *one = find_labelled(labelled, db->dboid);

		if (one == NULL || needs_place(one) || db->state != HCE_EXCLUDED ||
			db->relay_pid != 0 || hce_holder(db) != 0)
			continue;
		hce_shared_forget_types(db->dboid);
		db->dboid = InvalidOid;
		return;
	}
}

/* A place for a database; false if none is left for it. */
static bool
add_place(const Labelled *labelled, List *all)
{
	HceDatabase *db = hce_shared_find_or_add(labelled->dboid);

	if (db == NULL && needs_place(labelled))
	{
		make_room(all);
		db = hce_shared_find_or_add(labelled->dboid);
	}
	if (db != NULL && !db->wanted)
		db->next_start = 0;
	return db != NULL;
}

/*
 * Places in shared memory for new ones, first for those that need one; returns
 * one of these that found none.
 */
static Oid
add_places(List *labelled)
{
	Oid			left_out = InvalidOid;
	ListCell   *cell;

	foreach(cell, labelled)
	{
		const Labelled *one = lfirst(cell);

		if (needs_place(one) && !add_place(one, labelled))
			left_out = one->dboid;
	}
	foreach(cell, labelled)
	{
		if (!needs_place(lfirst(cell)))
			(void) add_place(lfirst(cell), labelled);
	}
	return left_out;
}

/* Bring a place in line with its label. */
static void
update_place(HceDatabase *db, const Labelled *labelled)
{
	bool		excluded = labelled != NULL && labelled->excluded;

	if (db->excluded && !excluded)
		db->next_start = 0;
	db->wanted = labelled != NULL;
	db->excluded = excluded;
	db->label_on = labelled != NULL && labelled->on;
	db->check_requested = true;
	if (db->relay_latch != NULL)
		SetLatch(db->relay_latch);
}

/*
 * Bring shared memory in line with the labels, drop what they leave without
 * an owner, and make each relay look whether its settings or its extension
 * changed.
 */
void
hce_labels_read(void)
{
	static bool full = false;
	List	   *labelled = labelled_databases();
	Oid			left_out;

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	left_out = add_places(labelled);
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		HceDatabase *db = &hce_shared->databases[i];

		if (OidIsValid(db->dboid))
			update_place(db, find_labelled(labelled, db->dboid));
	}
	LWLockRelease(hce_shared->lock);
	if (OidIsValid(left_out) && !full)
		ereport(WARNING,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("no relay runs for database %u: hcevents serves at most %d databases",
					   left_out, HCE_MAX_DATABASES),
				errhint("Drop the extension in databases that do not need it."));
	full = OidIsValid(left_out);
	drop_orphan_slots(labelled);
	list_free_deep(labelled);
}

/* A place in shared memory of a database that needs none any more. */
void
hce_forget_database(HceDatabase *db)
{
	hce_alarm_forget(db - hce_shared->databases);
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	if (!db->wanted && db->relay_pid == 0 && hce_holder(db) == 0)
	{
		hce_shared_forget_types(db->dboid);
		db->dboid = InvalidOid;
		/* somebody may have been waiting for a place */
		pg_atomic_write_u32(&hce_shared->databases_changed, 1);
	}
	LWLockRelease(hce_shared->lock);
}
