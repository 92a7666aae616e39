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
 * This file sends, and takes in what librdkafka reports; producer_handle.c
 * makes the handle and knows its errors, producer_topics.c knows which topics can be sent to, producer_failed.c
 * what came back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/producer_config.h"
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

/* In flight, out of four parts of that, when it is crowded. */
#define CROWDED_PARTS		3

/* A denial counts as over when so long nobody was denied anything. */
#define DENIED_LASTS_US		(30 * USECS_PER_SEC)

/*
 * Create a producer with the current settings, in "context".
 *
 * Connects in the background: never waits for Kafka.  Options that cannot be
 * used are no error: hce_producer_error() tells of them, and they are tried
 * again.  "nheaders" is how many headers a message has as a rule; those of all
 * messages with so many have the same names.
 */
HceProducer *
hce_producer_create(MemoryContext context, const HceProducerEvents *events,
					int nheaders)
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
	producer->nheaders = nheaders;
	if (pipe(producer->pipe) != 0 ||
		fcntl(producer->pipe[0], F_SETFL, O_NONBLOCK) != 0 ||
		fcntl(producer->pipe[1], F_SETFL, O_NONBLOCK) != 0)
		ereport(ERROR,
				errcode(ERRCODE_SYSTEM_ERROR),
				errmsg("could not create a pipe: %m"));
	(void) hce_producer_open(producer);
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

/* A message counts as in flight from now on. */
void
hce_producer_add_in_flight(HceProducer *producer, HceTopic *topic, int partition,
						   size_t bytes)
{
	if (topic->in_flight++ == 0)
		topic->silent_since = producer->poll_time;
	producer->in_flight++;
	producer->in_flight_bytes += bytes;
	hce_producer_partition_used(producer, topic, partition);
}

/* And no more. */
void
hce_producer_remove_in_flight(HceProducer *producer, HceTopic *topic,
							  size_t bytes)
{
	topic->in_flight--;
	producer->in_flight--;
	producer->in_flight_bytes -= bytes;
}

/* Hand a message to librdkafka, which owns its headers (or NULL) when it takes it. */
rd_kafka_resp_err_t
hce_producer_produce(HceProducer *producer, const HceMessage *message,
					 int partition, rd_kafka_headers_t *headers)
{
	return rd_kafka_producev(producer->handle,
							 RD_KAFKA_V_RKT(message->topic->handle),
							 RD_KAFKA_V_PARTITION(partition),
							 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							 RD_KAFKA_V_VALUE(unconstify(char *, message->value),
											  message->value_len),
							 RD_KAFKA_V_KEY(message->key, message->key_len),
							 RD_KAFKA_V_TIMESTAMP(message->timestamp_ms),
							 RD_KAFKA_V_HEADERS(headers),
							 RD_KAFKA_V_OPAQUE((void *) (uintptr_t) message->number),
							 RD_KAFKA_V_END);
}

/* What follows when librdkafka takes a message of a topic not now. */
void
hce_producer_not_taken(HceProducer *producer, HceTopic *topic,
					   rd_kafka_resp_err_t error)
{
	if (rd_kafka_fatal_error(producer->handle, NULL, 0) != 0)
		producer->fatal = true;
	else if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		hce_producer_deny_topic(producer, topic);
	else if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
		topic->state = TOPIC_UNKNOWN;	/* ask what is the matter with it */
}

/* Whether the room is left to those who have waited longer. */
bool
hce_producer_crowded(const HceProducer *producer)
{
	return producer->in_flight >= MAX_IN_FLIGHT / 4 * CROWDED_PARTS ||
		producer->in_flight_bytes >= MAX_IN_FLIGHT_BYTES / 4 * CROWDED_PARTS;
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

static void
take_reports(HceProducer *producer, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event)) != NULL)
	{
		HceTopic   *topic = rd_kafka_topic_opaque(message->rkt);

		hce_producer_remove_in_flight(producer, topic,
									  message->len + message->key_len);
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			producer->connected = true;
			topic->silent_since = producer->poll_time;
			topic->failing_since = 0;
			if (hce_producer_message_doubted(producer, message))
				continue;
			hce_producer_topic_granted(producer, message);
			hce_producer_partition_confirmed(producer, message);
			hce_producer_spare_headers(producer, topic, message);
			producer->events.delivered(producer->events.arg,
									   (uint64) (uintptr_t) message->_private);
		}
		else
			hce_producer_message_failed(producer, message);
	}
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
	if (producer->handle == NULL &&
		(producer->poll_time < producer->next_open || !hce_producer_open(producer)))
		return false;
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
				hce_producer_take_error(producer, event);
				break;
			default:			/* log lines: else the errors say it better */
				(void) hce_config_certificate_error(event,
													producer->certificate_error,
													sizeof(producer->certificate_error));
				break;
		}
		rd_kafka_event_destroy(event);
	}
	hce_producer_drop_spare_headers(producer);
	hce_producer_finish_probe(producer);
	hce_producer_recover(producer);
	if (producer->handle == NULL)
		return progress;
	hce_producer_resend_failed(producer);
	hce_producer_probe_brokers(producer);
	return progress;
}

/* Something is under way that needs a look again soon. */
bool
hce_producer_busy(const HceProducer *producer)
{
	return producer->handle == NULL || producer->nfailed > 0 || producer->fatal ||
		producer->probe != NULL || producer->taking_back != 0 ||
		!producer->connected || producer->doubt;
}

bool
hce_producer_connected(const HceProducer *producer)
{
	return producer->connected;
}

/* What the connection or a topic in use waits for, "" when nothing. */
const char *
hce_producer_waiting_for(const HceProducer *producer)
{
	if (!producer->connected)
		return producer->away_for[0] != '\0' ? producer->away_for :
			"an answer from Kafka";
	if (producer->denied[0] != '\0' &&
		producer->poll_time - producer->denied_time < DENIED_LASTS_US)
		return producer->denied;
	return producer->waiting_for;
}

/* What to do about hce_producer_error(), NULL when there is no special hint. */
const char *
hce_producer_hint(const HceProducer *producer)
{
	if (producer->hint == NULL && !producer->connected)
		return producer->away_hint;
	return producer->hint;
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
	if (producer->handle != NULL && producer->connected &&
		producer->in_flight > 0 && !producer->fatal)
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
