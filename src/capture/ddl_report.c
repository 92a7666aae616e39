/*-------------------------------------------------------------------------
 *
 * ddl_report.c
 *		What whoever runs DDL is told of it, and the triggers he may not drop.
 *
 * Everything here names tables, columns and event types, and never a value of
 * a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attach.h"
#include "capture/ddl.h"
#include "lib/stringinfo.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"

static char *
joined(List *strings)
{
	StringInfoData out;
	ListCell   *cell;

	initStringInfo(&out);
	foreach(cell, strings)
		appendStringInfo(&out, "%s%s", out.len > 0 ? ", " : "",
						 (char *) lfirst(cell));
	return out.data;
}

/*
 * Raise an error if this attachment must not be dropped: its table stays, and
 * it was not detach() that dropped the trigger.
 *
 * A session with check_function_bodies = off restores a dump (pg_dump writes
 * that into each): what pg_dump --clean drops is made again, or so we hope.
 */
void
hce_ddl_refuse_drop(const HceAttachment *attachment)
{
	const char *resource = hce_attachment_resource(attachment);

	if (hce_on_missing_column == HCE_MISSING_SKIP || attachment->parsed == NULL)
		return;
	if (!check_function_bodies)
	{
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("table %s no longer publishes events of \"%s\": trigger \"%s\" is dropped",
						attachment->table_name, resource,
						attachment->trigger_name),
				 errdetail("This is not refused because check_function_bodies is off, as in a restore, which makes the trigger again.")));
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop trigger \"%s\" of table %s: it publishes events of \"%s\"",
					attachment->trigger_name, attachment->table_name, resource),
			 strcmp(attachment->trigger_name,
					psprintf("%s%s", HCE_TRIGGER_PREFIX, resource)) == 0 ?
			 errhint("End the publishing with SELECT hcevents.detach(%s, %s), or set hcevents.on_missing_column to skip.",
					 quote_literal_cstr(attachment->table_name),
					 quote_literal_cstr(resource)) :
			 errhint("To drop a trigger written by hand, set hcevents.on_missing_column to skip. hcevents.detach() drops all triggers of a resource.")));
}

/* An attachment has gone with its table. */
void
hce_ddl_report_end(const HceAttachment *attachment)
{
	if (attachment->parsed != NULL)
		ereport(NOTICE,
				(errmsg("events of \"%s\" end with table %s",
						hce_attachment_resource(attachment),
						attachment->table_name)));
}

/* The arguments of a trigger could not be read, so nobody followed anything. */
void
hce_ddl_report_unreadable(const char *trigger, const char *table,
						  const char *problem)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("trigger \"%s\" of table \"%s\" does not follow its columns: its arguments cannot be read",
					trigger, table),
			 errdetail("%s.", problem),
			 errhint("Drop the trigger, or make it again with arguments that hcevents.emit() takes.")));
}

/* Columns keep their published names. */
static void
report_renamed(const HceFollow *follow)
{
	for (int i = 0; i + 1 < list_length(follow->renamed); i += 2)
		ereport(NOTICE,
				(errmsg("events of \"%s\" follow column \"%s\" of table \"%s\" to its new name \"%s\"",
						follow->now->resource,
						(char *) list_nth(follow->renamed, i), follow->table,
						(char *) list_nth(follow->renamed, i + 1)),
				 errdetail("Consumers see no difference: published names stay as they are.")));
}

/* What the events go on without. */
static void
report_skipped(const HceFollow *follow)
{
	if (follow->skipped != NIL)
		ereport(NOTICE,
				(errmsg("events of \"%s\" no longer publish: %s",
						follow->args->resource, joined(follow->skipped)),
				 errdetail("Columns of table \"%s\" were dropped, and hcevents.on_missing_column is skip.",
						   follow->table)));
	if (follow->lost_events != NIL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("no longer published: %s", joined(follow->lost_events)),
				 errdetail("The transitions depended on a column of table \"%s\" that was dropped, and hcevents.on_missing_column is skip.",
						   follow->table)));
}

/* A transition compares text, which another type may write otherwise. */
static void
report_retyped(const HceFollow *follow)
{
	if (follow->retyped != NIL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("transitions of \"%s\" depend on the text of column \"%s\" of table \"%s\", which has another type now",
						follow->now->resource, joined(follow->retyped),
						follow->table),
				 errhint("Attach the table again if values of the new type are written in another way.")));
}

/* Did a column get this name by the command? */
static bool
is_new_name(const HceFollow *follow, const char *name)
{
	AttrNumber	number = hce_spec_column_number(follow->after, name);

	return number != InvalidAttrNumber &&
		hce_spec_column_number(follow->before, name) != number;
}

/*
 * Elements that publish one column by the name that another has got.  That is
 * right for consumers who know the first, and looks wrong to whoever reads the
 * table.
 */
static void
report_taken_names(const HceFollow *follow, List *elements)
{
	ListCell   *cell;

	foreach(cell, elements)
	{
		char	   *published;
		AttrNumber	number = hce_spec_find_column(follow->after, lfirst(cell),
												  &published);
		const char *column;

		if (number == InvalidAttrNumber)
			continue;
		column = NameStr(TupleDescAttr(follow->after, number - 1)->attname);
		if (strcmp(column, published) != 0 && is_new_name(follow, published))
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("\"%s\" in events of \"%s\" is column \"%s\" of table \"%s\", and not the column that has this name now",
							published, follow->now->resource, column,
							follow->table),
					 errhint("To publish the other column, attach the table again.")));
	}
}

/* An attachment without a key of its own has lost the primary key. */
static void
report_key(const HceFollow *follow)
{
	List	   *lost = NIL;
	ListCell   *cell;

	if (follow->args->key != NIL || follow->lost_key == NIL)
		return;
	foreach(cell, follow->lost_key)
		lost = lappend(lost, NameStr(TupleDescAttr(follow->before,
												   lfirst_int(cell) - 1)->attname));
	if (follow->primary_key == NIL)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("events of \"%s\" cannot be captured: table \"%s\" has no primary key any more",
						follow->now->resource, follow->table),
				 errhint("The next primary key becomes the key of the events. Or attach the table with a key of its own (hcevents.attach(..., key => ...)).")));
	else if (strcmp(joined(lost), joined(follow->primary_key)) != 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the key of the events of \"%s\" was (%s) and is (%s), as the primary key of table \"%s\"",
						follow->now->resource, joined(lost),
						joined(follow->primary_key), follow->table),
				 errhint("To keep a key, attach the table with it (hcevents.attach(..., key => ...)).")));
}

/* Tell what a command has done to an attachment. */
void
hce_ddl_report_follow(const HceFollow *follow)
{
	report_renamed(follow);
	report_skipped(follow);
	report_retyped(follow);
	report_taken_names(follow, follow->now->columns);
	/* a key of one column is published as the resource's id */
	if (list_length(follow->now->key) > 1)
		report_taken_names(follow, follow->now->key);
	report_key(follow);
}
