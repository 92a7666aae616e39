/*-------------------------------------------------------------------------
 *
 * attach_columns.c
 *		Which columns an attachment publishes, and what to say about them.
 *
 * Nothing is published by default but the id.  '{*}' means the columns that
 * the table has now, without those whose names look like a secret; a name
 * given explicitly is published whatever it looks like, with a WARNING.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attach.h"
#include "lib/stringinfo.h"

static const char *const secret_words[] = {
	"password", "passwd", "passphrase", "secret", "token", "ssn", "api_key",
	"apikey", "private_key", "credential", "salt", "otp", "pin_code", "cvv",
	"card_number", "iban"
};

/* Does a column's name look as if its values must not leave the database? */
static bool
looks_secret(const char *name)
{
	char		lower[NAMEDATALEN];
	Size		i;

	for (i = 0; name[i] != '\0' && i < sizeof(lower) - 1; i++)
		lower[i] = (char) pg_tolower((unsigned char) name[i]);
	lower[i] = '\0';
	for (i = 0; i < lengthof(secret_words); i++)
	{
		if (strstr(lower, secret_words[i]) != NULL)
			return true;
	}
	return false;
}

/* Does an element of "key" mean the column? */
static bool
is_key_column(Relation rel, List *key, AttrNumber attnum)
{
	ListCell   *cell;

	foreach(cell, key)
	{
		char	   *published;

		if (hce_spec_find_column(RelationGetDescr(rel), lfirst(cell),
								 &published) == attnum)
			return true;
	}
	return false;
}

static void
append_name(StringInfo names, const char *name)
{
	appendStringInfo(names, "%s%s", names->len > 0 ? ", " : "", name);
}


/*
 * The columns that '*' stands for: all but the key, which is published as the
 * id, and those that look secret.
 */
static List *
expand_star(Relation rel, List *key, StringInfo withheld)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	List	   *result = NIL;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (att->attisdropped || is_key_column(rel, key, att->attnum))
			continue;
		if (looks_secret(NameStr(att->attname)))
			append_name(withheld, NameStr(att->attname));
		else
			result = lappend(result, pstrdup(NameStr(att->attname)));
	}
	return result;
}

static void
report_star(Relation rel, List *columns, StringInfo withheld)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	foreach(cell, columns)
		append_name(&names, lfirst(cell));
	ereport(NOTICE,
			(errmsg("'{*}' of table \"%s\" stands for: %s",
					RelationGetRelationName(rel), names.data),
			 withheld->len > 0 ?
			 errdetail("Not published, because the name looks like a secret: %s.",
					   withheld->data) : 0,
			 errhint("A column added later is not published until the table is attached again.")));
}

/* Warn of what was named explicitly and looks like a secret. */
static void
warn_of_secrets(Relation rel, List *elements)
{
	ListCell   *cell;

	foreach(cell, elements)
	{
		char	   *published;
		AttrNumber	attnum = hce_spec_find_column(RelationGetDescr(rel),
												  lfirst(cell), &published);
		const char *name;

		if (attnum == InvalidAttrNumber)
			continue;			/* an error, later */
		name = NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname);
		if (looks_secret(name))
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("column \"%s\" of table \"%s\" looks like a secret and will be published",
							name, RelationGetRelationName(rel)),
					 errhint("Leave it out of the columns if consumers must not see it.")));
	}
}

/*
 * The columns to publish, '*' expanded, with what there is to say about them.
 *
 * "key" has the elements of the key's list.
 */
List *
hce_attach_columns(Relation rel, const char *resource, List *elements,
				   List *key)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, elements)
	{
		StringInfoData withheld;
		List	   *columns;

		if (strcmp(lfirst(cell), "*") != 0)
		{
			result = lappend(result, lfirst(cell));
			continue;
		}
		initStringInfo(&withheld);
		columns = expand_star(rel, key, &withheld);
		report_star(rel, columns, &withheld);
		result = list_concat(result, columns);
	}
	warn_of_secrets(rel, result);
	if (result == NIL)
		ereport(NOTICE,
				(errmsg("events of table \"%s\" will have no data but \"%s_id\"",
						RelationGetRelationName(rel), resource),
				 errhint("Name the columns to publish: columns => '{name,email}', or '{*}' for all.")));
	return result;
}
