/*-------------------------------------------------------------------------
 *
 * producer_topics.c
 *		Which topics and brokers of Kafka answer.
 *
 * A topic is produced to only after metadata showed it, and while no broker
 * answers one is asked for once a second.  The questions are put by threads
 * of their own (producer_probe.c), one at a time; this file decides which one
 * is next and what an answer means.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/producer_internal.h"

/*
 * How long a broker or a topic that does not answer as it should is left
 * alone.  A topic is asked for sooner at first: a broker that creates topics
 * by itself needs a moment, and only then it is worth a message.
 */
#define RETRY_US			USECS_PER_SEC
#define FIRST_RETRY_US		(20 * 1000)
#define REPORT_AFTER_US		(500 * 1000)

/* After so long without a message a broker may have forgotten us. */
#define FORGOTTEN_US		(60 * USECS_PER_SEC)

/* Make librdkafka's handle for a topic; errors are those of its name. */
void
hce_producer_open_topic(HceProducer *producer, HceTopic *topic)
{
	rd_kafka_topic_conf_t *conf;

	topic->state = TOPIC_UNKNOWN;
	topic->doubted = false;
	topic->next_probe = topic->denied ? GetCurrentTimestamp() + RETRY_US : 0;
	if (producer->handle == NULL)
		return;
	/* not an empty one: message.timeout.ms and others are a topic's */
	conf = rd_kafka_default_topic_conf_dup(producer->handle);
	rd_kafka_topic_conf_set_opaque(conf, topic);
	topic->handle = rd_kafka_topic_new(producer->handle, topic->name, conf);
	if (topic->handle == NULL)
		topic->state = TOPIC_INVALID;
}

/* Kafka did not permit something; "what" is for the view. */
void
hce_producer_denied(HceProducer *producer, const char *what)
{
	strlcpy(producer->denied, what, sizeof(producer->denied));
	producer->denied_time = GetCurrentTimestamp();
}

/*
 * Kafka did not let us write to a topic: leave it alone for a while.  That
 * its metadata can be had says nothing about writing, so the next message
 * has to try.
 */
void
hce_producer_deny_topic(HceProducer *producer, HceTopic *topic)
{
	char		what[sizeof(producer->denied)];

	topic->denied = true;
	(void) hce_producer_topic_permission(topic, what, sizeof(what));
	hce_producer_denied(producer, what);
	if (topic->away_since == 0)
		topic->away_since = producer->poll_time;
	strlcpy(topic->problem,
			rd_kafka_err2str(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
			sizeof(topic->problem));
	topic->state = TOPIC_UNAVAILABLE;
	topic->retry_us = RETRY_US;
	topic->next_probe = GetCurrentTimestamp() + RETRY_US;
}

/* A message was acknowledged: whatever was denied is permitted now. */
void
hce_producer_topic_granted(HceProducer *producer,
						   const rd_kafka_message_t *message)
{
	HceTopic   *topic = rd_kafka_topic_opaque(message->rkt);

	if (unlikely(topic->denied))
	{
		topic->denied = false;
		topic->away_since = 0;
	}
	producer->denied[0] = '\0';
}

/*
 * Whether a topic takes messages now.  A topic is produced to only after
 * metadata showed it: librdkafka fails messages to an unknown topic after
 * half a minute, and one that may not be written after the first try.
 */
bool
hce_producer_topic_ready(HceProducer *producer, HceTopic *topic)
{
	TimestampTz now;

	/* what was known belongs to the handle, and there is none to ask with */
	if (producer->handle == NULL || producer->fatal)
		return false;
	if (topic->state == TOPIC_READY)
		return true;
	if (topic->state == TOPIC_INVALID || producer->probe != NULL ||
		producer->taking_back != 0)
		return false;
	now = GetCurrentTimestamp();
	if (now < topic->next_probe)
		return false;
	topic->retry_us = Min(RETRY_US, Max(FIRST_RETRY_US, topic->retry_us * 2));
	topic->next_probe = now + topic->retry_us;
	producer->probed = topic;
	producer->probe = hce_producer_probe_start(producer->handle, topic->handle,
											 producer->pipe[1]);
	return false;
}

static void
set_partitions(HceProducer *producer, HceTopic *topic, int npartitions)
{
	if (topic->partitions != NULL)
		pfree(topic->partitions);
	topic->partitions = MemoryContextAllocZero(producer->context,
											   npartitions * sizeof(HcePartition));
	topic->npartitions = npartitions;
}

/*
 * The partition of a key, as Java's clients choose it; any for no key.  The
 * topic must be ready.
 */
int
hce_producer_choose_partition(HceTopic *topic, const char *key, size_t key_len)
{
	if (key == NULL)
		return (int) pg_prng_uint64_range(&pg_global_prng_state, 0,
										  topic->npartitions - 1);
	return rd_kafka_msg_partitioner_murmur2(topic->handle, key, key_len,
											topic->npartitions, NULL, NULL);
}

/*
 * Whether a partition takes a message now.
 *
 * A broker that knows nothing of a producer on a partition takes any sequence
 * number for the first.  When it refuses the first batch, because it is just
 * becoming the partition's leader, and takes the second, the first one sent
 * again is answered as a duplicate, and librdkafka reports it as delivered:
 * it is lost.  (Seen with Kafka 4.3.1 on new topics, in 24 of 300;
 * test/t/young_topics.pl.)  So the first message of a session goes alone,
 * until it is acknowledged, and so does the first after a while, since
 * brokers forget idle producers.
 */
bool
hce_producer_partition_open(HceProducer *producer, HceTopic *topic, int number)
{
	HcePartition *partition = &topic->partitions[number];

	return partition->session != producer->session || partition->confirmed;
}

/* A message was handed to librdkafka for a partition. */
void
hce_producer_partition_used(HceProducer *producer, HceTopic *topic, int number)
{
	HcePartition *partition = &topic->partitions[number];

	if (partition->session == producer->session &&
		producer->poll_time - partition->last_report < FORGOTTEN_US)
		return;
	partition->session = producer->session;
	partition->confirmed = false;
	partition->last_report = producer->poll_time;
}

/* A message was acknowledged. */
void
hce_producer_partition_confirmed(HceProducer *producer,
								 const rd_kafka_message_t *message)
{
	HceTopic   *topic = rd_kafka_topic_opaque(message->rkt);
	HcePartition *partition;

	if (message->partition < 0 || message->partition >= topic->npartitions)
		return;
	partition = &topic->partitions[message->partition];
	partition->last_report = producer->poll_time;
	partition->confirmed = partition->session == producer->session;
}

/*
 * Since when a topic has taken nothing: it is missing, may not be written, or
 * its messages fail.  0 = it takes what it gets, as far as is known.
 */
TimestampTz
hce_producer_topic_away_since(const HceTopic *topic)
{
	if (topic->away_since != 0 && topic->failing_since != 0)
		return Min(topic->away_since, topic->failing_since);
	return topic->away_since + topic->failing_since;
}

/*
 * Since when messages of a topic are in flight without any of them having
 * been acknowledged; 0 = none is in flight.  Time when the brokers as a whole
 * were away is not the topic's and does not count.
 */
TimestampTz
hce_producer_topic_silent_since(const HceProducer *producer, const HceTopic *topic)
{
	return topic->in_flight > 0 ? Max(topic->silent_since, producer->trouble) : 0;
}

/* Whether Kafka will never have a topic of this name. */
bool
hce_producer_topic_invalid(const HceTopic *topic)
{
	return topic->state == TOPIC_INVALID;
}

/* Whether Kafka did not let us write to a topic when it was last tried. */
bool
hce_producer_topic_denied(const HceTopic *topic)
{
	return topic->denied;
}

/* If so: what has to be granted, for the view.  Returns whether it is so. */
bool
hce_producer_topic_permission(const HceTopic *topic, char *to, size_t size)
{
	if (topic->denied)
		snprintf(to, size,
				 "permission to write topic \"%s\"; grant WRITE and DESCRIBE on it in Kafka",
				 topic->name);
	return topic->denied;
}

/* Give a topic another chance: forget since when it has taken nothing. */
void
hce_producer_topic_retry(HceTopic *topic)
{
	topic->away_since = topic->failing_since = 0;
}

/* Kafka's last complaint about a topic. */
const char *
hce_producer_topic_problem(const HceTopic *topic)
{
	return topic->problem;
}

static void
wait_for_topic(HceProducer *producer, HceTopic *topic,
			   const char *before, const char *after)
{
	producer->waited = topic;
	snprintf(producer->waiting_for, sizeof(producer->waiting_for),
			 "%s\"%s\"%s", before, topic->name, after);
}

/* A topic's metadata has come; "error" is Kafka's answer about the topic. */
static void
learn_topic(HceProducer *producer, HceTopic *topic, rd_kafka_resp_err_t error,
			int npartitions)
{
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR && npartitions > 0)
	{
		if (topic->npartitions != npartitions)
			set_partitions(producer, topic, npartitions);
		topic->state = TOPIC_READY;
		topic->retry_us = 0;
		/* who may see a topic may not write it for that */
		if (!topic->denied)
			topic->away_since = 0;
		if (producer->waited == topic)
			producer->waiting_for[0] = '\0';
		return;
	}
	if (error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
	{
		topic->state = TOPIC_INVALID;
		return;
	}
	topic->state = TOPIC_UNAVAILABLE;
	if (topic->away_since == 0)
		topic->away_since = producer->poll_time;
	strlcpy(topic->problem, rd_kafka_err2str(error), sizeof(topic->problem));
	if (topic->retry_us < REPORT_AFTER_US)
		return;
	switch (error)
	{
		case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
			wait_for_topic(producer, topic, "a leader for topic ", "");
			break;
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
			wait_for_topic(producer, topic, "permission to see topic ",
						   "; grant WRITE and DESCRIBE on it in Kafka");
			break;
		default:
			wait_for_topic(producer, topic, "topic ", ", which does not exist; see hcevents.create_topics()");
			break;
	}
	snprintf(producer->error, sizeof(producer->error), "topic \"%s\": %s",
			 topic->name, rd_kafka_err2str(error));
}

/* Take in the answer of a metadata request that has finished. */
void
hce_producer_finish_probe(HceProducer *producer)
{
	rd_kafka_resp_err_t topic_error;
	rd_kafka_resp_err_t error;
	int			npartitions;

	if (producer->probe == NULL ||
		!hce_producer_probe_done(producer->probe, &error, &topic_error,
								 &npartitions))
		return;
	producer->probe = NULL;
	producer->connected = error == RD_KAFKA_RESP_ERR_NO_ERROR;
	producer->doubt = false;
	if (producer->connected)
	{
		producer->away_for[0] = '\0';
		producer->away_hint = NULL;
		producer->answered = producer->poll_time;
	}
	else
		producer->trouble = producer->poll_time;
	if (!producer->connected)
	{
		producer->next_probe = GetCurrentTimestamp() + RETRY_US;
		if (producer->error[0] == '\0')
			strlcpy(producer->error, rd_kafka_err2str(error),
					sizeof(producer->error));
	}
	else if (producer->probed != NULL)
		learn_topic(producer, producer->probed, topic_error, npartitions);
}

/*
 * Whether a broker has answered a question since a time; if not, and it is
 * over, one is asked soon.
 */
bool
hce_producer_answered(HceProducer *producer, TimestampTz since)
{
	if (producer->answered < since)
		producer->doubt = true;
	return producer->answered >= since;
}

/* While no broker is known to answer, ask once a second. */
void
hce_producer_probe_brokers(HceProducer *producer)
{
	TimestampTz now;

	if ((producer->connected && !producer->doubt) || producer->probe != NULL ||
		producer->fatal || producer->taking_back != 0)
		return;
	now = GetCurrentTimestamp();
	if (now < producer->next_probe)
		return;
	producer->next_probe = now + RETRY_US;
	producer->probed = NULL;
	producer->probe = hce_producer_probe_start(producer->handle, NULL,
											 producer->pipe[1]);
}
