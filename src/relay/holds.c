/*-------------------------------------------------------------------------
 *
 * holds.c
 *		Commands that need a database alone.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE ... TEMPLATE need
 * a database without connections, and find our relay in the way.  Such a
 * command puts a hold on the database: the relay leaves, and none starts until
 * the last transaction that holds it has ended.
 *
 * Runs in the backends of those who give these commands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "relay/holds.h"

/* How long a command waits for a relay to leave its database. */
#define HOLD_TIMEOUT_MS		4000

static bool holding = false;

/* Release what this backend holds, and let the launcher start relays. */
static void
release_holds(void)
{
	if (!holding)
		return;
	holding = false;
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < HCE_MAX_DATABASES; i++)
	{
		int		   *pids = hce_shared->databases[i].hold_pids;

		for (int j = 0; j < HCE_MAX_HOLDS; j++)
		{
			if (pids[j] == MyProcPid)
				pids[j] = 0;
		}
	}
	LWLockRelease(hce_shared->lock);
	hce_shared_wake_launcher();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		release_holds();
}

/* Also for a backend that dies holding. */
static void
release_at_exit(int code, Datum arg)
{
	release_holds();
}

/* Who holds a database; 0 = nobody. */
int
hce_holder(const HceDatabase *db)
{
	for (int i = 0; i < HCE_MAX_HOLDS; i++)
	{
		if (db->hold_pids[i] != 0)
			return db->hold_pids[i];
	}
	return 0;
}

/*
 * Put a hold of our own on a database, which may have others: it must not be
 * lost when one of those ends first.  Returns false when there is no room.
 */
static bool
take_hold(HceDatabase *db)
{
	int			room = -1;

	for (int i = 0; i < HCE_MAX_HOLDS; i++)
	{
		if (db->hold_pids[i] == MyProcPid)
			return true;
		if (db->hold_pids[i] == 0)
			room = i;
	}
	if (room < 0)
		return false;
	db->hold_pids[room] = MyProcPid;
	holding = true;
	return true;
}

/* Hold a database, and send its relay away.  Returns whether it is gone. */
static bool
try_hold(Oid dboid)
{
	HceDatabase *db;
	bool		gone = true;

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db = hce_shared_find_or_add(dboid);
	if (db != NULL)
	{
		/*
		 * relay_pid is cleared before the process leaves the process array,
		 * where the command will count it, so wait for that as well.
		 */
		gone = take_hold(db) && db->relay_pid == 0 &&
			(db->leaving_pid == 0 || BackendPidGetProc(db->leaving_pid) == NULL);
		if (db->relay_latch != NULL)
			SetLatch(db->relay_latch);
	}
	LWLockRelease(hce_shared->lock);
	return gone;
}

/*
 * Ask the relay of a database to leave and keep it away until this
 * transaction ends.  Waits at most HOLD_TIMEOUT_MS; when the relay does not
 * leave in that time the command goes on and says itself who is in the way.
 */
static void
hold_database(Oid dboid)
{
	static bool registered = false;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  HOLD_TIMEOUT_MS);

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		before_shmem_exit(release_at_exit, 0);
		registered = true;
	}
	while (!try_hold(dboid) && GetCurrentTimestamp() < end)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * May the current user copy a database?  As createdb() decides: who may
 * create databases, and owns this one or it is a template.
 */
static bool
may_copy(Oid dboid)
{
	HeapTuple	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	HeapTuple	database = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	bool		may = false;

	if (HeapTupleIsValid(role) && HeapTupleIsValid(database))
		may = superuser() ||
			(((Form_pg_authid) GETSTRUCT(role))->rolcreatedb &&
			 (((Form_pg_database) GETSTRUCT(database))->datistemplate ||
			  hce_compat_database_owner(dboid, GetUserId())));
	if (HeapTupleIsValid(role))
		ReleaseSysCache(role);
	if (HeapTupleIsValid(database))
		ReleaseSysCache(database);
	return may;
}

/* The template of CREATE DATABASE, which is template1 when none is named. */
Oid
hce_template_of(const CreatedbStmt *statement)
{
	const char *template = "template1";
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			template = defGetString(option);
	}
	return get_database_oid(template, true);
}

/* The database that a command needs alone, and whose owner may give it. */
static Oid
needed_alone(Node *statement)
{
	const char *name = NULL;

	if (IsA(statement, DropdbStmt))
		name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) &&
			 ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt))
	{
		AlterDatabaseStmt *alter = (AlterDatabaseStmt *) statement;
		ListCell   *cell;

		foreach(cell, alter->options)
		{
			if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
				name = alter->dbname;
		}
	}
	return name == NULL ? InvalidOid : get_database_oid(name, true);
}

/*
 * Before a utility command: hold the database that it needs alone, until the
 * transaction ends.  Only who may run the command may send a relay away.
 */
void
hce_holds_take(Node *statement)
{
	Oid			dboid;
	bool		may;

	if (IsA(statement, CreatedbStmt))
	{
		dboid = hce_template_of((CreatedbStmt *) statement);
		may = OidIsValid(dboid) && hce_shared_find(dboid) != NULL &&
			may_copy(dboid);
	}
	else
	{
		dboid = needed_alone(statement);
		may = OidIsValid(dboid) && hce_compat_database_owner(dboid, GetUserId());
	}
	if (may)
		hold_database(dboid);
}
