/*-------------------------------------------------------------------------
 *
 * ddl_values.c
 *		Values of enum types that transitions name.
 *
 * A transition names the text of a value.  When ALTER TYPE ... RENAME VALUE
 * gives the value another text, the transition would never happen again, so
 * that is refused.
 *
 * Following the value was the other way.  But the command locks none of the
 * tables, which may be another owner's: their writers would have to be locked
 * out by whoever owns the type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "capture/attach.h"
#include "capture/ddl.h"
#include "catalog/pg_trigger.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "settings.h"
#include "utils/lsyscache.h"

/* The attachments of this database. */
static List *
all_attachments(void)
{
	Oid			emit = hce_attach_emit_function();
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *triggers = NIL;
	List	   *result = NIL;
	ListCell   *cell;

	if (!OidIsValid(emit))
		return NIL;
	catalog = table_open(TriggerRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (form->tgfoid == emit)
			triggers = lappend_oid(triggers, form->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach(cell, triggers)
	{
		HceAttachment *attachment = hce_attachment_read(lfirst_oid(cell));

		if (attachment != NULL)
			result = lappend(result, attachment);
	}
	return result;
}

/* Is the column of the type, or of a domain over it? */
static bool
is_of_type(Relation rel, const char *column, Oid type)
{
	char	   *unused;
	AttrNumber	number = hce_spec_find_column(RelationGetDescr(rel), column,
											  &unused);

	return number != InvalidAttrNumber &&
		getBaseType(TupleDescAttr(RelationGetDescr(rel), number - 1)->atttypid) == type;
}

/* A transition of a table names the value: an error, or a warning. */
static void
refuse_rename(const AlterEnumStmt *stmt, const HceAttachment *attachment,
			  const HceTransitionArg *transition)
{
	if (hce_on_missing_column == HCE_MISSING_SKIP)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("no longer published: %s",
						hce_spec_args_event_type(attachment->parsed,
												 transition->event)),
				 errdetail("The transition of table %s depended on value \"%s\" of column \"%s\", which was renamed, and hcevents.on_missing_column is skip.",
						   attachment->table_name, stmt->oldVal,
						   transition->column)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot rename value \"%s\": a transition of \"%s\" of table %s depends on it",
						stmt->oldVal, attachment->parsed->resource,
						attachment->table_name),
				 errhint("Attach the table again with \"%s\" in its transitions first, in the same transaction. With hcevents.on_missing_column = skip the value is renamed, and the transition no longer happens.",
						 stmt->newVal)));
}

static bool
names_value(const HceTransitionArg *transition, const char *value)
{
	return strcmp(transition->to, value) == 0 ||
		(transition->from != NULL && strcmp(transition->from, value) == 0);
}

/* The table is not locked unless a transition has a text like the value. */
static void
check_transition(const AlterEnumStmt *stmt, Oid type,
				 const HceAttachment *attachment,
				 const HceTransitionArg *transition)
{
	Relation	rel;

	if (!names_value(transition, stmt->oldVal) ||
		(rel = try_relation_open(attachment->table, AccessShareLock)) == NULL)
		return;
	if (is_of_type(rel, transition->column, type))
		refuse_rename(stmt, attachment, transition);
	relation_close(rel, AccessShareLock);
}

static void
check_attachment(const AlterEnumStmt *stmt, Oid type, HceAttachment *attachment)
{
	ListCell   *cell;

	hce_attachment_parse(attachment);
	if (attachment->parsed == NULL)
		return;
	foreach(cell, attachment->parsed->transitions)
		check_transition(stmt, type, attachment, lfirst(cell));
}

/*
 * ALTER TYPE ... RENAME VALUE has run, or another change of an enum type.
 *
 * Errors: 2BP01 a transition names the value.
 */
void
hce_ddl_value_renamed(const AlterEnumStmt *stmt)
{
	Oid			type;
	ListCell   *cell;

	if (stmt->oldVal == NULL)
		return;					/* ADD VALUE */
	type = LookupTypeNameOid(NULL, makeTypeNameFromNameList(stmt->typeName), true);
	foreach(cell, all_attachments())
		check_attachment(stmt, type, lfirst(cell));
}
