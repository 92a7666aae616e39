/*-------------------------------------------------------------------------
 *
 * producer_group.c
 *		Messages on their way to librdkafka.
 *
 * librdkafka's thread wakes up at the first message that it is given and makes
 * a request of those that are there by then; handed over one by one, as the
 * relay makes them, that is a request for few messages, and while requests are
 * under way the thread of older versions polls for each next one.  So messages
 * are gathered here while a turn makes them and handed over in one go, which
 * costs both threads less.
 *
 * A message that is gathered counts as in flight.  One that librdkafka then
 * does not take is kept, with all that follow it, as if Kafka had sent it back
 * (producer_failed.c): they are sent again in their order.
 *
 * The group is empty between turns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "relay/producer_internal.h"

/* What a group may hold: messages, and bytes of keys and values. */
#define MAX_GROUP			4096
#define GROUP_BYTES			(1024 * 1024)

/* Memory for one large event is given back. */
#define KEPT_GROUP_BYTES	(8 * GROUP_BYTES)

/* librdkafka has not taken a message of the group. */
static void
not_taken(HceProducer *producer, GroupedMessage *grouped,
		  rd_kafka_resp_err_t error)
{
	const HceMessage *message = &grouped->message;

	hce_producer_remove_in_flight(producer, message->topic,
								  message->value_len + message->key_len);
	hce_producer_keep_unsent(producer, message, grouped->headers, error);
}

/*
 * Hand what was gathered over to librdkafka.  To be called when a turn has made
 * its messages.  Returns whether there were any.
 */
bool
hce_producer_hand_over(HceProducer *producer)
{
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
	bool		any = producer->ngroup > 0;
	int			taken;

	for (taken = 0; taken < producer->ngroup; taken++)
	{
		GroupedMessage *grouped = &producer->group[taken];

		error = hce_producer_produce(producer, &grouped->message,
									 grouped->partition, grouped->headers);
		if (unlikely(error != RD_KAFKA_RESP_ERR_NO_ERROR))
			break;
	}
	if (unlikely(taken < producer->ngroup))
	{
		if (!hce_producer_never_taken(error))
			hce_producer_not_taken(producer, producer->group[taken].message.topic,
								   error);
		not_taken(producer, &producer->group[taken], error);
		while (++taken < producer->ngroup)
			not_taken(producer, &producer->group[taken],
					  RD_KAFKA_RESP_ERR__RETRY);
	}
	producer->ngroup = 0;
	producer->group_used = 0;
	if (unlikely(producer->group_size > KEPT_GROUP_BYTES))
	{
		pfree(producer->group_bytes);
		producer->group_bytes = NULL;
		producer->group_size = 0;
	}
	return any;
}

/*
 * Memory for the key and the value of the next message: "size" bytes, which
 * hce_producer_send() takes as they are.  Valid until the next call of it or
 * of this.
 */
char *
hce_producer_space(HceProducer *producer, size_t size)
{
	if (producer->ngroup == MAX_GROUP ||
		producer->group_used + size > producer->group_size)
		(void) hce_producer_hand_over(producer);
	if (producer->group_size < size || producer->group_bytes == NULL)
	{
		if (producer->group_bytes != NULL)
			pfree(producer->group_bytes);
		producer->group_size = Max(size, GROUP_BYTES);
		producer->group_bytes = MemoryContextAllocHuge(producer->context,
													   producer->group_size);
	}
	if (producer->group == NULL)
		producer->group = MemoryContextAlloc(producer->context,
											 MAX_GROUP * sizeof(GroupedMessage));
	return producer->group_bytes + producer->group_used;
}

/* Whether a message can be sent now; then also to which partition. */
static bool
may_send(HceProducer *producer, const HceMessage *message, int *partition)
{
	if (producer->handle == NULL || producer->nfailed > 0 || producer->fatal ||
		producer->alone || producer->taking_back != 0 ||
		!hce_producer_has_room(producer, message->value_len + message->key_len) ||
		!hce_producer_topic_ready(producer, message->topic))
		return false;
	*partition = hce_producer_choose_partition(message->topic, message->key,
											   message->key_len);
	return hce_producer_partition_open(producer, message->topic, *partition);
}

/*
 * Send an event, with key and value in memory of hce_producer_space(): the
 * value at its start, the key behind it.
 *
 * HCE_SENT: its fate will be told by a callback.  HCE_SEND_LATER: nothing was
 * kept; try again after a call of hce_producer_poll().  Never waits.
 */
HceSend
hce_producer_send(HceProducer *producer, const HceMessage *message)
{
	GroupedMessage *grouped;
	int			partition;

	if (message->topic->state == TOPIC_INVALID)
		return HCE_SEND_NEVER;
	if (!may_send(producer, message, &partition))
		return HCE_SEND_LATER;

	grouped = &producer->group[producer->ngroup++];
	grouped->message = *message;
	grouped->partition = partition;
	grouped->headers = hce_producer_make_headers(producer, message);
	producer->group_used += message->value_len + message->key_len;
	hce_producer_add_in_flight(producer, message->topic, partition,
							   message->value_len + message->key_len);
	return HCE_SENT;
}
