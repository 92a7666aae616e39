/*-------------------------------------------------------------------------
 *
 * excluded.c
 *		hcevents.excluded_databases: names of databases without a relay.
 *
 * The setting is the server's (PGC_SIGHUP), not a database's: the launcher,
 * which is connected to none, decides by it, and a database that is made from
 * a template has no settings of its own yet.
 *
 * The built-in default is a guess: it applies to databases only whose name it
 * matched when CREATE EXTENSION or CREATE DATABASE made them (their label says
 * so), so that no rename, upgrade or lost configuration file silences one that
 * delivers.  A value that somebody has set applies to all.
 *
 * Owns the setting and what its patterns mean.  What follows is the launcher's
 * to do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "excluded.h"

#define DEFAULT_PATTERNS	"test_*"

static char *excluded_databases;
static bool somebody_set_it;

/* A list of patterns; each must be one that a database's name can match. */
static bool
check_patterns(char **newval, void **extra, GucSource source)
{
	List	   *patterns;
	ListCell   *cell;

	if (!SplitGUCList(pstrdup(*newval), ',', &patterns))
	{
		GUC_check_errdetail("List syntax is invalid.");
		GUC_check_errhint("Write patterns of database names and commas between them, such as 'test_*, ci_?'.");
		return false;
	}
	foreach(cell, patterns)
	{
		const char *pattern = lfirst(cell);

		if (strchr(pattern, '%') != NULL)
		{
			GUC_check_errdetail("Pattern \"%s\" holds \"%%\", which has no meaning here.",
								pattern);
			GUC_check_errhint("\"*\" stands for any characters and \"?\" for one.");
			return false;
		}
		if (strlen(pattern) >= NAMEDATALEN)
		{
			GUC_check_errdetail("Pattern \"%s\" is longer than the %d bytes of a database's name.",
								pattern, NAMEDATALEN - 1);
			return false;
		}
	}
	list_free(patterns);
	*extra = hce_compat_guc_malloc(sizeof(bool));
	if (*extra == NULL)
		return false;
	*(bool *) *extra = source != PGC_S_DEFAULT;
	return true;
}

static void
assign_patterns(const char *newval, void *extra)
{
	somebody_set_it = *(bool *) extra;
}

/*
 * Whether a whole name matches a pattern: "*" is any run of characters, also
 * none, "?" is one byte, anything else is itself.
 *
 * After a mismatch only the last "*" need be given more: it could have taken
 * whatever an earlier one would.
 */
static bool
matches(const char *name, const char *pattern)
{
	const char *star = NULL;	/* behind the last one */
	const char *retry = NULL;	/* what it takes up to here */

	while (*name != '\0')
	{
		if (*pattern == '*')
		{
			star = ++pattern;
			retry = name;
		}
		else if (*pattern == '?' || *pattern == *name)
		{
			pattern++;
			name++;
		}
		else if (star != NULL)
		{
			pattern = star;
			name = ++retry;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/*
 * Whether one of a list of patterns matches a name.  Allocates in the current
 * memory context.
 */
bool
hce_excluded_by(const char *database, const char *patterns_text)
{
	char	   *copy = pstrdup(patterns_text);
	bool		excluded = false;
	List	   *patterns;
	ListCell   *cell;

	/* it was valid when it was set */
	if (!SplitGUCList(copy, ',', &patterns))
		patterns = NIL;
	foreach(cell, patterns)
		excluded |= matches(database, lfirst(cell));
	list_free(patterns);
	pfree(copy);
	return excluded;
}

/*
 * Whether a database is excluded under the setting in force.  "made_excluded":
 * it was when it was made.
 */
bool
hce_excluded_database(const char *database, bool made_excluded)
{
	return (somebody_set_it || made_excluded) &&
		hce_excluded_by(database, excluded_databases);
}

/* Define the setting; called by hce_settings_init(). */
void
hce_excluded_init(void)
{
	DefineCustomStringVariable("hcevents.excluded_databases",
							   "Databases whose events are captured but never delivered.",
							   "A list of patterns of names, in which * stands for any characters and ? for one. For these no relay runs and no replication slot is kept.",
							   &excluded_databases, DEFAULT_PATTERNS,
							   PGC_SIGHUP, GUC_LIST_INPUT, check_patterns,
							   assign_patterns, NULL);
}
