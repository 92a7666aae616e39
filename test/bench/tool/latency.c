/*
 * latency.c
 *		From the return of COMMIT to the consumer that has the message.
 *
 *	bench latency -b BROKERS -t TOPIC -c CONNINFO -r EVENTS -m ROWS -s SECONDS
 *				  -i FIRST
 *
 * One thread writes EVENTS rows a second, ROWS in each transaction, open loop:
 * a transaction is due at its time, whether or not the one before was late.
 * Rows have the ids FIRST, FIRST + 1 and so on.  The other thread consumes and
 * finds the id as the first number in a message's key, which is 12 for some
 * systems and {"id":12} for others.  It waits GRACE_S for the last ones.
 *
 * The delay is negative when a message arrives before COMMIT has returned: an
 * acknowledged commit is what a client can rely on.
 */
#include <ctype.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bench.h"

#define GRACE_S		20

#define INSERT_ONE \
	"INSERT INTO patients (id, name, email) VALUES ($1::bigint," \
	" 'Patient ' || $1, 'patient' || $1 || '@example.org')"
#define INSERT_MANY \
	"INSERT INTO patients (id, name, email) SELECT i, 'Patient ' || i," \
	" 'patient' || i || '@example.org'" \
	" FROM generate_series($1::bigint, $2::bigint) i"

typedef struct Run
{
	const char *brokers;
	const char *topic;
	const char *conninfo;
	double		rate;			/* rows a second */
	int			rows;			/* of a transaction */
	double		seconds;
	int64_t		first_id;

	int64_t		count;			/* rows in all */
	int64_t    *committed;		/* of each transaction */
	int64_t    *received;		/* of each row, 0 if not yet */
	int64_t		duplicates;
	double		took;			/* seconds that the writer wrote */
	int64_t		latest;			/* start of a transaction, behind its time */
	atomic_int	written;
} Run;

static void
check_result(PGconn *conn, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("writer", PQerrorMessage(conn));
	PQclear(result);
}

static void *
write_rows(void *arg)
{
	Run		   *run = arg;
	PGconn	   *conn = PQconnectdb(run->conninfo);
	int64_t		transactions = run->count / run->rows;
	double		apart = 1e9 * run->rows / run->rate;
	int64_t		start;

	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", PQerrorMessage(conn));
	check_result(conn, PQprepare(conn, "insert",
								 run->rows == 1 ? INSERT_ONE : INSERT_MANY,
								 0, NULL));
	start = mono_ns() + 10000000;
	for (int64_t i = 0; i < transactions; i++)
	{
		char		from[24];
		char		to[24];
		const char *values[] = {from, to};
		int64_t		due = start + (int64_t) (i * apart);
		int64_t		id = run->first_id + i * run->rows;
		int64_t		late;

		snprintf(from, sizeof(from), "%lld", (long long) id);
		snprintf(to, sizeof(to), "%lld", (long long) (id + run->rows - 1));
		if (mono_ns() < due)
			sleep_until(due);
		late = mono_ns() - due;
		if (late > run->latest)
			run->latest = late;
		check_result(conn, PQexecPrepared(conn, "insert", run->rows == 1 ? 1 : 2,
										  values, NULL, NULL, 0));
		run->committed[i] = wall_ns();
	}
	run->took = (mono_ns() - start) / 1e9;
	PQfinish(conn);
	atomic_store(&run->written, 1);
	return NULL;
}

/* The first number in a key, -1 when there is none. */
static int64_t
id_of(const char *key, size_t length)
{
	int64_t		id = -1;

	for (size_t i = 0; i < length; i++)
		if (isdigit((unsigned char) key[i]))
			id = (id < 0 ? 0 : id) * 10 + (key[i] - '0');
		else if (id >= 0)
			break;
	return id;
}

/* Until all have arrived, or none for too long after the last was written. */
static int64_t
receive(Run *run, rd_kafka_t *rk)
{
	int64_t		got = 0;
	int64_t		last = mono_ns();

	while (got < run->count || !atomic_load(&run->written))
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
		int64_t		now = wall_ns();
		int64_t		row;

		if (message == NULL)
		{
			if (atomic_load(&run->written) &&
				mono_ns() - last > (int64_t) (GRACE_S * 1e9))
				break;
			continue;
		}
		last = mono_ns();
		row = message->err ? -1 :
			id_of(message->key, message->key_len) - run->first_id;
		if (row >= 0 && row < run->count)
		{
			if (run->received[row] != 0)
				run->duplicates++;
			else
			{
				run->received[row] = now;
				got++;
			}
		}
		rd_kafka_message_destroy(message);
	}
	return got;
}

static void
parse(Run *run, int argc, char **argv)
{
	int			option;

	while ((option = getopt(argc, argv, "b:t:c:r:m:s:i:")) != -1)
		switch (option)
		{
			case 'b':
				run->brokers = optarg;
				break;
			case 't':
				run->topic = optarg;
				break;
			case 'c':
				run->conninfo = optarg;
				break;
			case 'r':
				run->rate = atof(optarg);
				break;
			case 'm':
				run->rows = atoi(optarg);
				break;
			case 's':
				run->seconds = atof(optarg);
				break;
			case 'i':
				run->first_id = atoll(optarg);
				break;
			default:
				exit(2);
		}
	if (run->brokers == NULL || run->topic == NULL || run->conninfo == NULL ||
		run->rate <= 0 || run->rows <= 0 || run->seconds <= 0)
		die("latency", "needs -b, -t, -c, -r, -m and -s");
}

int
latency_main(int argc, char **argv)
{
	Run			run = {.rows = 1,.first_id = 1};
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_t *rk;
	rd_kafka_message_t *none;
	pthread_t	writer;
	int64_t		got;
	int64_t    *delays;
	size_t		known = 0;

	parse(&run, argc, argv);
	run.count = (int64_t) (run.rate * run.seconds) / run.rows * run.rows;
	run.committed = xalloc(run.count / run.rows * sizeof(int64_t));
	run.received = xalloc(run.count * sizeof(int64_t));
	delays = xalloc(run.count * sizeof(int64_t));

	rk = consumer_new(run.brokers, run.topic, 0, &list);
	if (rd_kafka_assign(rk, list) != 0)
		die("consumer", "cannot assign");
	/* The connection and the fetch are there before the first row is. */
	none = rd_kafka_consumer_poll(rk, 500);
	if (none != NULL)
		rd_kafka_message_destroy(none);

	if (pthread_create(&writer, NULL, write_rows, &run) != 0)
		die("writer", "no thread");
	got = receive(&run, rk);
	pthread_join(writer, NULL);
	for (int64_t row = 0; row < run.count; row++)
		if (run.received[row] != 0)
			delays[known++] = run.received[row] - run.committed[row / run.rows];
	printf("events=%lld missing=%lld duplicate=%lld rate=%.1f late_ms=%.3f",
		   (long long) run.count, (long long) (run.count - got),
		   (long long) run.duplicates, run.count / run.took, run.latest / 1e6);
	print_percentiles(delays, known);
	printf("\n");
	fflush(stdout);
	_exit(got == run.count ? 0 : 1);
}
