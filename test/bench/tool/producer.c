/*
 * producer.c
 *		The ceiling: librdkafka alone with the messages of a topic.
 *
 *	bench producer -b BROKERS -f SOURCE -t TOPIC -n COUNT [-X name=value]...
 *
 * Reads up to KEEP messages of SOURCE with keys and headers into
 * memory, then produces COUNT of them, from the first again after the last,
 * without a pause.  Prints messages a second, from the
 * first call to the last acknowledgement, and this process' CPU for a million.
 */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"

#define KEEP	100000

typedef struct Message
{
	void	   *key;
	size_t		key_length;
	void	   *value;
	size_t		value_length;
	rd_kafka_headers_t *headers;
} Message;

static int64_t acknowledged;
static int64_t failed;

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	if (message->err)
		failed++;
	else
		acknowledged++;
}

static void *
copy(const void *bytes, size_t length)
{
	void	   *chunk = xalloc(length + 1);

	if (length > 0)
		memcpy(chunk, bytes, length);
	return chunk;
}

static size_t
read_messages(const char *brokers, const char *topic, Message *messages)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_t *rk = consumer_new(brokers, topic, 1, &list);
	size_t		count = 0;

	if (rd_kafka_assign(rk, list) != 0)
		die("consumer", "cannot assign");
	while (count < KEEP)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 2000);

		if (message == NULL)
			break;
		if (!message->err)
		{
			rd_kafka_headers_t *headers = NULL;

			(void) rd_kafka_message_headers(message, &headers);
			messages[count++] = (Message) {
				.key = copy(message->key, message->key_len),
				.key_length = message->key_len,
				.value = copy(message->payload, message->len),
				.value_length = message->len,
				.headers = headers ? rd_kafka_headers_copy(headers) : NULL
			};
		}
		rd_kafka_message_destroy(message);
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
	if (count == 0)
		die(topic, "holds no message");
	return count;
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 +
		usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
}

/* Headers are built for each message, as a program that has some does. */
static void
produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, const Message *message)
{
	rd_kafka_headers_t *headers =
		message->headers ? rd_kafka_headers_copy(message->headers) : NULL;

	for (;;)
	{
		rd_kafka_resp_err_t error;

		if (headers != NULL)
			error = rd_kafka_producev(rk, RD_KAFKA_V_RKT(topic),
									  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
									  RD_KAFKA_V_VALUE(message->value,
													   message->value_length),
									  RD_KAFKA_V_KEY(message->key,
													 message->key_length),
									  RD_KAFKA_V_HEADERS(headers),
									  RD_KAFKA_V_END);
		else
			error = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA,
									 RD_KAFKA_MSG_F_COPY, message->value,
									 message->value_length, message->key,
									 message->key_length, NULL) == 0 ?
				RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
			return;
		if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(error));
		rd_kafka_poll(rk, 10);
	}
}

int
producer_main(int argc, char **argv)
{
	const char *brokers = NULL;
	const char *source = NULL;
	const char *name = NULL;
	int64_t		count = 1000000;
	int			option;
	char		error[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	conf_set(conf, "acks", "all");
	conf_set(conf, "enable.idempotence", "true");
	conf_set(conf, "socket.nagle.disable", "true");
	while ((option = getopt(argc, argv, "b:f:t:n:X:")) != -1)
		switch (option)
		{
			case 'b':
				brokers = optarg;
				break;
			case 'f':
				source = optarg;
				break;
			case 't':
				name = optarg;
				break;
			case 'n':
				count = atoll(optarg);
				break;
			case 'X':
				conf_set_pair(conf, optarg);
				break;
			default:
				return 2;
		}
	if (brokers == NULL || source == NULL || name == NULL)
		die("producer", "needs -b, -f and -t");

	Message    *messages = xalloc(KEEP * sizeof(Message));
	size_t		kept = read_messages(brokers, source, messages);

	conf_set(conf, "bootstrap.servers", brokers);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);

	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error,
								  sizeof(error));

	if (rk == NULL)
		die("producer", error);

	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
	const struct rd_kafka_metadata *metadata;

	/* Connected before the clock starts, like a relay that runs. */
	if (rd_kafka_metadata(rk, 0, topic, &metadata, 5000) == 0)
		rd_kafka_metadata_destroy(metadata);

	double		cpu = cpu_seconds();
	int64_t		start = mono_ns();

	for (int64_t i = 0; i < count; i++)
	{
		produce(rk, topic, &messages[i % (int64_t) kept]);
		if ((i & 0xff) == 0)
			rd_kafka_poll(rk, 0);
	}
	while (acknowledged + failed < count)
		rd_kafka_poll(rk, 10);

	double		seconds = (mono_ns() - start) / 1e9;

	printf("messages=%lld failed=%lld seconds=%.3f rate=%.0f cpu_s_per_million=%.3f\n",
		   (long long) count, (long long) failed, seconds, count / seconds,
		   (cpu_seconds() - cpu) * 1e6 / count);
	fflush(stdout);
	_exit(failed != 0);
}
