/*-------------------------------------------------------------------------
 *
 * consume.h
 *		What the files of hcevents-consume share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_CONSUME_H
#define HCE_CONSUME_H

#include <stdbool.h>
#include <stdint.h>
#include <librdkafka/rdkafka.h>

/* Exit statuses; --help documents them. */
#define EXIT_USAGE		2
#define EXIT_TIMED_OUT	3

#define METADATA_MS		5000	/* one question to the brokers */

/* What the command line and the environment ask for. */
typedef struct ConsumeOptions
{
	const char *bootstrap_servers;
	const char *topic_prefix;
	const char *group;			/* NULL: no group, nothing is committed */
	bool		from_beginning;
	bool		until_end;
	int64_t		count;			/* stop after so many events; 0: no limit */
	int			timeout;		/* seconds; 0: none */
	char	  **topics;
	int			ntopics;
	char	  **properties;		/* name=value, more librdkafka options */
	int			nproperties;
} ConsumeOptions;

/* One partition of a topic that is consumed. */
typedef struct Partition
{
	char	   *topic;
	int32_t		id;
	int64_t		next;			/* the offset after the last printed event, or
								 * -1 when none was printed */
	int64_t		committed;		/* what Kafka was told, or -1 */
	int64_t		end;			/* --until-end: reached when next gets here */
} Partition;

typedef struct Partitions
{
	Partition  *items;
	int			count;
	int			last_found;		/* events come in runs of one partition */
} Partitions;

typedef struct Consumer
{
	ConsumeOptions options;
	rd_kafka_t *rk;
	Partitions	partitions;
	char	  **old_topics;		/* those that existed when we started */
	int			nold_topics;
	bool		started;		/* topics and ends at the start are known */
	bool		complained;		/* about the brokers, since the last event */
	int64_t		printed;
	double		started_at;
	double		next_discovery;
	double		next_commit;
} Consumer;

/* hcevents_consume.c */
extern double consume_now(void);

/* consume_topics.c */
extern void consume_discover(Consumer *consumer);
extern void consume_start_young_topics(Consumer *consumer,
									   rd_kafka_topic_partition_list_t *assigned);
extern void consume_learn_from_group(Consumer *consumer);

/* consume_options.c */
extern void consume_options_parse(ConsumeOptions *options, int argc,
								  char **argv);
extern bool consume_topic_is_named(const ConsumeOptions *options,
								   const char *topic);
extern void *consume_alloc(void *old, size_t size);

/* partitions.c */
extern Partition *partitions_get(Partitions *partitions, const char *topic,
								 int32_t id);
extern bool partitions_topic_known(const Partitions *partitions,
								   const char *topic);
extern bool partitions_at_end(const Partitions *partitions);
extern rd_kafka_topic_partition_list_t *partitions_uncommitted(const Partitions *partitions);
extern void partitions_mark_committed(Partitions *partitions);
extern void partitions_forget_progress(Partitions *partitions);

#endif							/* HCE_CONSUME_H */
