/*-------------------------------------------------------------------------
 *
 * trigger_check.c
 *		Wrong arguments of emit() fail at CREATE TRIGGER, not at the first
 *		write.
 *
 * A restore of a dump is the exception.  It makes what was there, valid or
 * not, and with several jobs it may make a trigger before the primary key that
 * the trigger needs; failing would lose the attachment.  A restore is a session
 * with check_function_bodies = off, which pg_dump writes into every dump; attach()
 * is as strict there as anywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "capture/spec.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type next_ProcessUtility = NULL;

/*
 * Is this function hcevents.emit?
 *
 * The library is loaded in databases without the extension as well, where
 * anybody may use these names; but only superusers make functions in C.
 */
bool
hce_trigger_is_emit(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		is_emit = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prolang == ClanguageId && strcmp(NameStr(form->proname), "emit") == 0)
	{
		char	   *schema = get_namespace_name(form->pronamespace);

		is_emit = schema != NULL && strcmp(schema, "hcevents") == 0;
	}
	ReleaseSysCache(tuple);
	return is_emit;
}

static void
check_type(const Trigger *trigger)
{
	if (!TRIGGER_FOR_ROW(trigger->tgtype) ||
		!TRIGGER_FOR_AFTER(trigger->tgtype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("trigger \"%s\" must be AFTER ... FOR EACH ROW to call hcevents.emit()",
						trigger->tgname),
				 errhint("Create the trigger with AFTER INSERT OR UPDATE OR DELETE ... FOR EACH ROW.")));
}

/* "level" is ERROR, or WARNING where a restore makes what was there. */
static void
check_names(const HceSpec *spec, int level)
{
	const char *name = hce_spec_published_twice(spec);

	if (name != NULL)
		ereport(level,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("\"%s\" would be published twice", name),
				 errhint("Give one of them another name: \"published_name:column\".")));
}

/*
 * A row that moves to another partition is a DELETE there and an INSERT here:
 * which attach() makes one update of, and a trigger without all three cannot.
 */
static void
check_moves(Relation rel, const Trigger *trigger)
{
	const int	all = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		(trigger->tgtype & all) != all)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("trigger \"%s\" does not see rows of \"%s\" that move to another partition as updated",
						trigger->tgname, RelationGetRelationName(rel)),
				 errhint("Such an UPDATE fires triggers for DELETE and INSERT. Create the trigger AFTER INSERT OR UPDATE OR DELETE, or use hcevents.attach().")));
}

/*
 * Check a trigger that calls emit(), by building its spec, for the errors that
 * this raises.  Does nothing for other triggers.
 *
 * "strict": what is wrong with it is an error.  A restore makes what was there,
 * with a WARNING.
 */
void
hce_trigger_check(Oid table, const char *name, bool strict)
{
	Relation	rel = relation_open(table, AccessShareLock);
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];
		HceSpec    *spec;

		if (strcmp(trigger->tgname, name) != 0 ||
			!hce_trigger_is_emit(trigger->tgfoid))
			continue;
		check_type(trigger);
		if (strict)
			check_moves(rel, trigger);
		spec = hce_spec_build(rel, trigger, strict);
		check_names(spec, strict ? ERROR : WARNING);
		if (spec->problem != NULL)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("events of \"%s\" cannot be captured as it is: %s",
							spec->resource, spec->problem),
					 errhint("hcevents.check() tells whether it is still so when the restore has ended.")));
		MemoryContextDelete(spec->context);
		break;
	}
	relation_close(rel, AccessShareLock);
}

static void
check_created(const CreateTrigStmt *stmt)
{
	Oid			table = RangeVarGetRelid(stmt->relation, NoLock, true);

	if (OidIsValid(table))
		hce_trigger_check(table, stmt->trigname, check_function_bodies);
}

static void
check_utility(PlannedStmt *pstmt, const char *queryString,
			  bool readOnlyTree, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *queryEnv,
			  DestReceiver *dest, QueryCompletion *qc)
{
	/* what a ROLLBACK ran from may be freed behind it */
	const CreateTrigStmt *create = IsA(pstmt->utilityStmt, CreateTrigStmt) ?
		(const CreateTrigStmt *) pstmt->utilityStmt : NULL;

	if (next_ProcessUtility)
		next_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
							queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
								params, queryEnv, dest, qc);

	if (create != NULL)
		check_created(create);
}

void
hce_trigger_check_init(void)
{
	next_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = check_utility;
}
