/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		Notices what DDL does to attachments and to their columns.
 *
 * Two hooks see it all.  The object access hook is told of every trigger and
 * every column that a command drops, renames or adds, however that came
 * about: also those that a DROP TYPE ... CASCADE, a parent table or the type
 * of a typed table takes along.  It only takes notes, since the catalogs are
 * halfway then.  The utility hook acts on the notes when the command has run,
 * in the same transaction.
 *
 * Event triggers were the other way, and would have had one advantage: they
 * also fire in a server that does not preload the library.  But such a server
 * delivers nothing either, and says so at each capture.  Against them:
 *
 * - They run for each DDL command of the database, and one whose library is
 *   away, or is another version than its SQL, fails all of them, DROP
 *   EXTENSION too.  A hook without its library is simply not there.
 * - A superuser can turn them off, session_replication_role does, and a
 *   single-user server has none.
 * - They tell of a renamed column only for the table that was named: which
 *   children, partitions and typed tables came along would have to be guessed
 *   again from the catalogs.
 *
 * Rows never come here: a plain write runs none of this.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "capture/attach.h"
#include "capture/ddl.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/*
 * The notes of one utility command.  Commands nest (a function may run some,
 * and a command parts of itself), and each acts on its own notes.  They are in
 * memory of the transaction, which a procedure may end within its CALL:
 * "transaction" tells whether they are still there.
 */
typedef struct Command
{
	uint64		transaction;
	List	   *dropped;		/* HceAttachment */
	List	   *changed;		/* HceChangedTable */
} Command;

static object_access_hook_type next_object_access = NULL;
static ProcessUtility_hook_type next_ProcessUtility = NULL;

/* The innermost utility command that runs; NULL when none does. */
static Command *current = NULL;

/* hcevents.detach() drops a trigger. */
static bool detaching = false;

/* Have the notes of this command ready to be added to. */
static void
begin_note(void)
{
	if (current->transaction == hce_capture_transaction())
		return;
	current->transaction = hce_capture_transaction();
	current->dropped = NIL;
	current->changed = NIL;
}

static bool
has_attachment(Relation rel)
{
	const TriggerDesc *desc;

	if (!rel->rd_rel->relhastriggers)
		return false;
	desc = CopyTriggerDesc(rel->trigdesc);
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (hce_trigger_is_emit(desc->triggers[i].tgfoid))
			return true;
	}
	return false;
}

/*
 * The note on a table, made now if there is none; NULL if the table has no
 * attachment.
 *
 * A command that changes columns has the table locked.  Commands that do not,
 * such as COMMENT ON COLUMN, come here too and may not; their notes say that
 * nothing has changed.
 */
static HceChangedTable *
note_table(Oid relid)
{
	HceChangedTable *result = NULL;
	ListCell   *cell;
	Relation	rel;

	begin_note();
	foreach(cell, current->changed)
	{
		if (((HceChangedTable *) lfirst(cell))->table == relid)
			return lfirst(cell);
	}
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		return NULL;
	if (has_attachment(rel))
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		result = palloc0(sizeof(HceChangedTable));
		result->table = relid;
		result->before = CreateTupleDescCopy(RelationGetDescr(rel));
		current->changed = lappend(current->changed, result);
		MemoryContextSwitchTo(old);
	}
	RelationClose(rel);
	return result;
}

/* Note the columns of a primary key. */
static void
note_key(HceChangedTable *table, ArrayType *columns)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Datum	   *numbers;
	int			count;

	deconstruct_array(columns, INT2OID, sizeof(int16), true, TYPALIGN_SHORT,
					  &numbers, NULL, &count);
	table->lost_key = NIL;
	for (int i = 0; i < count; i++)
		table->lost_key = lappend_int(table->lost_key,
									  DatumGetInt16(numbers[i]));
	MemoryContextSwitchTo(old);
}

/*
 * A constraint is about to be dropped.  A primary key may be the key of an
 * attachment; it goes before the column that takes it along.
 *
 * The command locks the table as the next thing it does.  A weaker lock of
 * ours before that would be a deadlock, and without any the note might be of
 * what another session is changing.
 */
static void
note_constraint(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Form_pg_constraint form;
	HceChangedTable *table;
	Datum		columns;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	columns = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conkey, &isnull);
	if (form->contype == CONSTRAINT_PRIMARY && !isnull)
	{
		LockRelationOid(form->conrelid, AccessExclusiveLock);
		table = note_table(form->conrelid);
		if (table != NULL)
			note_key(table, DatumGetArrayTypeP(columns));
	}
	ReleaseSysCache(tuple);
}

/* A trigger is about to be dropped: remember it when it is an attachment. */
static void
note_trigger(Oid trigger)
{
	MemoryContext old;
	HceAttachment *attachment;

	begin_note();
	old = MemoryContextSwitchTo(TopTransactionContext);
	attachment = hce_attachment_read(trigger);
	if (attachment != NULL)
		current->dropped = lappend(current->dropped, attachment);
	MemoryContextSwitchTo(old);
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id,
			  int sub_id, void *arg)
{
	if (next_object_access)
		next_object_access(access, class_id, object_id, sub_id, arg);
	if (current == NULL || IsBinaryUpgrade)
		return;
	if (class_id == RelationRelationId && sub_id > 0 &&
		(access == OAT_DROP || access == OAT_POST_ALTER ||
		 access == OAT_POST_CREATE))
		(void) note_table(object_id);
	else if (class_id == ConstraintRelationId && access == OAT_DROP)
		note_constraint(object_id);
	else if (class_id == TriggerRelationId && access == OAT_DROP)
		note_trigger(object_id);
}

/* The attachment that CREATE TRIGGER replaces or has made; NULL if none. */
static HceAttachment *
attachment_named(const CreateTrigStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	Oid			trigger = OidIsValid(relid) ?
		get_trigger_oid(relid, stmt->trigname, true) : InvalidOid;

	return OidIsValid(trigger) ? hce_attachment_read(trigger) : NULL;
}

static void
act_on_created(HceAttachment *before, HceAttachment *after)
{
	if (before != NULL)
		hce_attachment_parse(before);
	if (after != NULL)
	{
		hce_attachment_parse(after);
		hce_attachment_log_write(before != NULL ? "replace" : "attach", after,
								 before != NULL ? before->parsed : NULL,
								 after->parsed);
	}
	else if (before != NULL)
	{
		/* the privilege TRIGGER alone is enough to come here */
		if (!has_privs_of_role(GetUserId(), before->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of table %s", before->table_name),
					 errdetail("Trigger \"%s\" publishes its events.",
							   before->trigger_name)));
		hce_ddl_refuse_drop(before);
		hce_attachment_log_write("detach", before, before->parsed, NULL);
	}
}

/* What goes with its table is not refused, and nothing with the extension. */
static void
act_on_dropped(List *attachments)
{
	ListCell   *cell;

	if (attachments == NIL || !OidIsValid(hce_attach_emit_function()))
		return;
	foreach(cell, attachments)
	{
		HceAttachment *attachment = lfirst(cell);
		bool		exists = SearchSysCacheExists1(RELOID,
												   ObjectIdGetDatum(attachment->table));

		hce_attachment_parse(attachment);
		if (!exists)
			hce_ddl_report_end(attachment);
		else if (!detaching)
			hce_ddl_refuse_drop(attachment);
		hce_attachment_log_write(exists ? "detach" : "drop", attachment,
								 attachment->parsed, NULL);
	}
}

/* What there is to do once a command has run. */
static void
act(const Command *command, const CreateTrigStmt *create,
	HceAttachment *before, const AlterEnumStmt *alter_enum)
{
	if (create != NULL)
		act_on_created(before, attachment_named(create));
	if (alter_enum != NULL)
		hce_ddl_value_renamed(alter_enum);
	if (command->transaction != hce_capture_transaction())
		return;
	hce_ddl_follow(command->changed);
	act_on_dropped(command->dropped);
}

static void
watch_utility(PlannedStmt *pstmt, const char *queryString,
			  bool readOnlyTree, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *queryEnv,
			  DestReceiver *dest, QueryCompletion *qc)
{
	/*
	 * volatile for PG_TRY.  Looked at now: what a ROLLBACK ran from may be
	 * freed behind it.
	 */
	const CreateTrigStmt *volatile create =
		IsA(pstmt->utilityStmt, CreateTrigStmt) ? (const CreateTrigStmt *) pstmt->utilityStmt : NULL;
	const AlterEnumStmt *volatile alter_enum =
		IsA(pstmt->utilityStmt, AlterEnumStmt) ? (const AlterEnumStmt *) pstmt->utilityStmt : NULL;
	HceAttachment *volatile before = create != NULL ? attachment_named(create) : NULL;
	Command    *volatile outer = current;
	Command		command = {0};

	current = &command;
	PG_TRY();
	{
		if (next_ProcessUtility)
			next_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
								queryEnv, dest, qc);
		else
			standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
									params, queryEnv, dest, qc);
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();

	if (!IsBinaryUpgrade)
		act(&command, create, before, alter_enum);
}

/* CREATE OR REPLACE TRIGGER name AFTER ... FOR EACH ROW, as attach() has it. */
static CreateTrigStmt *
trigger_statement(Relation rel, const char *name, List *arguments)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);
	ListCell   *cell;

	stmt->replace = true;
	stmt->trigname = pstrdup(name);
	stmt->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
								  pstrdup(RelationGetRelationName(rel)), -1);
	stmt->funcname = list_make2(makeString(pstrdup("hcevents")),
								makeString(pstrdup("emit")));
	foreach(cell, arguments)
		stmt->args = lappend(stmt->args, makeString(lfirst(cell)));
	stmt->row = true;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
	return stmt;
}

/*
 * Make the trigger of attach(), or replace it, and check and log it.
 *
 * CREATE TRIGGER wants EXECUTE on emit(), which nobody has, so that only
 * attach() and superusers make triggers.  The caller has seen to it that the
 * table is the current user's; the extension's owner, who is a superuser, makes
 * the trigger.  So no command may be run in his name: a command fires event
 * triggers, which run whatever they find in the caller's search_path, and names
 * its table, which may be another's by then.
 *
 * "fires": as pg_trigger.tgenabled.  The caller has locked the table against
 * writers (SHARE ROW EXCLUSIVE); so are its partitions here.
 */
void
hce_ddl_attach(Relation rel, const char *name, List *arguments, char fires)
{
	Oid			former = get_trigger_oid(RelationGetRelid(rel), name, true);
	HceAttachment *before = OidIsValid(former) ? hce_attachment_read(former) : NULL;
	CreateTrigStmt *stmt = trigger_statement(rel, name, arguments);
	ObjectAddress made;
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(hce_attach_extension_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	made = CreateTriggerFiringOn(stmt, NULL, RelationGetRelid(rel), InvalidOid,
								 InvalidOid, InvalidOid,
								 hce_attach_emit_function(), InvalidOid, NULL,
								 false, false, fires);
	/* an error before this restores the user by itself */
	SetUserIdAndSecContext(user, context);
	CommandCounterIncrement();
	hce_trigger_check(RelationGetRelid(rel), name, true);
	act_on_created(before, hce_attachment_read(made.objectId));
}

/*
 * Give the trigger of attach() other arguments: it goes on firing as somebody
 * has set it, on each partition.  Otherwise like hce_ddl_attach(), but that the
 * caller has locked the table.
 */
void
hce_ddl_attach_again(Relation rel, const Trigger *trigger, List *arguments)
{
	HceAttachment *before = hce_attachment_read(trigger->tgoid);
	List	   *tables = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
		find_all_inheritors(RelationGetRelid(rel), ShareRowExclusiveLock, NULL) :
		list_make1_oid(RelationGetRelid(rel));
	ListCell   *cell;

	foreach(cell, tables)
		hce_ddl_write_trigger(lfirst_oid(cell), trigger->tgname, arguments);
	CommandCounterIncrement();
	hce_trigger_check(RelationGetRelid(rel), trigger->tgname, true);
	act_on_created(before, hce_attachment_read(trigger->tgoid));
}

/* Run a DROP TRIGGER of detach(), which nothing refuses. */
void
hce_ddl_detach(const char *command)
{
	bool		outer = detaching;

	detaching = true;
	PG_TRY();
	{
		SPI_connect();
		if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not run \"%s\"", command);
		SPI_finish();
	}
	PG_FINALLY();
	{
		detaching = outer;
	}
	PG_END_TRY();
}

/* Called from hce_capture_init. */
void
hce_ddl_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = object_access;
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = watch_utility;
}
