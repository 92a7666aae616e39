/*-------------------------------------------------------------------------
 *
 * producer.c
 *		Sending events to Kafka: the librdkafka producer of a relay.
 *
 * Owns the producer's handle and the queue of its events.  With the files
 * beside it the only part of the relay that knows librdkafka.  It knows nothing of
 * WAL, tables or shared memory; the relay learns by callbacks, which run in
 * hce_producer_poll(), what became of each message.
 *
 * librdkafka's threads never run code of ours or of PostgreSQL: delivery
 * reports, errors and log lines come as events from one queue, and a pipe
 * wakes the relay when the queue is no longer empty.
 *
 * This file makes the handle, sends, and takes in what librdkafka reports;
 * producer_topics.c knows which topics can be sent to, producer_failed.c
 * what came back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/producer_internal.h"
#include "settings.h"

/*
 * What may be in flight: a count, since each message costs librdkafka about a
 * kilobyte beside its payload, and bytes of payload.  Five requests of a
 * megabyte are under way at most, some 12,000 messages; the rest keeps
 * librdkafka's thread busy while the relay waits for a processor.  (500,000
 * events on two cores shared with broker and consumer: 2.1 s with 15,000,
 * 1.6 s with 50,000, 1.4 s with 100,000, which needs 40 MB more.)
 */
#define MAX_IN_FLIGHT		50000
#define MAX_IN_FLIGHT_BYTES	(64 * 1024 * 1024)

static void
set_option(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		message[256];

	if (rd_kafka_conf_set(conf, name, value, message, sizeof(message)) !=
		RD_KAFKA_CONF_OK)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("could not set the Kafka option \"%s\": %s", name, message));
}

/*
 * The configuration of the producer.  An event must not be dropped because
 * time has passed (message.timeout.ms = 0: never), because a send failed
 * (retries without end), or be sent twice (idempotence).
 */
static rd_kafka_conf_t *
make_configuration(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		size[32];

	snprintf(size, sizeof(size), "%d", (hce_max_event_size + 64) * 1024);
	set_option(conf, "message.max.bytes", size);
	set_option(conf, "bootstrap.servers", hce_bootstrap_servers);
	set_option(conf, "client.id", "hcevents");
	set_option(conf, "enable.idempotence", "true");
	/* else a batch that fails for good lets later ones of its key pass */
	set_option(conf, "enable.gapless.guarantee", "true");
	set_option(conf, "message.timeout.ms", "0");
	set_option(conf, "message.send.max.retries", "2147483647");
	set_option(conf, "linger.ms", "0");
	set_option(conf, "compression.codec", "lz4");
	set_option(conf, "batch.num.messages", "10000");
	set_option(conf, "batch.size", "1000000");
	/* ours are the limits that count, see MAX_IN_FLIGHT */
	set_option(conf, "queue.buffering.max.messages", "10000000");
	set_option(conf, "queue.buffering.max.kbytes", "2097151");
	set_option(conf, "socket.nagle.disable", "true");
	set_option(conf, "socket.keepalive.enable", "true");
	set_option(conf, "reconnect.backoff.ms", "100");
	set_option(conf, "reconnect.backoff.max.ms", "1000");
	set_option(conf, "topic.metadata.refresh.interval.ms", "60000");
	set_option(conf, "log_level", "4");
	set_option(conf, "log.queue", "true");
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR |
							 RD_KAFKA_EVENT_LOG);
	return conf;
}

/* Make the handle, its queue and the topics' handles. */
static void
open_handle(HceProducer *producer)
{
	rd_kafka_conf_t *conf = make_configuration();
	sigset_t	all;
	sigset_t	before;
	char		message[256];

	/*
	 * librdkafka's threads inherit the signal mask; a signal for this process
	 * must only ever be handled by its main thread.
	 */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, message,
									sizeof(message));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (producer->handle == NULL)
	{
		rd_kafka_conf_destroy(conf);
		ereport(ERROR,
				errcode(ERRCODE_SYSTEM_ERROR),
				errmsg("could not create a Kafka producer: %s", message));
	}
	producer->queue = rd_kafka_queue_get_main(producer->handle);
	rd_kafka_set_log_queue(producer->handle, producer->queue);
	rd_kafka_queue_io_event_enable(producer->queue, producer->pipe[1], "q", 1);
	for (HceTopic *topic = producer->topics; topic; topic = topic->next)
		hce_producer_open_topic(producer, topic);
	producer->fatal = false;
	producer->session++;
}

/*
 * Give up a handle that had a fatal error.  All its messages have been
 * reported.  Destroying it joins threads that may hang in name resolution,
 * so that is left to a thread of its own.
 */
static void
close_handle(HceProducer *producer)
{
	for (HceTopic *topic = producer->topics; topic; topic = topic->next)
	{
		if (topic->handle != NULL)
			rd_kafka_topic_destroy(topic->handle);
		topic->handle = NULL;
	}
	rd_kafka_queue_io_event_enable(producer->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(producer->queue);
	hce_producer_probe_destroy_handle(producer->handle);
	producer->handle = NULL;
}

/*
 * Create a producer with the current settings, in "context".
 *
 * Connects in the background: never waits for Kafka.  Raises
 * ERRCODE_INVALID_PARAMETER_VALUE for settings that librdkafka refuses.
 */
HceProducer *
hce_producer_create(MemoryContext context, const HceProducerEvents *events)
{
	HceProducer *producer = MemoryContextAllocZero(context, sizeof(HceProducer));

	/*
	 * A message is ten small allocations, most of them headers.  With glibc's
	 * fast bins the next large one has to sort out thousands of them again
	 * and again; without, the relay needs a fifth less CPU.
	 */
	(void) mallopt(M_MXFAST, 0);
	producer->context = context;
	producer->events = *events;
	if (pipe(producer->pipe) != 0 ||
		fcntl(producer->pipe[0], F_SETFL, O_NONBLOCK) != 0 ||
		fcntl(producer->pipe[1], F_SETFL, O_NONBLOCK) != 0)
		ereport(ERROR,
				errcode(ERRCODE_SYSTEM_ERROR),
				errmsg("could not create a pipe: %m"));
	open_handle(producer);
	return producer;
}

/* The descriptor that becomes readable when hce_producer_poll() has work. */
int
hce_producer_fd(const HceProducer *producer)
{
	return producer->pipe[0];
}

/* A topic by its name; a name has 249 characters at most. */
typedef struct TopicName
{
	char		name[256];		/* hash key */
	HceTopic   *topic;
} TopicName;

static TopicName *
topic_name_entry(HceProducer *producer, const char *name, bool *found)
{
	if (producer->topic_names == NULL)
	{
		HASHCTL		ctl;

		memset(&ctl, 0, sizeof(ctl));
		ctl.keysize = sizeof(((TopicName *) NULL)->name);
		ctl.entrysize = sizeof(TopicName);
		ctl.hcxt = producer->context;
		producer->topic_names = hash_create("hcevents topics", 64, &ctl,
											HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	return hash_search(producer->topic_names, name, HASH_ENTER, found);
}

/* The topic of a name, made when new.  It lives as long as the producer. */
HceTopic *
hce_producer_topic(HceProducer *producer, const char *name)
{
	HceTopic   *topic;
	TopicName  *entry;
	bool		found;

	entry = topic_name_entry(producer, name, &found);
	if (found)
		return entry->topic;
	entry->topic = NULL;
	topic = MemoryContextAllocZero(producer->context, sizeof(HceTopic));
	topic->name = MemoryContextStrdup(producer->context, name);
	hce_producer_open_topic(producer, topic);
	topic->next = producer->topics;
	producer->topics = topic;
	entry->topic = topic;
	return topic;
}

const char *
hce_producer_topic_name(const HceTopic *topic)
{
	return topic->name;
}

/* A message's headers, NULL for none. */
static rd_kafka_headers_t *
make_headers(const HceMessage *message)
{
	rd_kafka_headers_t *headers;

	if (message->nheaders == 0)
		return NULL;
	headers = rd_kafka_headers_new(message->nheaders);
	for (int i = 0; i < message->nheaders; i++)
		rd_kafka_header_add(headers, message->headers[i].name, -1,
							message->headers[i].value,
							message->headers[i].value_len);
	return headers;
}

/* Hand a message to librdkafka, which owns its headers (or NULL) when it takes it. */
rd_kafka_resp_err_t
hce_producer_produce(HceProducer *producer, HceTopic *topic, int partition,
					 const char *key, size_t key_len, const char *value, size_t value_len,
		int64 timestamp_ms, rd_kafka_headers_t *headers, uint64 number)
{
	rd_kafka_resp_err_t error;

	error = rd_kafka_producev(producer->handle,
							  RD_KAFKA_V_RKT(topic->handle),
							  RD_KAFKA_V_PARTITION(partition),
							  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							  RD_KAFKA_V_VALUE(unconstify(char *, value), value_len),
							  RD_KAFKA_V_KEY(key, key_len),
							  RD_KAFKA_V_TIMESTAMP(timestamp_ms),
							  RD_KAFKA_V_HEADERS(headers),
							  RD_KAFKA_V_OPAQUE((void *) (uintptr_t) number),
							  RD_KAFKA_V_END);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		producer->in_flight++;
		producer->in_flight_bytes += value_len + key_len;
		hce_producer_partition_used(producer, topic, partition);
	}
	return error;
}

/*
 * Room for one more message.  A message larger than the whole limit goes
 * when nothing else is in flight.
 */
bool
hce_producer_has_room(const HceProducer *producer, size_t bytes)
{
	return producer->in_flight < MAX_IN_FLIGHT &&
		(producer->in_flight == 0 ||
		 producer->in_flight_bytes + bytes <= MAX_IN_FLIGHT_BYTES);
}

/*
 * Send an event.
 *
 * HCE_SENT: its fate will be told by a callback.  HCE_SEND_LATER: nothing was
 * kept; try again after a call of hce_producer_poll().  Never waits.
 */
HceSend
hce_producer_send(HceProducer *producer, const HceMessage *message)
{
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t error;
	int			partition;

	if (message->topic->state == TOPIC_INVALID)
		return HCE_SEND_NEVER;
	if (producer->nfailed > 0 || producer->fatal || producer->alone ||
		!hce_producer_has_room(producer, message->value_len + message->key_len) ||
		!hce_producer_topic_ready(producer, message->topic))
		return HCE_SEND_LATER;
	partition = hce_producer_choose_partition(message->topic, message->key,
											  message->key_len);
	if (!hce_producer_partition_open(producer, message->topic, partition))
		return HCE_SEND_LATER;

	headers = make_headers(message);
	error = hce_producer_produce(producer, message->topic, partition,
					message->key, message->key_len, message->value, message->value_len, message->timestamp_ms,
					headers, message->number);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
		return HCE_SENT;

	if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
		error == RD_KAFKA_RESP_ERR__INVALID_ARG)
	{
		hce_producer_keep_unsent(producer, message, headers, error);
		return HCE_SENT;
	}
	if (headers != NULL)
		rd_kafka_headers_destroy(headers);
	if (rd_kafka_fatal_error(producer->handle, NULL, 0) != 0)
		producer->fatal = true;
	else if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
			 error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
		message->topic->state = TOPIC_UNKNOWN;
	return HCE_SEND_LATER;
}

static void
take_reports(HceProducer *producer, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event)) != NULL)
	{
		producer->in_flight--;
		producer->in_flight_bytes -= message->len + message->key_len;
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			producer->connected = true;
			hce_producer_partition_confirmed(producer, message);
			producer->events.delivered(producer->events.arg,
									   (uint64) (uintptr_t) message->_private);
		}
		else
			hce_producer_message_failed(producer, message);
	}
}

static void
take_error(HceProducer *producer, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t error = rd_kafka_event_error(event);

	strlcpy(producer->error, rd_kafka_event_error_string(event),
			sizeof(producer->error));
	if (rd_kafka_event_error_is_fatal(event))
		producer->fatal = true;
	else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		producer->doubt = true;
}

/*
 * After a fatal error: take all messages back and begin with a new handle.
 * What was in flight may be in Kafka already and will be there twice, with
 * the same event_id; these are the only duplicates that this process makes.
 */
static void
recover_from_fatal(HceProducer *producer)
{
	if (!producer->fatal || producer->probe != NULL)
		return;
	if (producer->in_flight > 0)
	{
		rd_kafka_purge(producer->handle,
					   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
					   RD_KAFKA_PURGE_F_NON_BLOCKING);
		return;
	}
	close_handle(producer);
	open_handle(producer);
}

/*
 * Take in what librdkafka has to tell, and do what follows from it.  Never
 * waits.  Returns whether anything was taken in.
 */
bool
hce_producer_poll(HceProducer *producer)
{
	char		drained[64];
	rd_kafka_event_t *event;
	bool		progress = false;

	producer->poll_time = GetCurrentTimestamp();
	/* drain first: a byte written after this belongs to events after it */
	while (read(producer->pipe[0], drained, sizeof(drained)) > 0)
		;
	while ((event = rd_kafka_queue_poll(producer->queue, 0)) != NULL)
	{
		progress = true;
		switch (rd_kafka_event_type(event))
		{
			case RD_KAFKA_EVENT_DR:
				take_reports(producer, event);
				break;
			case RD_KAFKA_EVENT_ERROR:
				take_error(producer, event);
				break;
			default:			/* log lines: the errors say it better */
				break;
		}
		rd_kafka_event_destroy(event);
	}
	hce_producer_finish_probe(producer);
	recover_from_fatal(producer);
	hce_producer_resend_failed(producer);
	hce_producer_probe_brokers(producer);
	return progress;
}

/* Something is under way that needs a look again soon. */
bool
hce_producer_busy(const HceProducer *producer)
{
	return producer->nfailed > 0 || producer->fatal || producer->probe != NULL ||
		!producer->connected || producer->doubt;
}

bool
hce_producer_connected(const HceProducer *producer)
{
	return producer->connected;
}

/* What a topic in use waits for, "" when nothing. */
const char *
hce_producer_waiting_for(const HceProducer *producer)
{
	return producer->waiting_for;
}

/* The last error of librdkafka or Kafka, "" when there was none. */
const char *
hce_producer_error(const HceProducer *producer)
{
	return producer->error;
}

int
hce_producer_in_flight(const HceProducer *producer)
{
	return producer->in_flight + producer->nfailed;
}

/*
 * Before the process ends: give what is in flight up to a second to be
 * acknowledged.  The handle is not destroyed: that could wait without end,
 * and the process ends by _exit() anyway.
 */
void
hce_producer_stop(HceProducer *producer)
{
	if (producer->connected && producer->in_flight > 0 && !producer->fatal)
	{
		TimestampTz end = GetCurrentTimestamp() + USECS_PER_SEC;

		while (producer->in_flight > 0 && GetCurrentTimestamp() < end)
		{
			rd_kafka_event_t *event = rd_kafka_queue_poll(producer->queue, 50);

			if (event == NULL)
				continue;
			if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
				take_reports(producer, event);
			rd_kafka_event_destroy(event);
		}
	}
}
