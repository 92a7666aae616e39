/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The hcevents.* settings: definition, validation, boot values.
 *
 * A setting is PGC_SUSET, so that ALTER DATABASE and ALTER ROLE can carry it;
 * a relay obeys the values of its own database.  The KAFKA_* variables of the
 * postmaster's environment give boot values with the source "environment
 * variable", which a configuration file or ALTER SYSTEM overrides.
 *
 * Three differ.  excluded_databases (excluded.c) is the server's.
 * keep_captured is everybody's, and so is on_missing_column: it only matters
 * to who owns a table that publishes and alters it, and an owner can end the
 * publishing of his table in any case (ALTER TABLE ... DISABLE TRIGGER, DROP
 * TABLE).  It prevents accidents and protects nothing from the owner; as
 * PGC_SUSET it would make people run their migrations as superusers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "excluded.h"
#include "kafka_options.h"
#include "settings.h"

/* The longest name that Kafka gives a topic. */
#define MAX_TOPIC_NAME	249

bool		hce_enabled = true;
char	   *hce_bootstrap_servers;
char	   *hce_topic_prefix;
char	   *hce_topic;
char	   *hce_source;
char	   *hce_schema_version;
char	   *hce_headers;
char	   *hce_kafka_config;
char	   *hce_kafka_config_file;
char	   *hce_slot_name;
bool		hce_detect_copies = true;
bool		hce_keep_captured = false;
int			hce_max_event_size;
int			hce_relay_memory;
int			hce_max_retained_wal;
int			hce_max_parked_size;
int			hce_dead_letter_retention;
int			hce_on_missing_column = HCE_MISSING_ERROR;

static const struct config_enum_entry on_missing_column_values[] = {
	{"error", HCE_MISSING_ERROR, false},
	{"skip", HCE_MISSING_SKIP, false},
	{NULL, 0, false}
};

uint64		hce_envelope_generation = 1;

const char *const hce_header_names[HCE_HEADERS] = {
	"event_id", "event_type", "content-type", "source", "db", "table", "position"
};

static bool
is_topic_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* Only characters that Kafka accepts in a topic name; may not be empty. */
static bool
check_topic_prefix(char **newval, void **extra, GucSource source)
{
	for (const char *p = *newval; *p; p++)
	{
		if (!is_topic_char(*p))
		{
			GUC_check_errdetail("A topic name has only letters, digits, \".\", \"_\" and \"-\".");
			return false;
		}
	}
	if (**newval == '\0' || strlen(*newval) >= MAX_TOPIC_NAME)
	{
		GUC_check_errdetail("The prefix must have between 1 and %d characters.",
							MAX_TOPIC_NAME - 1);
		return false;
	}
	return true;
}

/* A template of %p, %t, %r, %s and characters of a topic name. */
static bool
check_topic(char **newval, void **extra, GucSource source)
{
	bool		names_event = false;

	for (const char *p = *newval; *p; p++)
	{
		if (*p != '%')
		{
			if (is_topic_char(*p))
				continue;
			GUC_check_errdetail("A topic name has only letters, digits, \".\", \"_\" and \"-\".");
			return false;
		}
		p++;
		if (*p == '\0' || strchr("ptrs", *p) == NULL)
		{
			GUC_check_errdetail("The template knows %%p (prefix), %%t (event type), %%r (resource) and %%s (schema of the table).");
			return false;
		}
		names_event |= (*p == 't' || *p == 'r');
	}
	if (!names_event)
	{
		GUC_check_errdetail("The template must contain %%t or %%r.");
		return false;
	}
	return true;
}

static bool
check_not_empty(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0')
	{
		GUC_check_errdetail("The value must not be empty.");
		return false;
	}
	return true;
}

/*
 * Which headers a list of their names, as in hcevents.headers, asks for:
 * fills wanted[HCE_HEADERS].  Returns false for anything else than a list of
 * known names; *unknown is then the name that is not one, or NULL.  Allocates
 * in the current memory context.
 */
bool
hce_headers_parse(const char *list, bool *wanted, const char **unknown)
{
	List	   *names;
	ListCell   *cell;

	memset(wanted, 0, HCE_HEADERS * sizeof(bool));
	*unknown = NULL;
	if (!SplitIdentifierString(pstrdup(list), ',', &names))
		return false;
	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		int			number = 0;

		while (number < HCE_HEADERS && strcmp(name, hce_header_names[number]) != 0)
			number++;
		if (number == HCE_HEADERS)
		{
			*unknown = name;
			return false;
		}
		wanted[number] = true;
	}
	return true;
}

static bool
check_headers(char **newval, void **extra, GucSource source)
{
	bool		wanted[HCE_HEADERS];
	const char *unknown;

	if (hce_headers_parse(*newval, wanted, &unknown))
		return true;
	if (unknown != NULL)
		GUC_check_errdetail("There is no header \"%s\".", unknown);
	else
		GUC_check_errdetail("List syntax is invalid.");
	GUC_check_errhint("The headers are event_id, event_type, content-type, source, db, table and position.");
	return false;
}

/*
 * Only options of the allow-list.  The value is left out of the message: it
 * may hold a password, which does not belong here.
 */
static bool
check_kafka_config(char **newval, void **extra, GucSource source)
{
	HceKafkaOptions options = {0};
	HceOptionsError error = {.hint = NULL};
	bool		good = hce_options_add_list(&options, *newval, &error);

	if (good)
		return true;
	GUC_check_errmsg("invalid value for parameter \"%s\"", "hcevents.kafka_config");
	GUC_check_errdetail("In the list, %s.", error.detail);
	if (error.hint != NULL)
		GUC_check_errhint("%s", error.hint);
	return false;
}

/* What is in the file, and who may read it, is looked at when it is opened. */
static bool
check_kafka_config_file(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) < MAXPGPATH && strchr(*newval, '=') == NULL)
		return true;
	GUC_check_errmsg("invalid value for parameter \"%s\"", "hcevents.kafka_config_file");
	GUC_check_errdetail("The value must be the path of a file.");
	return false;
}

/* Empty, or the name of a replication slot as the server allows it. */
static bool
check_slot_name(char **newval, void **extra, GucSource source)
{
	if (strspn(*newval, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(*newval) &&
		strlen(*newval) < NAMEDATALEN)
		return true;
	GUC_check_errdetail("The name of a replication slot has at most %d lower case letters, digits and underscores.",
						NAMEDATALEN - 1);
	return false;
}

static void
assign_envelope_part(const char *newval, void *extra)
{
	hce_envelope_generation++;
}

/*
 * The topic of an event type under the current settings.
 *
 * "schema" is the schema of the table, "" for publish().  Writes a
 * NUL-terminated name into topic[size].  Returns false if the name does not
 * fit a Kafka topic name or the buffer, or holds a character that Kafka
 * refuses (a schema's name may); topic then holds what fitted.
 */
bool
hce_topic_name(const char *event_type, const char *schema,
			   char *topic, Size size)
{
	Size		len = 0;
	bool		valid = true;

	for (const char *p = hce_topic; *p; p++)
	{
		const char *part = p;
		Size		part_len = 1;

		if (*p == '%')
		{
			p++;
			part = *p == 'p' ? hce_topic_prefix :
				*p != 's' ? event_type : *schema != '\0' ? schema : "public";
			part_len = *p == 'r' ? strcspn(event_type, ".") : strlen(part);
		}
		for (Size i = 0; i < part_len; i++)
		{
			valid &= is_topic_char(part[i]);
			if (len + 1 < size)
				topic[len] = part[i];
			len++;
		}
	}
	topic[Min(len, size - 1)] = '\0';

	return valid && len < size && len > 0 && len <= MAX_TOPIC_NAME &&
		strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0;
}

/* Give a setting the value of an environment variable, when there is one. */
static void
set_from_environment(const char *setting, const char *variable)
{
	const char *value = getenv(variable);

	if (value != NULL && *value != '\0')
		SetConfigOption(setting, value, PGC_POSTMASTER, PGC_S_ENV_VAR);
}

/*
 * Define the settings.  Called once from _PG_init, in the postmaster when the
 * library is preloaded and in a backend otherwise.
 */
void
hce_settings_init(void)
{
	DefineCustomBoolVariable("hcevents.enabled",
							 "Captures and delivers events.",
							 "Off in a session: no capture. Off for a database: its relay holds no connection to Kafka.",
							 &hce_enabled, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("hcevents.bootstrap_servers",
							   "Comma-separated host:port list of Kafka brokers to start from.",
							   NULL, &hce_bootstrap_servers, "localhost:9092",
							   PGC_SUSET, 0, check_not_empty, NULL, NULL);
	DefineCustomStringVariable("hcevents.topic_prefix",
							   "First part of every topic's name.",
							   NULL, &hce_topic_prefix, "healthcore",
							   PGC_SUSET, 0, check_topic_prefix, NULL, NULL);
	DefineCustomStringVariable("hcevents.topic",
							   "How a topic's name is made.",
							   "%p prefix, %t event type, %r resource, %s schema of the table (public for hcevents.publish()).",
							   &hce_topic, "%p.%t",
							   PGC_SUSET, 0, check_topic, NULL, NULL);
	DefineCustomStringVariable("hcevents.source",
							   "The envelope's metadata.source.",
							   NULL, &hce_source, "healthcore-api",
							   PGC_SUSET, 0, check_not_empty,
							   assign_envelope_part, NULL);
	DefineCustomStringVariable("hcevents.schema_version",
							   "The envelope's metadata.version.",
							   NULL, &hce_schema_version, "1.0",
							   PGC_SUSET, 0, check_not_empty,
							   assign_envelope_part, NULL);
	DefineCustomStringVariable("hcevents.headers",
							   "Headers that each message carries.",
							   "A list; the names of event_id, event_type, content-type, source, db, table and position that are wanted.",
							   &hce_headers,
							   "event_id, event_type, content-type, source, db, table, position",
							   PGC_SUSET, 0, check_headers, NULL, NULL);
	DefineCustomStringVariable("hcevents.kafka_config",
							   "More options for the connection to Kafka.",
							   "A list of name=value, of librdkafka's options that are allowed; no secrets.",
							   &hce_kafka_config, "",
							   PGC_SUSET, 0, check_kafka_config, NULL, NULL);
	DefineCustomStringVariable("hcevents.kafka_config_file",
							   "A file with more options for the connection to Kafka, and secrets.",
							   "A name=value in each line; owned by the server's user or root, mode 0600 or stricter.",
							   &hce_kafka_config_file, "",
							   PGC_SUSET, 0, check_kafka_config_file, NULL, NULL);
	DefineCustomIntVariable("hcevents.max_event_size",
							"Largest envelope that is captured.",
							"A larger one becomes a dead letter that holds its metadata only.",
							&hce_max_event_size, 900, 1, 64 * 1024,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hcevents.relay_memory",
							"Memory for transactions that are unfinished or not yet sent.",
							"What is beyond it is read from the WAL again.",
							&hce_relay_memory, 64 * 1024, 1024, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hcevents.max_retained_wal",
							"WAL that undelivered events and open transactions may hold back.",
							"Beyond it events move to a table while Kafka takes none, and those of open transactions are copied to one. At most half of max_slot_wal_keep_size counts; -1 = never park for this reason.",
							&hce_max_retained_wal, 1024, -1, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("hcevents.max_parked_size",
							"Size of parked events beyond which newer ones are lost.",
							"The loss is recorded in hcevents.gaps; -1 = no limit.",
							&hce_max_parked_size, 10 * 1024, -1, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("hcevents.dead_letter_retention",
							"How long the key and payload of a dead letter are kept.",
							"What is older keeps its metadata only, and cannot be retried. -1 keeps all for ever.",
							&hce_dead_letter_retention, 30 * 24 * 60, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomStringVariable("hcevents.slot_name",
							   "Name of the replication slot that keeps the WAL of a database's relay.",
							   "Empty: hcevents_ and the database's oid. Two databases cannot share one.",
							   &hce_slot_name, "",
							   PGC_SUSET, 0, check_slot_name, NULL, NULL);
	DefineCustomBoolVariable("hcevents.detect_copies",
							 "Keeps the relay of a copied data directory paused.",
							 "Off takes a directory whose files were copied for the original.",
							 &hce_detect_copies, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("hcevents.on_missing_column",
							 "What happens to DDL that takes a published column or an attachment's trigger away.",
							 "error: it fails. skip: events go on without the column; a column of the key is never skipped.",
							 &hce_on_missing_column, HCE_MISSING_ERROR,
							 on_missing_column_values, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	/* any role: what it keeps is its own memory, and who may look is granted */
	DefineCustomBoolVariable("hcevents.keep_captured",
							 "Keeps each transaction's events for hcevents.captured_events().",
							 "For tests of applications; at most 64 MB a transaction.",
							 &hce_keep_captured, false, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	hce_excluded_init();
	MarkGUCPrefixReserved("hcevents");

	if (process_shared_preload_libraries_in_progress)
	{
		set_from_environment("hcevents.enabled", "KAFKA_ENABLED");
		set_from_environment("hcevents.bootstrap_servers",
							 "KAFKA_BOOTSTRAP_SERVERS");
		set_from_environment("hcevents.topic_prefix", "KAFKA_TOPIC_PREFIX");
	}
}
