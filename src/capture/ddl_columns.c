/*-------------------------------------------------------------------------
 *
 * ddl_columns.c
 *		What became of a column that an attachment names.
 *
 * A column keeps its number when it is renamed.  One that is gone is an error
 * here, unless events can go on without it and are to.
 *
 * What is refused is refused to prevent accidents.  A table's owner can end
 * its publishing by ALTER TABLE ... DISABLE TRIGGER in any case, so
 * hcevents.on_missing_column gives nobody a right that he had not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/ddl.h"
#include "catalog/pg_type.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static const char *
name_of(TupleDesc tupdesc, AttrNumber number)
{
	return NameStr(TupleDescAttr(tupdesc, number - 1)->attname);
}

/* Is the string in the list? */
static bool
has_string(List *strings, const char *str)
{
	ListCell   *cell;

	foreach(cell, strings)
	{
		if (strcmp(lfirst(cell), str) == 0)
			return true;
	}
	return false;
}

/* A column of the attachment is gone: an error, unless it can be left out. */
static void
refuse_missing(const HceFollow *follow, const char *column, HceUse use)
{
	const char *resource = follow->args->resource;

	if (use == HCE_USE_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop column \"%s\" of table \"%s\": it is part of the key of the events of \"%s\"",
						column, follow->table, resource),
				 errhint("Attach the table with another key first (hcevents.attach(..., key => ...)), or end the publishing with hcevents.detach().")));
	if (hce_on_missing_column == HCE_MISSING_SKIP)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 use == HCE_USE_COLUMN ?
			 errmsg("cannot drop column \"%s\" of table \"%s\": events of \"%s\" publish it",
					column, follow->table, resource) :
			 errmsg("cannot drop column \"%s\" of table \"%s\": transitions of \"%s\" depend on it",
					column, follow->table, resource),
			 errhint("Attach the table again without the column first, or end the publishing with hcevents.detach(). With hcevents.on_missing_column = skip the column is dropped, and events go on without it.")));
}

/*
 * The new name that a column's element would need means another column.  Only
 * names with colons in them come to this.
 */
static void
check_element(const HceFollow *follow, const char *element,
			  const char *published, const char *column)
{
	char	   *now;
	AttrNumber	number = hce_spec_find_column(follow->after, element, &now);

	if (number != InvalidAttrNumber && strcmp(now, published) == 0 &&
		strcmp(name_of(follow->after, number), column) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_COLUMN),
			 errmsg("\"%s\" of the attachment \"%s\" would no longer mean column \"%s\" of table \"%s\"",
					element, follow->args->resource, column, follow->table),
			 errhint("Use a column name without a colon, or attach the table again with other published names.")));
}

/*
 * The number that a column has now, InvalidAttrNumber if it has none.
 *
 * One that was dropped and made again under its name by the same command is
 * taken for the same.
 */
static AttrNumber
number_now(const HceFollow *follow, AttrNumber number)
{
	if (!TupleDescAttr(follow->after, number - 1)->attisdropped)
		return number;
	return hce_spec_column_number(follow->after,
								  name_of(follow->before, number));
}

/* Do values of the two types have the same text? */
static bool
same_text(Oid one, Oid other)
{
	char		category;
	char		other_category;
	bool		unused;

	if (one == other)
		return true;
	one = getBaseType(one);
	other = getBaseType(other);
	get_type_category_preferred(one, &category, &unused);
	get_type_category_preferred(other, &other_category, &unused);
	return one == other ||
		(category == TYPCATEGORY_STRING && other_category == TYPCATEGORY_STRING) ||
		((one == INT2OID || one == INT4OID || one == INT8OID) &&
		 (other == INT2OID || other == INT4OID || other == INT8OID));
}

/* Remember what there is to say about a column that is still there. */
static void
note_column(HceFollow *follow, AttrNumber number, AttrNumber now, HceUse use)
{
	Form_pg_attribute was = TupleDescAttr(follow->before, number - 1);
	Form_pg_attribute is = TupleDescAttr(follow->after, now - 1);
	const char *name = NameStr(is->attname);

	if (strcmp(NameStr(was->attname), name) != 0 &&
		!has_string(follow->renamed, name))
	{
		follow->renamed = lappend(follow->renamed, pstrdup(NameStr(was->attname)));
		follow->renamed = lappend(follow->renamed, pstrdup(name));
	}
	if (use == HCE_USE_TRANSITION && !same_text(was->atttypid, is->atttypid) &&
		!has_string(follow->retyped, name))
		follow->retyped = lappend(follow->retyped, pstrdup(name));
}

/*
 * An element of a column list, as it has to be now; NULL if the column is
 * dropped.  An element that meant no column stays as it is.
 */
char *
hce_ddl_follow_element(HceFollow *follow, const char *element, HceUse use)
{
	char	   *published;
	AttrNumber	number = hce_spec_find_column(follow->before, element,
											  &published);
	AttrNumber	now;
	const char *old_name;
	const char *name;
	char	   *result;

	if (number == InvalidAttrNumber)
		return pstrdup(element);
	old_name = name_of(follow->before, number);
	now = number_now(follow, number);
	if (now == InvalidAttrNumber)
	{
		refuse_missing(follow, old_name, use);
		return NULL;
	}
	note_column(follow, number, now, use);
	name = name_of(follow->after, now);
	if (strcmp(name, old_name) == 0)
		result = pstrdup(element);
	else if (use == HCE_USE_TRANSITION || strcmp(name, published) == 0)
		result = pstrdup(name);
	else
		result = psprintf("%s:%s", published, name);
	if (use != HCE_USE_TRANSITION)
		check_element(follow, result, published, name);
	return result;
}

/*
 * The command has dropped a primary key that was the key: its columns may go
 * only if columns of their names are in another one.
 */
static void
check_primary_key(const HceFollow *follow)
{
	ListCell   *cell;

	foreach(cell, follow->lost_key)
	{
		AttrNumber	number = (AttrNumber) lfirst_int(cell);
		const char *name = name_of(follow->before, number);

		if (TupleDescAttr(follow->after, number - 1)->attisdropped &&
			!has_string(follow->primary_key, name))
			refuse_missing(follow, name, HCE_USE_KEY);
	}
}

/*
 * The elements of a key that is not written down: the primary key's columns
 * with the names they have been published by.  NIL if none has another name.
 *
 * A key of one column is published as "<resource>_id", whatever its name.
 */
List *
hce_ddl_follow_primary_key(HceFollow *follow)
{
	List	   *result = NIL;
	bool		renamed = false;
	ListCell   *cell;

	check_primary_key(follow);
	if (list_length(follow->primary_key) < 2)
		return NIL;
	foreach(cell, follow->primary_key)
	{
		const char *name = lfirst(cell);
		AttrNumber	number = hce_spec_column_number(follow->after, name);
		const char *old_name = number > follow->before->natts ? name :
			name_of(follow->before, number);
		bool		same = strcmp(name, old_name) == 0;

		renamed |= !same;
		result = lappend(result, same ? pstrdup(name) :
						 psprintf("%s:%s", old_name, name));
		check_element(follow, llast(result), old_name, name);
		if (!same)
			note_column(follow, number, number, HCE_USE_KEY);
	}
	return renamed ? result : NIL;
}
