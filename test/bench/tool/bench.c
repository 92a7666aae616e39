/*
 * bench.c
 *		Measures a system that publishes rows of PostgreSQL to Kafka.
 *
 *	bench latency	write at a fixed rate, consume, compare the clocks
 *	bench ends		watch a topic's end until it has grown by so many
 *	bench producer	the same messages by librdkafka alone: the ceiling
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define METADATA_TRIES	40
#define ANSWER_MS		5000

static int64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t
mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

void
sleep_until(int64_t mono)
{
	struct timespec until = {mono / 1000000000, mono % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until,
						   NULL) == EINTR)
		;
}

void
die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(2);
}

void *
xalloc(size_t size)
{
	void	   *chunk = calloc(1, size);

	if (chunk == NULL)
		die("memory", "none left");
	return chunk;
}

void
conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		error[256];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) !=
		RD_KAFKA_CONF_OK)
		die(name, error);
}

void
conf_set_pair(rd_kafka_conf_t *conf, char *pair)
{
	char	   *value = strchr(pair, '=');

	if (value == NULL)
		die(pair, "needs name=value");
	*value++ = '\0';
	conf_set(conf, pair, value);
}

/* A topic that was just made is not known at once. */
static int
partitions_of(rd_kafka_t *rk, const char *topic)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
	int			partitions = 0;

	for (int try = 0; try < METADATA_TRIES && partitions == 0; try++)
	{
		const struct rd_kafka_metadata *metadata;

		if (try > 0)
			sleep_until(mono_ns() + 100000000);
		if (rd_kafka_metadata(rk, 0, handle, &metadata, ANSWER_MS) != 0)
			continue;
		if (metadata->topic_cnt == 1)
			partitions = metadata->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(handle);
	if (partitions == 0)
		die(topic, "no such topic");
	return partitions;
}

rd_kafka_t *
consumer_new(const char *brokers, const char *topic, int from_beginning,
			 rd_kafka_topic_partition_list_t **list)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		error[256];
	rd_kafka_t *rk;
	int			partitions;

	conf_set(conf, "bootstrap.servers", brokers);
	conf_set(conf, "group.id", "hcevents-bench");
	conf_set(conf, "enable.auto.commit", "false");
	conf_set(conf, "socket.nagle.disable", "true");
	conf_set(conf, "fetch.wait.max.ms", "10");
	conf_set(conf, "fetch.error.backoff.ms", "5");
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
	if (rk == NULL)
		die("consumer", error);

	partitions = partitions_of(rk, topic);
	*list = rd_kafka_topic_partition_list_new(partitions);
	for (int partition = 0; partition < partitions; partition++)
	{
		int64_t		low,
					high;

		if (rd_kafka_query_watermark_offsets(rk, topic, partition, &low,
											 &high, ANSWER_MS) != 0)
			die(topic, "no offsets");
		rd_kafka_topic_partition_list_add(*list, topic, partition)->offset =
			from_beginning ? low : high;
	}
	return rk;
}

int64_t
end_offsets(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list)
{
	int64_t		sum = 0;

	for (int i = 0; i < list->cnt; i++)
	{
		int64_t		low,
					high;

		if (rd_kafka_query_watermark_offsets(rk, list->elems[i].topic,
											 list->elems[i].partition, &low,
											 &high, ANSWER_MS) != 0)
			return -1;
		sum += high;
	}
	return sum;
}

static int
compare_int64(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

void
print_percentiles(int64_t *values, size_t count)
{
	static const struct
	{
		const char *name;
		double		part;
	}			wanted[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99},
							{"max_ms", 1}};

	if (count == 0)
		return;
	qsort(values, count, sizeof(*values), compare_int64);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		printf(" %s=%.3f", wanted[i].name,
			   values[(size_t) ((double) (count - 1) * wanted[i].part + 0.5)] /
			   1e6);
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		int			(*run) (int argc, char **argv);
	}			commands[] = {{"latency", latency_main}, {"ends", ends_main},
							  {"producer", producer_main}};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	die("usage", "bench latency | ends | producer");
}
