/*-------------------------------------------------------------------------
 *
 * producer_headers.c
 *		The headers of messages, used again.
 *
 * To librdkafka a message's seven headers are nine small allocations, which
 * cost the relay more than all else it does for an event.  So a message that
 * Kafka has acknowledged gives its list back, and the next one of its topic
 * takes it: names, and with them most values, are the same, and the others have
 * the same length, so that new bytes go where the old ones were.  Where they do
 * not fit, and for a message that has more headers, a list is made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/producer_internal.h"

/* Lists kept, of all topics: 0.7 kB each. */
#define MAX_SPARE		25000

/* A topic's go when none was given back for so long; looked at so often. */
#define SPARE_LASTS_US	(60 * USECS_PER_SEC)
#define SPARE_LOOK_US	USECS_PER_SEC

/*
 * Write a message's headers over those of a list, which have the same names;
 * false if one has another length, and then the list is of no use.  librdkafka
 * shows a value as it keeps it, in memory of the list's own, which nobody else
 * reads any more.
 */
static bool
write_over(rd_kafka_headers_t *list, const HceMessage *message)
{
	for (int i = 0; i < message->nheaders; i++)
	{
		const HceHeader *header = &message->headers[i];
		const char *name;
		const void *value;
		size_t		len;

		if (rd_kafka_header_get_all(list, i, &name, &value, &len) !=
			RD_KAFKA_RESP_ERR_NO_ERROR ||
			len != header->value_len || value == NULL || header->value == NULL)
			return false;
		memcpy(unconstify(void *, value), header->value, len);
	}
	return true;
}

/* A message's headers, the caller's; NULL for none. */
rd_kafka_headers_t *
hce_producer_make_headers(HceProducer *producer, const HceMessage *message)
{
	HceTopic   *topic = message->topic;
	rd_kafka_headers_t *list;

	if (message->nheaders == 0)
		return NULL;
	if (topic->nspare > 0 && message->nheaders == producer->nheaders)
	{
		list = topic->spare[--topic->nspare];
		producer->nspare--;
		if (write_over(list, message))
			return list;
		rd_kafka_headers_destroy(list);
	}
	list = rd_kafka_headers_new(message->nheaders);
	for (int i = 0; i < message->nheaders; i++)
		rd_kafka_header_add(list, message->headers[i].name, -1,
							message->headers[i].value,
							message->headers[i].value_len);
	return list;
}

/*
 * Keep the headers of a message that Kafka has acknowledged; not those that
 * publish() was given some of, which may be long.
 */
void
hce_producer_spare_headers(HceProducer *producer, HceTopic *topic,
						   const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *list;

	if (producer->nspare >= MAX_SPARE ||
		rd_kafka_message_detach_headers(unconstify(rd_kafka_message_t *, message),
										&list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	if (rd_kafka_header_cnt(list) != (size_t) producer->nheaders)
	{
		rd_kafka_headers_destroy(list);
		return;
	}
	if (topic->nspare == topic->spare_capacity)
	{
		topic->spare_capacity = Max(64, topic->spare_capacity * 2);
		topic->spare = topic->spare == NULL ?
			MemoryContextAlloc(producer->context,
							   topic->spare_capacity * sizeof(*topic->spare)) :
			repalloc(topic->spare, topic->spare_capacity * sizeof(*topic->spare));
	}
	topic->spare[topic->nspare++] = list;
	producer->nspare++;
	topic->spared = producer->poll_time;
}

/* Let go of the lists of a topic. */
static void
drop_spare(HceProducer *producer, HceTopic *topic)
{
	producer->nspare -= topic->nspare;
	while (topic->nspare > 0)
		rd_kafka_headers_destroy(topic->spare[--topic->nspare]);
	if (topic->spare != NULL)
		pfree(topic->spare);
	topic->spare = NULL;
	topic->spare_capacity = 0;
}

/* Let go of the lists of topics that were of no use for a while. */
void
hce_producer_drop_spare_headers(HceProducer *producer)
{
	if (producer->nspare == 0 ||
		producer->poll_time < producer->spare_looked + SPARE_LOOK_US)
		return;
	producer->spare_looked = producer->poll_time;
	for (HceTopic *topic = producer->topics; topic != NULL; topic = topic->next)
	{
		if (topic->nspare > 0 &&
			producer->poll_time >= topic->spared + SPARE_LASTS_US)
			drop_spare(producer, topic);
	}
}
