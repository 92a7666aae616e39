/*-------------------------------------------------------------------------
 *
 * databases.c
 *		Which databases have the extension: their labels.
 *
 * Runs in the backends of those who create, drop and alter.  A database that
 * has the extension carries a shared security label of the provider
 * "hcevents": a durable, transactional list that the launcher reads without
 * connecting to each database, and that renaming and dropping a database keep
 * right.  Nothing here acts before the transaction has committed; then the
 * launcher is woken, so that a rollback needs nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "compat.h"
#include "excluded.h"
#include "relay/by_hand.h"
#include "relay/databases.h"
#include "relay/holds.h"
#include "relay/position.h"
#include "stats/shared.h"

static object_access_hook_type prev_object_access_hook = NULL;
static ProcessUtility_hook_type prev_utility_hook = NULL;

/* This transaction has done what the launcher must hear of. */
static bool wake_at_commit = false;

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
}

static void
note_change(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	wake_at_commit = true;
}

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
		 strcmp(label, HCE_LABEL_TEST) != 0 &&
		 strcmp(label, HCE_LABEL_EXCLUDED) != 0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the only security labels of the provider \"%s\" are \"%s\", \"%s\" and \"%s\", on a database",
					   HCE_LABEL_PROVIDER, HCE_LABEL_ON, HCE_LABEL_TEST,
					   HCE_LABEL_EXCLUDED));
	if (!creating_extension && !superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("security labels of the provider \"%s\" cannot be set by hand",
					   HCE_LABEL_PROVIDER),
				errhint("Use CREATE EXTENSION hcevents."));
	note_change();
}

/*
 * A database made of one with our label gets one too, in the transaction that
 * makes it: its relay, if it is not excluded, then says that it is a copy.
 */
static void
label_copy(const CreatedbStmt *statement)
{
	ObjectAddress object;
	Oid			template = hce_template_of(statement);
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
		hce_holds_take(statement);
	if (IsA(statement, AlterDatabaseSetStmt) || IsA(statement, AlterRoleSetStmt))
		note_change();
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

/* The label of this database; NULL without one.  In a transaction. */
static char *
own_label(ObjectAddress *database)
{
	ObjectAddressSet(*database, DatabaseRelationId, MyDatabaseId);
	return GetSecurityLabel(database, HCE_LABEL_PROVIDER);
}

/*
 * A relay has begun to deliver, or has ended because the database is excluded:
 * let the label say so.  In a transaction of its own, and locked against DROP
 * EXTENSION, which takes the label away.  Returns false when the extension is
 * gone.
 */
bool
hce_database_label_set(const char *label)
{
	ObjectAddress database;
	char	   *former;

	if (!hce_position_begin())
		return false;
	former = own_label(&database);
	if (former != NULL && strcmp(former, label) != 0)
		SetSecurityLabel(&database, HCE_LABEL_PROVIDER, label);
	(void) hce_position_commit();
	hce_shared_wake_launcher();
	return true;
}

/*
 * Whether this database's label says that it delivers: since it was set no
 * server has left what was committed here alone.
 */
bool
hce_database_label_is_on(void)
{
	ObjectAddress database;
	char	   *label;
	bool		on;

	StartTransactionCommand();
	label = own_label(&database);
	on = label != NULL && strcmp(label, HCE_LABEL_ON) == 0;
	CommitTransactionCommand();
	return on;
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
	char	   *label;
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
	label = own_label(&database);
	excluded = hce_excluded_database(get_database_name(MyDatabaseId),
									 label == NULL || strcmp(label, HCE_LABEL_TEST) == 0);
	if (!excluded)
		check_server();
	else						/* a NOTICE of CREATE EXTENSION nobody sees */
		ereport(WARNING,
				errmsg("events of this database are captured but not delivered: hcevents.excluded_databases matches its name"),
				errhint("hcevents.captured_events() shows them to the transaction that captures them."));

	/* one that is there came with a dump, and says what its original did */
	if (label == NULL)
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
