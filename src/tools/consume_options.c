/*-------------------------------------------------------------------------
 *
 * consume_options.c
 *		The command line of hcevents-consume.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consume.h"

static const char *const default_events[] = {
	"patient.created", "patient.updated", "patient.deleted",
	"appointment.booked", "appointment.cancelled", "appointment.completed"
};

static const char *const help =
"hcevents-consume prints the events that hcevents published to Kafka.\n"
"\n"
"Usage:\n"
"  hcevents-consume [OPTION]... [EVENT_TYPE | TOPIC]...\n"
"\n"
"Each event is one line on standard output: its JSON envelope.  An argument\n"
"that starts with the topic prefix and a dot is a topic; any other is an event\n"
"type, and its topic is PREFIX.EVENT_TYPE.  Without arguments: the six events\n"
"patient.created, .updated, .deleted and appointment.booked, .cancelled,\n"
".completed.  Topics that do not exist yet are waited for.\n"
"\n"
"Options:\n"
"  -b, --bootstrap-servers=LIST  brokers, as HOST:PORT,...\n"
"                                (KAFKA_BOOTSTRAP_SERVERS, localhost:9092)\n"
"  -p, --topic-prefix=PREFIX     (KAFKA_TOPIC_PREFIX, healthcore)\n"
"  -g, --group=NAME              share the events with the other members of\n"
"                                this consumer group, and go on where it was;\n"
"                                offsets are committed after printing\n"
"  -B, --from-beginning          where there is no committed offset, start with\n"
"                                the oldest event instead of the next new one\n"
"  -e, --until-end               stop at the ends that the topics have now\n"
"  -n, --count=N                 stop after N events\n"
"  -t, --timeout=SECONDS         give up after this time\n"
"  -F, --config-file=FILE        more librdkafka options, a NAME=VALUE in each\n"
"                                line, such as passwords (KAFKA_CONFIG_FILE)\n"
"  -X, --property=NAME=VALUE     another librdkafka option, such as\n"
"                                security.protocol=ssl; may be repeated\n"
"  -h, --help                    show this help\n"
"\n"
"Exit status:\n"
"  0  stopped by SIGTERM or SIGINT, at --until-end or --count, or because the\n"
"     reader of standard output went away\n"
"  1  Kafka refused for good (authentication, authorization), or standard\n"
"     output failed\n"
"  2  wrong arguments\n"
"  3  --timeout passed first\n";

static const struct option long_options[] = {
	{"bootstrap-servers", required_argument, NULL, 'b'},
	{"topic-prefix", required_argument, NULL, 'p'},
	{"group", required_argument, NULL, 'g'},
	{"from-beginning", no_argument, NULL, 'B'},
	{"until-end", no_argument, NULL, 'e'},
	{"count", required_argument, NULL, 'n'},
	{"timeout", required_argument, NULL, 't'},
	{"config-file", required_argument, NULL, 'F'},
	{"property", required_argument, NULL, 'X'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}
};

void *
consume_alloc(void *old, size_t size)
{
	void	   *result = realloc(old, size);

	if (result == NULL)
	{
		fprintf(stderr, "hcevents-consume: out of memory\n");
		exit(EXIT_FAILURE);
	}
	return result;
}

static void
fail_usage(void)
{
	fprintf(stderr, "Try \"hcevents-consume --help\" for more information.\n");
	exit(EXIT_USAGE);
}

static long
parse_number(const char *option, const char *text)
{
	char	   *end;
	long		value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0' || value < 1 ||
		value > INT_MAX)
	{
		fprintf(stderr, "hcevents-consume: --%s needs a positive number, not \"%s\"\n",
				option, text);
		fail_usage();
	}
	return value;
}

static const char *
from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : otherwise;
}

bool
consume_topic_is_named(const ConsumeOptions *options, const char *topic)
{
	for (int i = 0; i < options->ntopics; i++)
	{
		if (strcmp(options->topics[i], topic) == 0)
			return true;
	}
	return false;
}

/*
 * Add the topic that an argument means, once.
 */
static void
add_topic(ConsumeOptions *options, const char *argument)
{
	size_t		prefix_len = strlen(options->topic_prefix);
	char	   *topic;

	if (*argument == '\0')
	{
		fprintf(stderr, "hcevents-consume: an empty argument is no event type\n");
		fail_usage();
	}
	topic = consume_alloc(NULL, prefix_len + strlen(argument) + 2);
	if (strncmp(argument, options->topic_prefix, prefix_len) == 0 &&
		argument[prefix_len] == '.')
		strcpy(topic, argument);
	else
		sprintf(topic, "%s.%s", options->topic_prefix, argument);

	if (consume_topic_is_named(options, topic))
	{
		free(topic);
		return;
	}
	options->topics = consume_alloc(options->topics, sizeof(char *) *
									(size_t) (options->ntopics + 1));
	options->topics[options->ntopics++] = topic;
}

static void
add_property(ConsumeOptions *options, char *property)
{
	if (strchr(property, '=') == NULL)
	{
		fprintf(stderr, "hcevents-consume: --property needs NAME=VALUE, not \"%s\"\n",
				property);
		fail_usage();
	}
	options->properties = consume_alloc(options->properties, sizeof(char *) *
										(size_t) (options->nproperties + 1));
	options->properties[options->nproperties++] = property;
}

/* Cut off white space at both ends, in place. */
static char *
trim(char *text)
{
	char	   *end = text + strlen(text);

	while (end > text && isspace((unsigned char) end[-1]))
		*--end = '\0';
	while (isspace((unsigned char) *text))
		text++;
	return text;
}

/*
 * Take the options of a .properties file, before those of the command line,
 * which win.  Its lines are not shown: they may hold passwords.
 */
static void
read_properties(ConsumeOptions *options, const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	  **given = options->properties;
	int			ngiven = options->nproperties;
	char		line[8192];

	if (file == NULL)
	{
		fprintf(stderr, "hcevents-consume: could not open \"%s\": %s\n", path,
				strerror(errno));
		exit(EXIT_USAGE);
	}
	options->properties = NULL;
	options->nproperties = 0;
	for (int number = 1; fgets(line, sizeof(line), file) != NULL; number++)
	{
		char	   *name = trim(line);
		char	   *value = strchr(name, '=');
		char	   *property;

		if (*name == '\0' || *name == '#' || *name == '!')
			continue;
		if (value == NULL)
		{
			fprintf(stderr, "hcevents-consume: \"%s\", line %d: this is not NAME=VALUE\n",
					path, number);
			exit(EXIT_USAGE);
		}
		*value++ = '\0';
		name = trim(name);
		value = trim(value);
		property = consume_alloc(NULL, strlen(name) + strlen(value) + 2);
		sprintf(property, "%s=%s", name, value);
		add_property(options, property);
	}
	fclose(file);
	for (int i = 0; i < ngiven; i++)
		add_property(options, given[i]);
	free(given);
}

/*
 * Read the arguments into "options", or end the program.
 */
void
consume_options_parse(ConsumeOptions *options, int argc, char **argv)
{
	const char *config_file = from_environment("KAFKA_CONFIG_FILE", NULL);
	int			c;

	memset(options, 0, sizeof(*options));
	options->bootstrap_servers = from_environment("KAFKA_BOOTSTRAP_SERVERS",
												  "localhost:9092");
	options->topic_prefix = from_environment("KAFKA_TOPIC_PREFIX",
											 "healthcore");

	while ((c = getopt_long(argc, argv, "b:p:g:Ben:t:F:X:h", long_options,
							NULL)) != -1)
	{
		switch (c)
		{
			case 'b':
				options->bootstrap_servers = optarg;
				break;
			case 'p':
				options->topic_prefix = optarg;
				break;
			case 'g':
				options->group = optarg;
				break;
			case 'B':
				options->from_beginning = true;
				break;
			case 'e':
				options->until_end = true;
				break;
			case 'n':
				options->count = parse_number("count", optarg);
				break;
			case 't':
				options->timeout = (int) parse_number("timeout", optarg);
				break;
			case 'F':
				config_file = optarg;
				break;
			case 'X':
				add_property(options, optarg);
				break;
			case 'h':
				fputs(help, stdout);
				exit(EXIT_SUCCESS);
			default:
				fail_usage();
		}
	}

	if (config_file != NULL)
		read_properties(options, config_file);
	for (int i = optind; i < argc; i++)
		add_topic(options, argv[i]);
	if (options->ntopics == 0)
	{
		for (size_t i = 0; i < sizeof(default_events) / sizeof(*default_events); i++)
			add_topic(options, default_events[i]);
	}
}
