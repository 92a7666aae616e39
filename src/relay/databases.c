/*-------------------------------------------------------------------------
 *
 * databases.c
 *		Which databases have the extension, and who needs one alone.
 *
 * Runs in the backends of those who create, drop and alter.  A database that
 * has the extension carries a shared security label of the provider
 * "hcevents": a durable, transactional list that the launcher reads without
 * connecting to each database, and that renaming and dropping a database keep
 * right.  Nothing here acts before the transaction has committed; then the
 * launcher is woken, so that a rollback needs nothing.
 *
 * Commands that need a database without connections (DROP, RENAME, SET
 * TABLESPACE, as a template) find our relay in the way.  They put a hold on
 * it: the relay leaves, and none starts until the transaction has ended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "excluded.h"
#include "relay/by_hand.h"
#include "relay/databases.h"
#include "stats/shared.h"

/* How long a command waits for a relay to leave its database. */
#define HOLD_TIMEOUT_MS		4000

static object_access_hook_type prev_object_access_hook = NULL;
static ProcessUtility_hook_type prev_utility_hook = NULL;

/* What this transaction has done that the launcher must hear of. */
static bool wake_at_commit = false;
static bool holding = false;

/*
 * Who may set the label, and to what: CREATE EXTENSION, and a superuser who
 * restores a dump that holds it.  A label on a database without the extension
 * does no harm: its relay finds so and ends.
 */
static void
check_label(const ObjectAddress *object, const char *label)
{
	if (object->classId != DatabaseRelationId ||
		(label != NULL && strcmp(label, HCE_LABEL_ON) != 0 &&
		 strcmp(label, HCE_LABEL_TEST) != 0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the only security labels of the provider \"%s\" are \"%s\" and \"%s\", on a database",
					   HCE_LABEL_PROVIDER, HCE_LABEL_ON, HCE_LABEL_TEST));
	if (!creating_extension && !superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("security labels of the provider \"%s\" cannot be set by hand",
					   HCE_LABEL_PROVIDER),
				errhint("Use CREATE EXTENSION hcevents."));
}

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
		if (hce_shared->databases[i].hold_pid == MyProcPid)
			hce_shared->databases[i].hold_pid = 0;
	}
	LWLockRelease(hce_shared->lock);
	hce_shared_wake_launcher();
}

/* Also for a backend that dies holding. */
static void
release_holds_at_exit(int code, Datum arg)
{
	release_holds();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (wake_at_commit)
				hce_shared_wake_launcher();
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	wake_at_commit = false;
	if (hce_shared != NULL)
		release_holds();
}

static void
note_change(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		before_shmem_exit(release_holds_at_exit, 0);
		registered = true;
	}
	wake_at_commit = true;
}

/*
 * Put a hold on a database unless another command has one: that one must not
 * lose it when ours fails first.  Returns the database's place, or NULL.
 */
static HceDatabase *
take_hold(Oid dboid)
{
	HceDatabase *db;

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db = hce_shared_find_or_add(dboid);
	if (db != NULL && db->hold_pid == 0)
	{
		db->hold_pid = MyProcPid;
		holding = true;
		if (db->relay_latch != NULL)
			SetLatch(db->relay_latch);
	}
	LWLockRelease(hce_shared->lock);
	return db;
}

/*
 * Ask the relay of a database to leave and keep it away until this
 * transaction ends.  Waits at most HOLD_TIMEOUT_MS; when the relay does not
 * leave in that time the command goes on and says itself who is in the way.
 */
static void
hold_database(Oid dboid)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  HOLD_TIMEOUT_MS);
	HceDatabase *db;

	if (hce_shared == NULL || !OidIsValid(dboid))
		return;
	note_change();

	/*
	 * relay_pid is cleared before the process leaves the process array, where
	 * the command will count it, so wait for that as well.
	 */
	while ((db = take_hold(dboid)) != NULL && GetCurrentTimestamp() < end)
	{
		pid_t		pid = db->relay_pid;

		if (db->hold_pid == MyProcPid && pid == 0 &&
			(db->leaving_pid == 0 || BackendPidGetProc(db->leaving_pid) == NULL))
			break;
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

/* Only who may run the command may send the relay away. */
static void
hold_if_owner(const char *database)
{
	Oid			dboid = get_database_oid(database, true);

	if (OidIsValid(dboid) && hce_compat_database_owner(dboid, GetUserId()))
		hold_database(dboid);
}

/* The template of CREATE DATABASE, which is template1 when none is named. */
static Oid
template_of(const CreatedbStmt *statement)
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

static void
hold_template(const CreatedbStmt *statement)
{
	Oid			dboid = template_of(statement);

	if (OidIsValid(dboid) && hce_shared_find(dboid) != NULL &&
		may_copy(dboid))
		hold_database(dboid);
}

static void
before_utility(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			hold_if_owner(((DropdbStmt *) statement)->dbname);
			break;
		case T_CreatedbStmt:
			hold_template((CreatedbStmt *) statement);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				hold_if_owner(((RenameStmt *) statement)->subname);
			break;
		case T_AlterDatabaseStmt:
			{
				AlterDatabaseStmt *alter = (AlterDatabaseStmt *) statement;
				ListCell   *cell;

				foreach(cell, alter->options)
				{
					if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
						hold_if_owner(alter->dbname);
				}
				break;
			}
		case T_AlterDatabaseSetStmt:
		case T_AlterRoleSetStmt:
			note_change();
			break;
		default:
			break;
	}
}

/*
 * A database made of one with our label gets one too, in the transaction that
 * makes it: its relay, if it is not excluded, then says that it is a copy.
 */
static void
label_copy(const CreatedbStmt *statement)
{
	ObjectAddress object;
	Oid			template = template_of(statement);
	Oid			copy;
	char	   *label = NULL;

	CommandCounterIncrement();
	copy = get_database_oid(statement->dbname, true);
	if (OidIsValid(template))
	{
		ObjectAddressSet(object, DatabaseRelationId, template);
		label = GetSecurityLabel(&object, HCE_LABEL_PROVIDER);
	}
	if (label == NULL || !OidIsValid(copy))
		return;
	ObjectAddressSet(object, DatabaseRelationId, copy);
	SetSecurityLabel(&object, HCE_LABEL_PROVIDER,
					 hce_excluded_database(statement->dbname, true) ?
					 HCE_LABEL_TEST : HCE_LABEL_ON);
	note_change();
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest,
				QueryCompletion *completion)
{
	Node	   *statement = pstmt->utilityStmt;
	bool		commit_prepared = IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;

	if (hce_shared != NULL)
		before_utility(statement);
	if (prev_utility_hook)
		prev_utility_hook(pstmt, query, read_only, context, params,
						  environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params,
								environment, dest, completion);

	if (hce_shared != NULL && IsA(statement, CreatedbStmt))
		label_copy((CreatedbStmt *) statement);

	/*
	 * What it commits is the work of another transaction, so the callbacks at
	 * commit know nothing of its events, or of an extension that it created.
	 */
	if (commit_prepared)
	{
		hce_shared_wake_relay();
		hce_shared_wake_launcher();
		hce_by_hand_commit_prepared();
	}
}

/*
 * A relay runs for this database: whatever was so when it was made, it is not
 * a database for tests.  In a transaction of its own.
 */
void
hce_database_label_on(void)
{
	ObjectAddress database;
	char	   *label;

	ObjectAddressSet(database, DatabaseRelationId, MyDatabaseId);
	StartTransactionCommand();
	label = GetSecurityLabel(&database, HCE_LABEL_PROVIDER);
	if (label != NULL && strcmp(label, HCE_LABEL_TEST) == 0)
		SetSecurityLabel(&database, HCE_LABEL_PROVIDER, HCE_LABEL_ON);
	CommitTransactionCommand();
}

/* DROP EXTENSION: undo what install() did, and say what is lost by it. */
static void
extension_dropped(void)
{
	ObjectAddress database;
	HceDatabase *db;
	int64		pending = 0;

	ObjectAddressSet(database, DatabaseRelationId, MyDatabaseId);
	SetSecurityLabel(&database, HCE_LABEL_PROVIDER, NULL);
	if (hce_shared == NULL)
		return;
	note_change();
	LWLockAcquire(hce_shared->lock, LW_SHARED);
	db = hce_shared_find(MyDatabaseId);
	if (db != NULL)
		pending = db->pending;
	LWLockRelease(hce_shared->lock);
	if (pending > 0)
		ereport(WARNING,
				errmsg("%lld events were not delivered and will be lost",
					   (long long) pending),
				errhint("Roll back, and wait for hcevents.flush() to return true before dropping the extension."));
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id,
			  int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == ExtensionRelationId &&
		object_id == get_extension_oid("hcevents", true))
		extension_dropped();
}

/* What a relay will need of the server. */
static void
check_server(void)
{
	if (!XLogIsNeeded())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents needs wal_level = replica or logical"),
				errhint("Set wal_level = replica in postgresql.conf and restart the server."));
	if (max_replication_slots == 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents needs a replication slot, and max_replication_slots is 0"),
				errhint("Set max_replication_slots to at least one for each database with hcevents, and restart the server."));
	if (max_slot_wal_keep_size_mb < 0)
		ereport(NOTICE,
				errmsg("WAL kept for a relay that cannot run is not bounded: max_slot_wal_keep_size is -1"),
				errhint("Set max_slot_wal_keep_size to what pg_wal has room for. While a relay runs, hcevents.max_retained_wal bounds what it keeps."));
}

/*
 * hcevents.install(): called by CREATE EXTENSION only.
 *
 * Errors: ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE when the library is not
 * preloaded or, unless the database is excluded, no slot can exist.  Labels
 * the database, which vanishes with a rollback.
 */
PG_FUNCTION_INFO_V1(hcevents_install);

Datum
hcevents_install(PG_FUNCTION_ARGS)
{
	ObjectAddress database;
	bool		excluded;

	if (!creating_extension)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents.install() is called by CREATE EXTENSION only"));
	if (hce_shared == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents must be loaded when the server starts"),
				errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = 'hcevents' (after a comma if there are others)."));
	excluded = hce_excluded_database(get_database_name(MyDatabaseId), true);
	if (!excluded)
		check_server();
	else						/* a NOTICE of CREATE EXTENSION nobody sees */
		ereport(WARNING,
				errmsg("events of this database are captured but not delivered: hcevents.excluded_databases matches its name"),
				errhint("hcevents.captured_events() shows them to the transaction that captures them."));

	ObjectAddressSet(database, DatabaseRelationId, MyDatabaseId);
	SetSecurityLabel(&database, HCE_LABEL_PROVIDER,
					 excluded ? HCE_LABEL_TEST : HCE_LABEL_ON);
	note_change();
	PG_RETURN_VOID();
}

/*
 * hcevents.journal_start(): a place from which the relay may read the
 * journal: the start of a WAL record that does not exist yet.
 */
PG_FUNCTION_INFO_V1(hcevents_journal_start);

Datum
hcevents_journal_start(PG_FUNCTION_ARGS)
{
	PG_RETURN_LSN(GetXLogInsertRecPtr());
}

/* Called from _PG_init. */
void
hce_databases_init(void)
{
	register_label_provider(HCE_LABEL_PROVIDER, check_label);
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
	prev_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
