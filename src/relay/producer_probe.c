/*-------------------------------------------------------------------------
 *
 * producer_probe.c
 *		Calls of librdkafka that may wait, in a thread of their own.
 *
 * Asking for metadata waits for an answer, and destroying a handle joins
 * threads that may sit in name resolution; neither may hold up the relay,
 * which has interrupts to serve.  The threads here block all signals and call
 * librdkafka and the C library only, nothing of PostgreSQL; their memory
 * comes from malloc.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "relay/producer_probe.h"

#define PROBE_TIMEOUT_MS	5000

struct HceProducerProbe
{
	rd_kafka_t *handle;
	rd_kafka_topic_t *topic;	/* NULL: any broker's answer will do */
	int			wake_fd;
	rd_kafka_resp_err_t error;
	rd_kafka_resp_err_t topic_error;
	int			npartitions;
	int			done;			/* set last, by __atomic */
};

/* Runs in the probe's thread. */
static void *
probe_main(void *arg)
{
	HceProducerProbe *probe = arg;
	const struct rd_kafka_metadata *metadata;

	probe->error = rd_kafka_metadata(probe->handle, 0, probe->topic, &metadata,
									 PROBE_TIMEOUT_MS);
	if (probe->error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (probe->topic != NULL)
			probe->topic_error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		if (probe->topic != NULL && metadata->topic_cnt == 1)
		{
			probe->topic_error = metadata->topics[0].err;
			probe->npartitions = metadata->topics[0].partition_cnt;
		}
		rd_kafka_metadata_destroy(metadata);
	}
	__atomic_store_n(&probe->done, 1, __ATOMIC_RELEASE);
	(void) !write(probe->wake_fd, "p", 1);
	return NULL;
}

/* Runs in a thread of its own. */
static void *
destroy_main(void *handle)
{
	rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	return NULL;
}

static bool
start_thread(void *(*main) (void *), void *arg)
{
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	int			failure;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failure = pthread_create(&thread, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure == 0)
		pthread_detach(thread);
	return failure == 0;
}

/*
 * Ask Kafka for the metadata of a topic, or of the cluster (NULL).  When the
 * answer is there a byte is written to "wake_fd".  Returns NULL when no
 * thread can be had; the caller tries again later.  The handle and the topic
 * must live until the probe is done.
 */
HceProducerProbe *
hce_producer_probe_start(rd_kafka_t *handle, rd_kafka_topic_t *topic, int wake_fd)
{
	HceProducerProbe *probe = calloc(1, sizeof(HceProducerProbe));

	if (probe == NULL)
		return NULL;
	probe->handle = handle;
	probe->topic = topic;
	probe->wake_fd = wake_fd;
	if (!start_thread(probe_main, probe))
	{
		free(probe);
		return NULL;
	}
	return probe;
}

/*
 * Whether the answer is there; if so the probe is freed.  "*error" is that of
 * the request, "*topic_error" what Kafka says of the topic, "*npartitions"
 * how many partitions it has.
 */
bool
hce_producer_probe_done(HceProducerProbe *probe, rd_kafka_resp_err_t *error,
					  rd_kafka_resp_err_t *topic_error, int *npartitions)
{
	if (!__atomic_load_n(&probe->done, __ATOMIC_ACQUIRE))
		return false;
	*error = probe->error;
	*topic_error = probe->topic_error;
	*npartitions = probe->npartitions;
	free(probe);
	return true;
}

/*
 * Destroy a handle in the background.  Without a thread for it the handle is
 * leaked: better than waiting.
 */
void
hce_producer_probe_destroy_handle(rd_kafka_t *handle)
{
	(void) start_thread(destroy_main, handle);
}
