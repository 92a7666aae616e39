/*-------------------------------------------------------------------------
 *
 * partitions.c
 *		How far hcevents-consume has come in each partition.
 *
 * Plain bookkeeping: what was printed, what was committed, where --until-end
 * stops.  It talks to no broker; hcevents_consume.c feeds it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "consume.h"

static bool
is_partition(const Partition *partition, const char *topic, int32_t id)
{
	return partition->id == id && strcmp(partition->topic, topic) == 0;
}

/*
 * Find a partition, or add it.  The pointer is good until the next call.
 */
Partition *
partitions_get(Partitions *partitions, const char *topic, int32_t id)
{
	Partition  *partition;

	if (partitions->last_found < partitions->count &&
		is_partition(&partitions->items[partitions->last_found], topic, id))
		return &partitions->items[partitions->last_found];

	for (int i = 0; i < partitions->count; i++)
	{
		if (is_partition(&partitions->items[i], topic, id))
		{
			partitions->last_found = i;
			return &partitions->items[i];
		}
	}

	partitions->items = consume_alloc(partitions->items,
									  sizeof(Partition) *
									  (size_t) (partitions->count + 1));
	partition = &partitions->items[partitions->count++];
	partition->topic = consume_alloc(NULL, strlen(topic) + 1);
	strcpy(partition->topic, topic);
	partition->id = id;
	partition->next = -1;
	partition->committed = -1;
	partition->end = 0;
	return partition;
}

bool
partitions_topic_known(const Partitions *partitions, const char *topic)
{
	for (int i = 0; i < partitions->count; i++)
	{
		if (strcmp(partitions->items[i].topic, topic) == 0)
			return true;
	}
	return false;
}

/*
 * Has every partition been read up to its end?  An empty one always has.
 */
bool
partitions_at_end(const Partitions *partitions)
{
	for (int i = 0; i < partitions->count; i++)
	{
		if (partitions->items[i].next < partitions->items[i].end)
			return false;
	}
	return true;
}

/*
 * The offsets that Kafka has not been told, or NULL when there are none.  The
 * caller destroys the list.
 */
rd_kafka_topic_partition_list_t *
partitions_uncommitted(const Partitions *partitions)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	for (int i = 0; i < partitions->count; i++)
	{
		const Partition *partition = &partitions->items[i];

		if (partition->next <= partition->committed)
			continue;
		if (list == NULL)
			list = rd_kafka_topic_partition_list_new(partitions->count);
		rd_kafka_topic_partition_list_add(list, partition->topic,
										  partition->id)->offset = partition->next;
	}
	return list;
}

void
partitions_mark_committed(Partitions *partitions)
{
	for (int i = 0; i < partitions->count; i++)
		partitions->items[i].committed = partitions->items[i].next;
}

/*
 * Another member of the group may own the partitions from here on, and come
 * further than we did: never commit our older offsets over its newer ones.
 */
void
partitions_forget_progress(Partitions *partitions)
{
	for (int i = 0; i < partitions->count; i++)
	{
		partitions->items[i].next = -1;
		partitions->items[i].committed = -1;
	}
}
