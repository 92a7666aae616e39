/*-------------------------------------------------------------------------
 *
 * kafka_create.c
 *		Making topics.
 *
 * Runs in the admin worker only.  Topics that exist are left alone, and need
 * no right to create them; one request makes all others.  What is invalid in
 * it, the broker says topic by topic.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "admin/kafka_client.h"

/* "config" is the first of nconfig pairs in request->strings. */
static rd_kafka_NewTopic_t *
make_new_topic(const HceKafkaRun *run, const char *name, const char *config,
			   char *error, Size size)
{
	const HceAdminRequest *request = run->request;
	rd_kafka_NewTopic_t *topic;

	topic = rd_kafka_NewTopic_new(name, request->partitions,
								  request->replication_factor, error, size);
	if (topic == NULL)
		return NULL;
	for (int i = 0; i < request->nconfig; i++)
	{
		const char *value = config + strlen(config) + 1;

		if (rd_kafka_NewTopic_set_config(topic, config, value))
		{
			strlcpy(error, "a configuration entry has no name", size);
			return NULL;
		}
		config = value + strlen(value) + 1;
	}
	return topic;
}

/* Send one request for what is missing; false with run->last_error if not. */
static bool
send_create(HceKafkaRun *run, const char *config, const HceAdminAnswer *answer)
{
	int			timeout_ms = Max(hce_kafka_milliseconds_left(run), 1);
	rd_kafka_NewTopic_t **topics = palloc(answer->ntopics * sizeof(*topics));
	int			ntopics = 0;
	rd_kafka_AdminOptions_t *options;
	char		error[HCE_ADMIN_DETAIL_SIZE];

	for (int i = 0; i < answer->ntopics; i++)
	{
		if (answer->topics[i].exists)
			continue;
		topics[ntopics] = make_new_topic(run, run->topics[i], config, error,
										 sizeof(error));
		if (topics[ntopics++] == NULL)
		{
			hce_kafka_copy_message(run->last_error, error,
								   sizeof(run->last_error));
			return false;
		}
	}
	options = rd_kafka_AdminOptions_new(run->client,
										RD_KAFKA_ADMIN_OP_CREATETOPICS);
	(void) rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms,
													 error, sizeof(error));
	(void) rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms,
													   error, sizeof(error));
	rd_kafka_CreateTopics(run->client, topics, ntopics, options, run->queue);
	return true;
}

/* What became of one topic. */
static void
answer_created(const HceKafkaRun *run, const rd_kafka_topic_result_t *result,
			   HceAdminAnswer *answer)
{
	rd_kafka_resp_err_t error = rd_kafka_topic_result_error(result);
	const char *message = rd_kafka_topic_result_error_string(result);
	int			i = 0;

	while (i < answer->ntopics &&
		   strcmp(run->topics[i], rd_kafka_topic_result_name(result)) != 0)
		i++;
	if (i == answer->ntopics)
		return;

	if (!error)
		message = "created";
	else if (error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		message = "exists";
	else if (message == NULL)
		message = rd_kafka_err2str(error);
	hce_kafka_copy_message(answer->topics[i].message, message,
						   HCE_ADMIN_MESSAGE_SIZE);
}

static void
answer_create(const HceKafkaRun *run, rd_kafka_event_t *event,
			  HceAdminAnswer *answer)
{
	const rd_kafka_CreateTopics_result_t *created;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	if (rd_kafka_event_error(event))
	{
		hce_kafka_answer_failure(run, rd_kafka_event_error(event),
								 rd_kafka_event_error_string(event), answer);
		return;
	}
	created = rd_kafka_event_CreateTopics_result(event);
	results = rd_kafka_CreateTopics_result_topics(created, &nresults);
	for (size_t i = 0; i < nresults; i++)
		answer_created(run, results[i], answer);
}

/* Wait for what became of the request. */
static void
await_create(HceKafkaRun *run, HceAdminAnswer *answer)
{
	rd_kafka_event_t *event;

	for (;;)
	{
		event = hce_kafka_poll(run, RD_KAFKA_EVENT_CREATETOPICS_RESULT);
		if (event != NULL)
			break;
		if (hce_kafka_is_hopeless(run))
		{
			hce_kafka_answer_failure(run, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL,
									 answer);
			return;
		}
	}
	answer_create(run, event, answer);
	rd_kafka_event_destroy(event);
}

/* Note the topics that exist; returns the number of those that do not. */
static int
answer_existing(HceAdminAnswer *answer)
{
	int			missing = 0;

	for (int i = 0; i < answer->ntopics; i++)
	{
		if (answer->topics[i].exists)
			strlcpy(answer->topics[i].message, "exists",
					HCE_ADMIN_MESSAGE_SIZE);
		else
			missing++;
	}
	return missing;
}

/*
 * Make the topics.  "config" is the first string of the configuration
 * entries in the request.
 */
void
hce_kafka_create_topics(HceKafkaRun *run, const char *config,
						HceAdminAnswer *answer)
{
	hce_kafka_describe_topics(run, answer);
	if (answer->outcome != HCE_ADMIN_ANSWERED || answer_existing(answer) == 0)
		return;

	/*
	 * Only the controller makes topics.  librdkafka would wait for one until
	 * the time-out, and its own mock cluster names one that is not there.
	 */
	if (!run->has_controller)
	{
		answer->outcome = HCE_ADMIN_UNSUPPORTED;
		strlcpy(answer->detail, "None of the brokers is the controller.",
				sizeof(answer->detail));
		return;
	}
	if (send_create(run, config, answer))
		await_create(run, answer);
	else
		hce_kafka_answer_failure(run, RD_KAFKA_RESP_ERR__INVALID_ARG,
								 run->last_error, answer);
}
