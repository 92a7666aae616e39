/*-------------------------------------------------------------------------
 *
 * producer_handle.c
 *		The producer's handle: how it is made, what its errors mean, its end.
 *
 * A handle is made of the settings and their files.  While these cannot be
 * used there is none, the relay waits, and it is tried again: an expired
 * certificate or a mistyped line must not end the relay, which has more to do
 * than to deliver.  After a fatal error the handle is replaced.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/producer_config.h"
#include "relay/producer_internal.h"
#include "settings.h"

/*
 * librdkafka tells of the same error of a broker once in half a minute: until
 * then the cause is the same, whatever else is tried.
 */
#define CAUSE_LASTS_US		(60 * USECS_PER_SEC)

/* How long a request under way may take when messages are taken back. */
#define REQUEST_PATIENCE_US	(5 * USECS_PER_SEC)

/* How often a handle is made anew, and the files of the options looked at. */
#define OPEN_INTERVAL_US	USECS_PER_SEC

/* Options or files that cannot be used: the relay waits until they can. */
static void
configuration_failed(HceProducer *producer, const char *detail, const char *hint)
{
	strlcpy(producer->error, detail, sizeof(producer->error));
	producer->hint = hint;
	producer->unusable = true;
	strlcpy(producer->away_for, "a usable hcevents.kafka_config and kafka_config_file",
			sizeof(producer->away_for));
	producer->connected = false;
}

/*
 * Load the options and make librdkafka's configuration of them; NULL if they
 * cannot be used.  Files are looked at before they are read: what changes
 * meanwhile counts as a change.
 */
static rd_kafka_conf_t *
make_configuration(HceProducer *producer)
{
	MemoryContext old = MemoryContextSwitchTo(producer->context);
	HceKafkaOptions options;
	HceOptionsError error;
	rd_kafka_conf_t *conf = NULL;
	char	   *file;
	char	   *named;

	list_free_deep(producer->files);
	producer->files = NIL;
	producer->old_scram = NULL;
	if (*hce_kafka_config_file != '\0')
		producer->files = list_make1(pstrdup(hce_kafka_config_file));
	file = hce_files_identity(producer->files);
	if (hce_options_load(&options, hce_kafka_config, hce_kafka_config_file,
						 &error))
	{
		List	   *paths = hce_options_paths(&options);

		named = hce_files_identity(paths);
		producer->files = list_concat(producer->files, paths);
		list_free(paths);
		conf = hce_config_producer(&options, &error);
		if (hce_config_old_scram(&options) != NULL)
			producer->old_scram = "SCRAM of this librdkafka is refused by Kafka 4.0 and newer: install librdkafka 2.6.1 or newer and restart the server, or use another log-in; see README, \"Connecting to a secured Kafka\".";
	}
	else
		named = pstrdup("");
	if (conf == NULL)
		configuration_failed(producer, error.detail, error.hint);
	hce_options_wipe(&options);
	if (producer->identity != NULL)
		pfree(producer->identity);
	producer->identity = psprintf("%s%s", file, named);
	pfree(file);
	pfree(named);
	MemoryContextSwitchTo(old);
	return conf;
}

/*
 * Make the handle, its queue and the topics' handles.  False if that cannot
 * be done now; hce_producer_poll() tries again.
 */
bool
hce_producer_open(HceProducer *producer)
{
	rd_kafka_conf_t *conf;
	sigset_t	all;
	sigset_t	before;
	char		message[256];

	producer->next_open = GetCurrentTimestamp() + OPEN_INTERVAL_US;
	conf = make_configuration(producer);
	if (conf == NULL)
		return false;

	/*
	 * librdkafka's threads inherit the signal mask; a signal for this process
	 * must only ever be handled by its main thread.
	 */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, message,
									sizeof(message));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (producer->handle == NULL)
	{
		rd_kafka_conf_destroy(conf);
		/* it reads certificates and keys now */
		configuration_failed(producer, message,
							 "Check the files that the options name; the server's user must be able to read them.");
		return false;
	}
	producer->queue = rd_kafka_queue_get_main(producer->handle);
	rd_kafka_set_log_queue(producer->handle, producer->queue);
	rd_kafka_queue_io_event_enable(producer->queue, producer->pipe[1], "q", 1);
	for (HceTopic *topic = producer->topics; topic; topic = topic->next)
		hce_producer_open_topic(producer, topic);
	if (producer->unusable)
	{
		producer->unusable = false;
		producer->hint = NULL;
		producer->away_for[0] = producer->error[0] = '\0';
		producer->away_hint = NULL;
	}
	producer->fatal = false;
	producer->session++;
	return true;
}

/*
 * Whether files that the handle was made of have changed since: that of
 * hcevents.kafka_config_file, or a certificate or key.  Looks at each of them.
 */
bool
hce_producer_files_changed(HceProducer *producer)
{
	char	   *now = hce_files_identity(producer->files);
	bool		changed = strcmp(now, producer->identity) != 0;

	pfree(now);
	return changed;
}

/*
 * Give up a handle that had a fatal error.  All its messages have been
 * reported.  Destroying it joins threads that may hang in name resolution,
 * so that is left to a thread of its own.
 */
static void
close_handle(HceProducer *producer)
{
	for (HceTopic *topic = producer->topics; topic; topic = topic->next)
	{
		if (topic->handle != NULL)
			rd_kafka_topic_destroy(topic->handle);
		topic->handle = NULL;
	}
	rd_kafka_queue_io_event_enable(producer->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(producer->queue);
	hce_producer_probe_destroy_handle(producer->handle);
	producer->handle = NULL;
}

/*
 * What a connection waits for, where the error tells; else NULL.  Our names
 * for it, not librdkafka's: it is what the view shows.
 */
static const char *
cause_of(rd_kafka_resp_err_t error)
{
	switch (error)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
			return "Kafka to accept sasl.username and sasl.password";
		case RD_KAFKA_RESP_ERR__SSL:
			return "a TLS connection to Kafka that both sides accept";
		default:
			return NULL;
	}
}

/*
 * Remember what the connection waits for.  A broker has the same words for a
 * wrong password and for a librdkafka whose SCRAM it does not take, so both
 * are named.
 */
static void
take_cause(HceProducer *producer, rd_kafka_resp_err_t error, const char *cause)
{
	bool		login = error != RD_KAFKA_RESP_ERR__SSL;

	producer->away_hint = login ? producer->old_scram : NULL;
	if (producer->away_hint != NULL)
		snprintf(producer->away_for, sizeof(producer->away_for),
				 "%s; Kafka 4.0 and newer accept none by SCRAM of librdkafka %s",
				 cause, rd_kafka_version_str());
	else
		strlcpy(producer->away_for, cause, sizeof(producer->away_for));
}

/* A fatal error: the handle is done for, and some say what must be granted. */
static void
take_fatal(HceProducer *producer)
{
	char		message[256] = "";
	rd_kafka_resp_err_t error;

	producer->fatal = true;
	error = rd_kafka_fatal_error(producer->handle, message, sizeof(message));
	if (error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
		hce_producer_denied(producer,
							"permission to be an idempotent producer; grant it WRITE on its topics, or IDEMPOTENT_WRITE on the cluster, in Kafka");
	/* that follows from what a message's error has told better */
	else if (error == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE)
		return;
	strlcpy(producer->error, message, sizeof(producer->error));
}

void
hce_producer_take_error(HceProducer *producer, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t error = rd_kafka_event_error(event);
	const char *cause = cause_of(error);

	if (rd_kafka_event_error_is_fatal(event))
	{
		take_fatal(producer);
		return;
	}
	if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
	{
		/* that they are says less than why each of them is */
		producer->doubt = true;
		producer->trouble = producer->poll_time;
		if (producer->error[0] != '\0')
			return;
	}
	if (cause != NULL)
	{
		take_cause(producer, error, cause);
		producer->away_time = producer->poll_time;
		producer->doubt = true;
	}
	else if (producer->poll_time - producer->away_time > CAUSE_LASTS_US)
	{
		producer->away_for[0] = '\0';
		producer->away_hint = NULL;
	}

	if (error == RD_KAFKA_RESP_ERR__SSL && producer->certificate_error[0] != '\0')
		strlcpy(producer->error, producer->certificate_error,
				sizeof(producer->error));
	else
		strlcpy(producer->error, rd_kafka_event_error_string(event),
				sizeof(producer->error));
	producer->certificate_error[0] = '\0';
}

/*
 * After a fatal error, or when the relay wants them: take all messages back
 * and begin with a new handle, since a hole in the sequence numbers cannot be
 * mended in the old one.  What was in flight may be in Kafka already and will
 * be there twice, with the same event_id; these are the only duplicates that
 * this process makes.  So while brokers answer, and there was no fatal error,
 * only what waits in the queue is taken at first, and the requests on their
 * way may end.
 */
void
hce_producer_recover(HceProducer *producer)
{
	if (!producer->fatal && producer->taking_back == 0)
		return;
	if (producer->in_flight > 0)
	{
		int			flags = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING;

		if (producer->fatal || !producer->connected ||
			producer->poll_time - producer->taking_back > REQUEST_PATIENCE_US)
			flags |= RD_KAFKA_PURGE_F_INFLIGHT;
		rd_kafka_purge(producer->handle, flags);
		return;
	}
	if (producer->probe != NULL)
		return;
	if (producer->handle != NULL)
		close_handle(producer);
	producer->fatal = false;
	producer->taking_back = 0;
}
