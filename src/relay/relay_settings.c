/*-------------------------------------------------------------------------
 *
 * relay_settings.c
 *		The settings of a relay: those it must have, and whether others changed.
 *
 * A process reads the values of ALTER DATABASE ... SET when it connects and
 * never again, and those of the configuration file at SIGHUP.  A relay does
 * not change its producer while it runs: it ends, and the next one starts
 * with the new values.  That is one mechanism for both, and it loses nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "relay/relay_settings.h"
#include "settings.h"

static char *values_at_start;
static char *catalog_at_start;

/* The values in force, as one text. */
static char *
current_values(void)
{
	return psprintf("%d|%s|%s|%s|%s|%s|%s|%d|%d|%d|%d|%d|%s|%d", hce_enabled,
					hce_bootstrap_servers, hce_topic_prefix, hce_topic,
					hce_headers, hce_kafka_config, hce_kafka_config_file,
					hce_max_event_size, hce_relay_memory,
					hce_max_retained_wal, hce_max_parked_size,
					hce_dead_letter_retention, hce_slot_name,
					hce_detect_copies);
}

/*
 * What ALTER DATABASE and ALTER ROLE say for this database and for the role
 * that relays run as, as one text in TopMemoryContext.
 */
static char *
catalog_values(void)
{
	char	   *values;
	char		query[512];

	snprintf(query, sizeof(query),
			 "SELECT pg_catalog.string_agg(pg_catalog.concat_ws('/', s.setdatabase,"
			 " s.setrole, c), ',' ORDER BY s.setdatabase, s.setrole, c)"
			 " FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c"
			 " WHERE s.setdatabase IN (0, %u) AND s.setrole IN (0, %u)"
			 " AND c ~~ 'hcevents.%%'",
			 MyDatabaseId, BOOTSTRAP_SUPERUSERID);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read pg_db_role_setting");
	values = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	values = MemoryContextStrdup(TopMemoryContext, values != NULL ? values : "");
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	return values;
}

/* Remember the settings that this relay has started with. */
void
hce_relay_settings_remember(void)
{
	values_at_start = MemoryContextStrdup(TopMemoryContext, current_values());
	catalog_at_start = catalog_values();
}

/* Whether a reload of the configuration file has changed them. */
bool
hce_relay_settings_stale(void)
{
	char	   *now = current_values();
	bool		stale = strcmp(values_at_start, now) != 0;

	pfree(now);
	return stale;
}

/* Whether ALTER DATABASE or ALTER ROLE ... SET or RESET has changed them. */
bool
hce_relay_settings_changed_in_catalog(void)
{
	char	   *now = catalog_values();
	bool		changed = strcmp(catalog_at_start, now) != 0;

	pfree(now);
	return changed;
}

/*
 * Settings that a worker on the relay's tables must have whatever ALTER
 * DATABASE or ALTER ROLE say; the same as autovacuum's, and no wait for
 * synchronous standbys: the relay would hang in it, and a lost row only means
 * that it sends again.
 */
void
hce_relay_settings_override(const char *name)
{
	static const char *const settings[][2] = {
		{"role", "none"},
		{"synchronous_commit", "off"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
		/* from 16 on it writes the values of parameters into the log */
		{"auto_explain.log_min_duration", "-1"},
		{"zero_damaged_pages", "off"},
		{"session_replication_role", "origin"},
		/* parked_store has no statistics to rely on, see parked_read.c */
		{"enable_seqscan", "off"},
		{"enable_sort", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"jit", "off"},
		{"row_security", "off"},
		{"search_path", "pg_catalog, pg_temp"}
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		/* not all versions have all, nor all servers all modules */
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
	SetConfigOption("application_name", name, PGC_SUSET, PGC_S_OVERRIDE);
}
