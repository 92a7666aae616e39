/*-------------------------------------------------------------------------
 *
 * kafka_options.c
 *		Which options of librdkafka are allowed, and reading lists of them.
 *
 * Options come from hcevents.kafka_config, which everybody sees in
 * pg_settings, and from the file of hcevents.kafka_config_file, which only
 * the server's OS user can read.  What is not in the list below is refused:
 * librdkafka has options that lose or reorder events, that load code, run
 * commands or turn off the verification of certificates, and each version
 * brings new ones.  A list of forbidden ones would be out of date.
 *
 * This file knows names and syntax, not files and not librdkafka.  What comes
 * from the file is never repeated in a message, but for names that are known
 * here: a line may hold a password in the wrong place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "kafka_options.h"

typedef struct OptionSpec
{
	const char *name;
	int			flags;
	const char *words;			/* allowed values, "a|b"; NULL: see below */
	int			min;			/* of a number, when max > 0; else any text */
	int			max;
} OptionSpec;

#define C	HCE_OPTION_CLIENT
#define DAY_MS	86400000

/* The allow-list.  README.md has it as a table. */
static const OptionSpec specs[] = {
	{"security.protocol", C, "plaintext|ssl|sasl_plaintext|sasl_ssl", 0, 0},
	{"sasl.mechanisms", C, "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512", 0, 0},
	{"sasl.username", C, NULL, 0, 0},
	{"sasl.password", C | HCE_OPTION_SECRET, NULL, 0, 0},
	{"ssl.ca.location", C | HCE_OPTION_PATH, NULL, 0, 0},
	{"ssl.crl.location", C | HCE_OPTION_PATH, NULL, 0, 0},
	{"ssl.certificate.location", C | HCE_OPTION_PATH, NULL, 0, 0},
	{"ssl.key.location", C | HCE_OPTION_PATH, NULL, 0, 0},
	{"ssl.key.password", C | HCE_OPTION_SECRET, NULL, 0, 0},
	{"ssl.keystore.location", C | HCE_OPTION_PATH, NULL, 0, 0},
	{"ssl.keystore.password", C | HCE_OPTION_SECRET, NULL, 0, 0},
	{"ssl.endpoint.identification.algorithm", C, "https|none", 0, 0},
	{"ssl.cipher.suites", C, NULL, 0, 0},
	{"ssl.curves.list", C, NULL, 0, 0},
	{"ssl.sigalgs.list", C, NULL, 0, 0},
	{"client.id", C, NULL, 0, 0},
	{"client.rack", C, NULL, 0, 0},
	{"compression.codec", 0, "none|gzip|snappy|lz4|zstd", 0, 0},
	{"compression.level", 0, NULL, -1, 12},
	{"linger.ms", 0, NULL, 0, 1000},
	{"request.timeout.ms", 0, NULL, 1000, 900000},
	{"retry.backoff.ms", 0, NULL, 1, 10000},
	{"socket.timeout.ms", C, NULL, 1000, 300000},
	{"socket.connection.setup.timeout.ms", C, NULL, 1000, 300000},
	{"socket.keepalive.enable", C, "true|false", 0, 0},
	{"socket.nagle.disable", C, "true|false", 0, 0},
	{"socket.max.fails", C, NULL, 0, 1000000},
	{"socket.send.buffer.bytes", C, NULL, 0, 100000000},
	{"socket.receive.buffer.bytes", C, NULL, 0, 100000000},
	{"broker.address.ttl", C, NULL, 0, DAY_MS},
	{"broker.address.family", C, "any|v4|v6", 0, 0},
	{"connections.max.idle.ms", C, NULL, 0, DAY_MS},
	{"reconnect.backoff.ms", C, NULL, 0, 60000},
	{"reconnect.backoff.max.ms", C, NULL, 0, 60000},
	{"api.version.request.timeout.ms", C, NULL, 1000, 300000},
	{"metadata.max.age.ms", C, NULL, 1000, DAY_MS},
	{"topic.metadata.refresh.interval.ms", C, NULL, 1000, 3600000},
	{"topic.metadata.refresh.fast.interval.ms", C, NULL, 1, 60000},
	/* found in many files; right as they are, wrong as anything else */
	{"acks", HCE_OPTION_OURS, "all|-1", 0, 0},
	{"enable.idempotence", HCE_OPTION_OURS, "true", 0, 0},
	{"enable.ssl.certificate.verification", HCE_OPTION_OURS, "true", 0, 0},
};

StaticAssertDecl(lengthof(specs) <= HCE_MAX_OPTIONS,
				 "HCE_MAX_OPTIONS is too small for the allow-list");

/* Other names of the same options. */
static const char *const aliases[][2] = {
	{"sasl.mechanism", "sasl.mechanisms"},
	{"compression.type", "compression.codec"},
	{"queue.buffering.max.ms", "linger.ms"},
	{"request.required.acks", "acks"},
};

#define LOSES	"it could lose, repeat or reorder events"
#define RUNS	"it loads code or runs commands in the server"
#define OWN		"it has a setting of its own"
#define LOGS	"what is logged is for hcevents to decide"
#define JAVA	"it belongs to Kafka's Java clients"

#define HINT_LOSES	"Leave it out: hcevents sets it so that no event is lost and each key keeps its order."
#define HINT_RUNS	"Leave it out; certificates and keys are given as files: ssl.ca.location, ssl.certificate.location, ssl.key.location."
#define HINT_SASL	"Supported are sasl.mechanism PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 with sasl.username and sasl.password, and client certificates."
#define HINT_TABLE	"The README has the list of allowed options."

/*
 * Options that are known to be wrong, for a message that says why.  A name
 * ending in "." stands for all that begin so.
 */
static const struct
{
	const char *name;
	const char *why;
	const char *hint;
}			refused[] = {
	{"enable.gapless.guarantee", LOSES, HINT_LOSES},
	{"message.timeout.ms", LOSES, HINT_LOSES},
	{"delivery.timeout.ms", LOSES, HINT_LOSES},
	{"message.send.max.retries", LOSES, HINT_LOSES},
	{"retries", LOSES, HINT_LOSES},
	{"max.in.flight", LOSES, HINT_LOSES},
	{"max.in.flight.requests.per.connection", LOSES, HINT_LOSES},
	{"queue.buffering.", LOSES, HINT_LOSES},
	{"queuing.strategy", LOSES, HINT_LOSES},
	{"msg_order_cmp", LOSES, HINT_LOSES},
	{"partitioner", LOSES, HINT_LOSES},
	{"sticky.partitioning.linger.ms", LOSES, HINT_LOSES},
	{"transactional.id", LOSES, HINT_LOSES},
	{"transaction.timeout.ms", LOSES, HINT_LOSES},
	{"delivery.report.only.error", LOSES, HINT_LOSES},
	{"topic.blacklist", LOSES, HINT_LOSES},
	{"test.", LOSES, HINT_LOSES},
	{"plugin.", RUNS, HINT_RUNS},
	{"interceptors", RUNS, HINT_RUNS},
	{"ssl.engine.", RUNS, HINT_RUNS},
	{"ssl.providers", RUNS, HINT_RUNS},
	{"sasl.kerberos.", RUNS, HINT_SASL},
	{"sasl.oauthbearer.", "this mechanism is not supported", HINT_SASL},
	{"enable.sasl.oauthbearer.", "this mechanism is not supported", HINT_SASL},
	{"internal.termination.signal", RUNS, "Leave it out."},
	{"bootstrap.servers", OWN, "Set hcevents.bootstrap_servers."},
	{"metadata.broker.list", OWN, "Set hcevents.bootstrap_servers."},
	{"message.max.bytes", OWN, "Set hcevents.max_event_size."},
	{"log_level", LOGS, "Leave it out; hcevents.status and the server log show librdkafka's errors."},
	{"log.", LOGS, "Leave it out; hcevents.status and the server log show librdkafka's errors."},
	{"debug", LOGS, "Leave it out: librdkafka's debug lines may hold payloads."},
	{"statistics.interval.ms", LOGS, "Leave it out; hcevents.delivery_stats has the figures."},
	{"sasl.jaas.config", JAVA, "Give sasl.username and sasl.password instead."},
	{"ssl.truststore.", JAVA, "Give the certificate authority as a PEM file: ssl.ca.location."},
	{"ssl.keystore.type", JAVA, "Leave it out: ssl.keystore.location is PKCS#12 for librdkafka."},
	{"key.serializer", JAVA, "Leave it out."},
	{"value.serializer", JAVA, "Leave it out."},
};

int
hce_option_count(void)
{
	return lengthof(specs);
}

/* The name by which librdkafka knows option "number". */
const char *
hce_option_name(int number)
{
	return specs[number].name;
}

int
hce_option_flags(int number)
{
	return specs[number].flags;
}

/* The number of an option, also by another name of it; -1 = not allowed. */
static int
find_option(const char *name)
{
	for (int i = 0; i < (int) lengthof(aliases); i++)
	{
		if (strcmp(name, aliases[i][0]) == 0)
			name = aliases[i][1];
	}
	for (int i = 0; i < (int) lengthof(specs); i++)
	{
		if (strcmp(name, specs[i].name) == 0)
			return i;
	}
	return -1;
}

/* The value of an option in the allow-list, NULL when it is not given. */
const char *
hce_option_value(const HceKafkaOptions *options, const char *name)
{
	int			number = find_option(name);

	Assert(number >= 0);
	return options->values[number];
}

/* Put into words why a name is not allowed. "from_file" keeps it unnamed. */
static void
explain_refusal(const char *name, bool from_file, const char *where,
				HceOptionsError *error)
{
	Size		len = strlen(name);

	for (int i = 0; i < (int) lengthof(refused); i++)
	{
		Size		known = strlen(refused[i].name);
		bool		prefix = refused[i].name[known - 1] == '.';

		if (prefix ? strncmp(name, refused[i].name, known) != 0 :
			strcmp(name, refused[i].name) != 0)
			continue;
		/* of a prefix, the rest of the name may be anything */
		snprintf(error->detail, sizeof(error->detail),
				 "%sthe option \"%s%s\" is not allowed: %s", where,
				 prefix && from_file ? refused[i].name : name,
				 prefix && from_file ? "..." : "", refused[i].why);
		error->hint = refused[i].hint;
		return;
	}
	error->hint = HINT_TABLE;
	if (len > 3 && strcmp(name + len - 3, "_cb") == 0)
		snprintf(error->detail, sizeof(error->detail),
				 "%sa callback cannot be set", where);
	else if (from_file)
		snprintf(error->detail, sizeof(error->detail),
				 "%sthis option is not one of those that are allowed", where);
	else
		snprintf(error->detail, sizeof(error->detail),
				 "%sthe option \"%.64s\" is not one of those that are allowed",
				 where, name);
}

/* The word of a list "a|b" that equals "value", in its spelling, or NULL. */
static char *
find_word(const char *words, const char *value)
{
	Size		len = strlen(value);

	for (const char *word = words; *word;)
	{
		Size		word_len = strcspn(word, "|");

		if (word_len == len && pg_strncasecmp(word, value, len) == 0)
			return pnstrdup(word, word_len);
		word += word_len + (word[word_len] == '|' ? 1 : 0);
	}
	return NULL;
}

/*
 * Check a value; NULL if it is wrong, with what would be right in "expected".
 * Otherwise a copy in the current memory context.
 */
static char *
check_value(const OptionSpec *spec, const char *value, char *expected,
			Size size)
{
	if (spec->words != NULL)
	{
		snprintf(expected, size, "one of %s", spec->words);
		for (char *p = expected; *p; p++)
		{
			if (*p == '|')
				*p = ' ';
		}
		return find_word(spec->words, value);
	}
	if (spec->max > 0)
	{
		char	   *end;
		long		number;

		snprintf(expected, size, "a number between %d and %d", spec->min,
				 spec->max);
		errno = 0;
		number = strtol(value, &end, 10);
		return errno == 0 && *value != '\0' && *end == '\0' &&
			number >= spec->min && number <= spec->max ? pstrdup(value) : NULL;
	}
	strlcpy(expected, "text without control characters", size);
	for (const char *p = value; *p; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			return NULL;
	}
	return *value != '\0' ? pstrdup(value) : NULL;
}

/*
 * Take in one option.  "line" is 0 for the setting.  Names are shown only
 * where they are known or come from the setting, values never.
 */
static bool
add_option(HceKafkaOptions *options, const char *name, const char *value,
		   int line, const char *where, HceOptionsError *error)
{
	int			number = find_option(name);
	char		expected[128];
	char	   *copy;

	error->hint = NULL;
	if (number < 0)
	{
		explain_refusal(name, line > 0, where, error);
		return false;
	}
	if (line == 0 && (specs[number].flags & HCE_OPTION_SECRET) != 0)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "the option \"%s\" is a secret, and this setting can be read by everybody",
				 specs[number].name);
		error->hint = "Put it into the file of hcevents.kafka_config_file. This statement may be in the server log: change the secret.";
		return false;
	}
	if (options->values[number] != NULL && options->lines[number] == line)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "%sthe option \"%s\" is given twice", where,
				 specs[number].name);
		return false;
	}
	if (line > 0 && options->lines[number] > 0)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "%sthe option \"%s\" is in line %d already", where,
				 specs[number].name, options->lines[number]);
		return false;
	}
	copy = check_value(&specs[number], value, expected, sizeof(expected));
	if (copy == NULL)
	{
		snprintf(error->detail, sizeof(error->detail),
				 "%sthe value of \"%s\" must be %s", where,
				 specs[number].name, expected);
		if ((specs[number].flags & HCE_OPTION_OURS) != 0)
			error->hint = HINT_LOSES;
		else if (strcmp(specs[number].name, "sasl.mechanisms") == 0)
			error->hint = HINT_SASL;
		return false;
	}
	options->values[number] = copy;
	options->lines[number] = line;
	return true;
}

/* Cut off white space at both ends of a string, in place. */
static char *
trim(char *content)
{
	char	   *end = content + strlen(content);

	while (end > content && isspace((unsigned char) end[-1]))
		*--end = '\0';
	while (isspace((unsigned char) *content))
		content++;
	return content;
}

/*
 * Read "name=value, name=value" as in hcevents.kafka_config into "options".
 * Returns false with *error filled in for what is wrong.
 */
bool
hce_options_add_list(HceKafkaOptions *options, const char *list,
					 HceOptionsError *error)
{
	char	   *copy = pstrdup(list);
	char	   *next = copy;

	if (*trim(copy) == '\0')
		return true;
	while (next != NULL)
	{
		char	   *part = next;
		char	   *value;

		next = strchr(part, ',');
		if (next != NULL)
			*next++ = '\0';
		value = strchr(part, '=');
		if (value == NULL)
		{
			strlcpy(error->detail, "a part of the list is not name=value",
					sizeof(error->detail));
			error->hint = "Example: 'security.protocol=ssl, ssl.ca.location=/etc/kafka/ca.pem'. Values with commas go into the file of hcevents.kafka_config_file.";
			return false;
		}
		*value++ = '\0';
		if (!add_option(options, trim(part), trim(value), 0, "", error))
			return false;
	}
	return true;
}

/*
 * Read the text of a .properties file into "options": a name=value in each
 * line, lines that begin with # or ! are comments.  Options of the list that
 * are given here too take the value from here.  There are no escapes and no
 * continuation lines, so that a password is what is written there.  "content" is
 * modified; "file" is for messages.
 */
bool
hce_options_add_text(HceKafkaOptions *options, char *content, const char *file,
					 HceOptionsError *error)
{
	int			number = 0;

	while (content != NULL)
	{
		char	   *line = content;
		char	   *value;
		char		where[MAXPGPATH + 32];

		content = strchr(line, '\n');
		if (content != NULL)
			*content++ = '\0';
		number++;
		line = trim(line);
		if (*line == '\0' || *line == '#' || *line == '!')
			continue;
		snprintf(where, sizeof(where), "\"%.200s\", line %d: ", file, number);
		value = strchr(line, '=');
		if (value == NULL)
		{
			snprintf(error->detail, sizeof(error->detail),
					 "%sthis is not name=value", where);
			error->hint = NULL;
			return false;
		}
		*value++ = '\0';
		if (!add_option(options, trim(line), trim(value), number, where, error))
			return false;
	}
	return true;
}
