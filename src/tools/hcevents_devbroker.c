/*-------------------------------------------------------------------------
 *
 * hcevents_devbroker.c
 *		An embedded Kafka broker for demonstrations and development.
 *
 * It is librdkafka's mock cluster as a program: it speaks enough of Kafka for
 * a producer and consumers on this machine, keeps everything in memory and
 * creates topics at their first use.  It drops old data beyond 5 MiB or
 * 100,000 messages a partition, so it proves nothing about loss: the tests
 * use a real Apache Kafka.  It is never installed.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

static const char *const help =
"hcevents-devbroker is an embedded Kafka broker for demonstrations.\n"
"\n"
"Usage:\n"
"  hcevents-devbroker [OPTION]...\n"
"\n"
"It prints its address (HOST:PORT) on standard output and runs until SIGTERM\n"
"or SIGINT.  Topics appear at their first use; everything is in memory.\n"
"\n"
"Options:\n"
"  -e, --errors              read lines from standard input, say \"ok\" to each, and\n"
"                            end at the end of the input:\n"
"                            KEY CODE...  the next requests with this API key\n"
"                                         (0: produce) are answered with these\n"
"                                         error codes\n"
"                            delay MS     each answer comes so much later\n"
"  -w, --write-address=FILE  also write the address into FILE, when ready\n"
"  -h, --help                show this help\n";

static const struct option long_options[] = {
	{"errors", no_argument, NULL, 'e'},
	{"write-address", required_argument, NULL, 'w'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}
};

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "hcevents-devbroker: %s: %s\n", what, detail);
	exit(EXIT_FAILURE);
}

/*
 * Write the address so that who polls for the file never sees half of it.
 */
static void
write_address(const char *path, const char *address)
{
	char		partial[4096];
	FILE	   *file;

	if (snprintf(partial, sizeof(partial), "%s.partial", path) >=
		(int) sizeof(partial))
		fail(path, "the name is too long");
	file = fopen(partial, "w");
	if (file == NULL)
		fail(partial, strerror(errno));
	fprintf(file, "%s\n", address);
	if (fclose(file) != 0 || rename(partial, path) != 0)
		fail(path, strerror(errno));
}

/*
 * The handle that owns the mock cluster.  It connects to nothing itself.
 */
static rd_kafka_t *
create_owner(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		problem[512];
	rd_kafka_t *rk;

	/* It would warn that this handle has no brokers to talk to. */
	if (rd_kafka_conf_set(conf, "log_level", "3", problem,
						  sizeof(problem)) != RD_KAFKA_CONF_OK)
		fail("librdkafka", problem);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
	if (rk == NULL)
		fail("librdkafka", problem);
	return rk;
}

/* Have the next requests with an API key fail: "KEY CODE...". */
static void
push_errors(rd_kafka_mock_cluster_t *cluster, const char *line)
{
	rd_kafka_resp_err_t errors[100];
	size_t		count = 0;
	const char *p;
	char	   *end;
	long		key = strtol(line, &end, 10);

	if (end == line)
		fail("no API key", line);
	for (p = end; count < 100; p = end)
	{
		long		code = strtol(p, &end, 10);

		if (end == p)
			break;
		errors[count++] = (rd_kafka_resp_err_t) code;
	}
	rd_kafka_mock_push_request_errors_array(cluster, (int16_t) key, count,
											errors);
}

/* Do what the lines of standard input say, see the help. */
static void
obey_lines(rd_kafka_mock_cluster_t *cluster)
{
	char		line[1024];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		int			milliseconds;

		if (sscanf(line, "delay %d", &milliseconds) == 1)
			(void) rd_kafka_mock_broker_set_rtt(cluster, -1, milliseconds);
		else
			push_errors(cluster, line);
		printf("ok\n");
		fflush(stdout);
	}
}

int
main(int argc, char **argv)
{
	const char *address_file = NULL;
	int			errors = 0;
	int			c;
	int			signo;
	sigset_t	stops;
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;

	while ((c = getopt_long(argc, argv, "ew:h", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'e':
				errors = 1;
				break;
			case 'w':
				address_file = optarg;
				break;
			case 'h':
				fputs(help, stdout);
				return EXIT_SUCCESS;
			default:
				return 2;
		}
	}
	/* Blocked in every thread, and taken one by one with sigwait(). */
	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stops, NULL);
	signal(SIGPIPE, SIG_IGN);

	rk = create_owner();
	cluster = rd_kafka_mock_cluster_new(rk, 1);
	if (cluster == NULL)
		fail("librdkafka", "could not start the mock cluster");

	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	if (address_file != NULL)
		write_address(address_file, rd_kafka_mock_cluster_bootstraps(cluster));

	if (errors)
		obey_lines(cluster);
	else
		sigwait(&stops, &signo);

	if (address_file != NULL)
		remove(address_file);
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return EXIT_SUCCESS;
}
