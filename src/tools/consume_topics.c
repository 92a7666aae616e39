/*-------------------------------------------------------------------------
 *
 * consume_topics.c
 *		Which of the topics of hcevents-consume exist, and where each begins.
 *
 * A topic that was there when the program started begins where the options
 * say; one that came later begins at its first event.  Everything here runs
 * in the main thread.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "consume.h"

#define DISCOVER_FAST		1.0		/* seconds, while a topic is missing */
#define DISCOVER_SLOW		30.0	/* seconds, to see added partitions */

static bool
existed_at_start(const Consumer *consumer, const char *topic)
{
	for (int i = 0; i < consumer->nold_topics; i++)
	{
		if (strcmp(consumer->old_topics[i], topic) == 0)
			return true;
	}
	return false;
}

static void
remember_old_topic(Consumer *consumer, const char *topic)
{
	char	   *copy = consume_alloc(NULL, strlen(topic) + 1);

	strcpy(copy, topic);
	consumer->old_topics = consume_alloc(consumer->old_topics, sizeof(char *) *
										 (size_t) (consumer->nold_topics + 1));
	consumer->old_topics[consumer->nold_topics++] = copy;
}

/*
 * Give assigned partitions of a topic that is younger than this program, and
 * that the group has no offset of, their beginning: "latest" would skip the
 * events that were there before the group noticed the topic.
 *
 * Runs in the main thread, inside rd_kafka_consumer_poll().
 */
void
consume_start_young_topics(Consumer *consumer,
						   rd_kafka_topic_partition_list_t *assigned)
{
	rd_kafka_topic_partition_list_t *known;

	known = rd_kafka_topic_partition_list_copy(assigned);
	if (rd_kafka_committed(consumer->rk, known, METADATA_MS) ==
		RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		for (int i = 0; i < assigned->cnt; i++)
		{
			if (known->elems[i].offset == RD_KAFKA_OFFSET_INVALID &&
				!existed_at_start(consumer, known->elems[i].topic))
				assigned->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
		}
	}
	rd_kafka_topic_partition_list_destroy(known);
}

/*
 * Note one partition that metadata shows for the first time.  Returns false
 * when the broker could not tell its end; then it is asked again later.
 */
static bool
add_partition(Consumer *consumer, const char *topic, int32_t id)
{
	int64_t		low = 0,
				high = 0;

	if (consumer->options.until_end && !consumer->started &&
		rd_kafka_query_watermark_offsets(consumer->rk, topic, id, &low, &high,
										 METADATA_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	partitions_get(&consumer->partitions, topic, id)->end =
		high > low ? high : 0;
	return true;
}

/*
 * Without a group: read every known partition, those that are new from where
 * the options say, the others from where they are.
 */
static void
assign_everything(Consumer *consumer)
{
	const Partitions *partitions = &consumer->partitions;
	rd_kafka_topic_partition_list_t *list;

	list = rd_kafka_topic_partition_list_new(partitions->count);
	for (int i = 0; i < partitions->count; i++)
	{
		const Partition *partition = &partitions->items[i];
		rd_kafka_topic_partition_t *element;

		element = rd_kafka_topic_partition_list_add(list, partition->topic,
													partition->id);
		if (partition->next >= 0)
			element->offset = partition->next;
		else if (consumer->options.from_beginning ||
				 !existed_at_start(consumer, partition->topic))
			element->offset = RD_KAFKA_OFFSET_BEGINNING;
		else
			element->offset = RD_KAFKA_OFFSET_END;
	}
	rd_kafka_assign(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
}

/*
 * Look which of our topics and partitions exist.
 *
 * The first look that succeeds decides what existed at the start and where
 * --until-end stops; before it nothing is consumed.
 */
void
consume_discover(Consumer *consumer)
{
	const struct rd_kafka_metadata *metadata;
	int			known_before = consumer->partitions.count;
	int			topics_found = 0;
	bool		complete = true;

	consumer->next_discovery = consume_now() + DISCOVER_FAST;
	if (rd_kafka_metadata(consumer->rk, 1, NULL, &metadata, METADATA_MS) !=
		RD_KAFKA_RESP_ERR_NO_ERROR)
		return;

	for (int t = 0; t < metadata->topic_cnt; t++)
	{
		const rd_kafka_metadata_topic_t *topic = &metadata->topics[t];

		if (!consume_topic_is_named(&consumer->options, topic->topic) ||
			topic->partition_cnt == 0)
			continue;
		topics_found++;
		for (int p = 0; p < topic->partition_cnt; p++)
			complete &= add_partition(consumer, topic->topic,
									  topic->partitions[p].id);
		if (!consumer->started && !existed_at_start(consumer, topic->topic))
			remember_old_topic(consumer, topic->topic);
	}
	rd_kafka_metadata_destroy(metadata);

	if (!complete)
		return;
	if (topics_found == consumer->options.ntopics)
		consumer->next_discovery = consume_now() + DISCOVER_SLOW;
	if (consumer->options.group == NULL &&
		consumer->partitions.count > known_before)
		assign_everything(consumer);
	consumer->started = true;
}

/*
 * In a group other members may have read what is missing here: a partition
 * whose committed offset has reached the end is done as well.
 */
void
consume_learn_from_group(Consumer *consumer)
{
	Partitions *partitions = &consumer->partitions;
	rd_kafka_topic_partition_list_t *list;

	list = rd_kafka_topic_partition_list_new(partitions->count);
	for (int i = 0; i < partitions->count; i++)
		rd_kafka_topic_partition_list_add(list, partitions->items[i].topic,
										  partitions->items[i].id);
	if (rd_kafka_committed(consumer->rk, list, METADATA_MS) ==
		RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		for (int i = 0; i < list->cnt; i++)
		{
			Partition  *partition = partitions_get(partitions,
												   list->elems[i].topic,
												   list->elems[i].partition);

			if (list->elems[i].offset >= partition->end)
				partition->end = 0;
		}
	}
	rd_kafka_topic_partition_list_destroy(list);
}
