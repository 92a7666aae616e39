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

/* Make librdkafka's handle for a topic; errors are those of its name. */
void
hce_producer_open_topic(HceProducer *producer, HceTopic *topic)
{
	topic->handle = rd_kafka_topic_new(producer->handle, topic->name, NULL);
	topic->state = topic->handle != NULL ? TOPIC_UNKNOWN : TOPIC_INVALID;
	topic->next_probe = 0;
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

	if (topic->state == TOPIC_READY)
		return true;
	if (topic->state == TOPIC_INVALID || producer->probe != NULL)
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
wait_for_topic(HceProducer *producer, const HceTopic *topic,
			   const char *before, const char *after)
{
	snprintf(producer->waiting_for, sizeof(producer->waiting_for),
			 "%s\"%s\"%s", before, topic->name, after);
}

/* A topic's metadata has come; "error" is Kafka's answer about the topic. */
static void
learn_topic(HceProducer *producer, HceTopic *topic, rd_kafka_resp_err_t error)
{
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		topic->state = TOPIC_READY;
		topic->retry_us = 0;
		producer->waiting_for[0] = '\0';
		return;
	}
	if (error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
	{
		topic->state = TOPIC_INVALID;
		return;
	}
	topic->state = TOPIC_UNAVAILABLE;
	if (topic->retry_us < REPORT_AFTER_US)
		return;
	switch (error)
	{
		case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
			wait_for_topic(producer, topic, "a leader for topic ", "");
			break;
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
			wait_for_topic(producer, topic, "permission to write topic ", "; grant it in Kafka");
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

	if (producer->probe == NULL ||
		!hce_producer_probe_done(producer->probe, &error, &topic_error))
		return;
	producer->probe = NULL;
	producer->connected = error == RD_KAFKA_RESP_ERR_NO_ERROR;
	producer->doubt = false;
	if (!producer->connected)
	{
		producer->next_probe = GetCurrentTimestamp() + RETRY_US;
		if (producer->error[0] == '\0')
			strlcpy(producer->error, rd_kafka_err2str(error),
					sizeof(producer->error));
	}
	else if (producer->probed != NULL)
		learn_topic(producer, producer->probed, topic_error);
}

/* While no broker is known to answer, ask once a second. */
void
hce_producer_probe_brokers(HceProducer *producer)
{
	TimestampTz now;

	if ((producer->connected && !producer->doubt) || producer->probe != NULL ||
		producer->fatal)
		return;
	now = GetCurrentTimestamp();
	if (now < producer->next_probe)
		return;
	producer->next_probe = now + RETRY_US;
	producer->probed = NULL;
	producer->probe = hce_producer_probe_start(producer->handle, NULL,
											 producer->pipe[1]);
}
