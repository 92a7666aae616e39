/*-------------------------------------------------------------------------
 *
 * kafka_describe.c
 *		What Kafka says about topics.
 *
 * Runs in the admin worker only.  rd_kafka_metadata() exists only as a
 * blocking call, so it runs in a thread of its own, which calls nothing of
 * PostgreSQL and stores plain numbers; the main thread serves interrupts
 * meanwhile, and puts the numbers into words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>

#include "admin/kafka_client.h"

/* What a broker says about one topic. */
typedef struct TopicMetadata
{
	rd_kafka_resp_err_t error;
	rd_kafka_resp_err_t partition_error;	/* of the first that has one */
	int			bad_partition;
	int			partitions;
	int			replication_factor;
} TopicMetadata;

/*
 * The work of the metadata thread.  The main thread fills the upper half
 * before the thread starts and reads the lower one once "done" is set.
 */
typedef struct MetadataJob
{
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	rd_kafka_topic_t **handles;
	int			ntopics;
	int			timeout_ms;

	rd_kafka_resp_err_t error;	/* of the request as a whole */
	int			brokers;
	bool		has_controller; /* one of the brokers is */
	TopicMetadata *topics;
	pg_atomic_uint32 done;
} MetadataJob;

/* Metadata thread: take over what is asked for from one answer. */
static void
store_metadata(const rd_kafka_metadata_t *metadata, TopicMetadata *result)
{
	const rd_kafka_metadata_topic_t *topic;

	if (metadata->topic_cnt < 1)
	{
		result->error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		return;
	}
	topic = &metadata->topics[0];
	result->error = topic->err;
	result->partitions = topic->partition_cnt;
	for (int i = 0; i < topic->partition_cnt; i++)
	{
		const rd_kafka_metadata_partition_t *partition = &topic->partitions[i];

		if (partition->replica_cnt > result->replication_factor)
			result->replication_factor = partition->replica_cnt;
		if (partition->err && !result->partition_error)
		{
			result->partition_error = partition->err;
			result->bad_partition = partition->id;
		}
	}
}

/* Metadata thread: the same for the brokers. */
static void
store_brokers(const rd_kafka_metadata_t *metadata, MetadataJob *job)
{
	int			controller = rd_kafka_controllerid(job->client, 0);

	job->brokers = metadata->broker_cnt;
	job->has_controller = false;
	for (int i = 0; i < metadata->broker_cnt; i++)
		job->has_controller |= metadata->brokers[i].id == controller;
}

/*
 * Metadata thread: one request for each topic, or one for all topics when
 * none is asked for, which tells whether brokers answer.
 *
 * Not all topics in one request: that leaves out what we may not see, where
 * a request by name says so, and a large cluster has thousands.
 */
static void *
fetch_metadata(void *arg)
{
	MetadataJob *job = arg;
	bool		all = job->ntopics == 0;

	for (int i = 0; i < Max(job->ntopics, 1); i++)
	{
		const rd_kafka_metadata_t *metadata;

		job->error = rd_kafka_metadata(job->client, all,
									   all ? NULL : job->handles[i],
									   &metadata, job->timeout_ms);
		if (job->error)
			break;
		store_brokers(metadata, job);
		if (!all)
			store_metadata(metadata, &job->topics[i]);
		rd_kafka_metadata_destroy(metadata);
	}

	pg_write_barrier();
	pg_atomic_write_u32(&job->done, 1);
	rd_kafka_queue_yield(job->queue);
	return NULL;
}

/* Prepare the thread's work; NULL if librdkafka takes a topic for invalid. */
static MetadataJob *
create_job(const HceKafkaRun *run)
{
	MetadataJob *job = palloc0(sizeof(MetadataJob));
	int			ntopics = run->request->ntopics;

	job->client = run->client;
	job->queue = run->queue;
	job->ntopics = ntopics;
	job->timeout_ms = hce_kafka_milliseconds_left(run);
	job->handles = palloc0((ntopics + 1) * sizeof(rd_kafka_topic_t *));
	job->topics = palloc0((ntopics + 1) * sizeof(TopicMetadata));
	pg_atomic_init_u32(&job->done, 0);
	for (int i = 0; i < ntopics; i++)
	{
		job->handles[i] = rd_kafka_topic_new(run->client, run->topics[i],
											 NULL);
		if (job->handles[i] == NULL)
			return NULL;
	}
	return job;
}

/* Start the metadata thread, with all signals blocked. */
static bool
start_thread(MetadataJob *job)
{
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	int			error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, fetch_metadata, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

/* Put the numbers of one topic into words. */
static void
answer_topic(const TopicMetadata *metadata, HceAdminTopic *topic)
{
	topic->exists = !metadata->error ||
		metadata->error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	topic->partitions = metadata->partitions;
	topic->replication_factor = metadata->replication_factor;

	if (metadata->error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		return;					/* that it does not exist says it all */
	if (metadata->error)
		hce_kafka_copy_message(topic->message,
							   rd_kafka_err2str(metadata->error),
							   sizeof(topic->message));
	else if (metadata->partition_error)
		snprintf(topic->message, sizeof(topic->message), "partition %d: %s",
				 metadata->bad_partition,
				 rd_kafka_err2str(metadata->partition_error));
}

/*
 * Ask which of the topics exist, with how many partitions and replicas, and
 * how many brokers there are.
 */
void
hce_kafka_describe_topics(HceKafkaRun *run, HceAdminAnswer *answer)
{
	MetadataJob *job = create_job(run);

	if (job == NULL || !start_thread(job))
	{
		hce_kafka_answer_failure(run, RD_KAFKA_RESP_ERR__FAIL, NULL, answer);
		return;
	}
	while (pg_atomic_read_u32(&job->done) == 0)
	{
		(void) hce_kafka_poll(run, RD_KAFKA_EVENT_NONE);
		if (pg_atomic_read_u32(&job->done) == 0 && hce_kafka_is_hopeless(run))
		{
			/* The thread goes on with the job, which is never freed. */
			hce_kafka_answer_failure(run, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL,
									 answer);
			return;
		}
	}
	pg_read_barrier();

	if (job->error)
	{
		hce_kafka_answer_failure(run, job->error, NULL, answer);
		return;
	}
	answer->brokers = job->brokers;
	run->has_controller = job->has_controller;
	for (int i = 0; i < job->ntopics; i++)
		answer_topic(&job->topics[i], &answer->topics[i]);
}

