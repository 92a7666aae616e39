/*-------------------------------------------------------------------------
 *
 * kafka_client.c
 *		The librdkafka handle of the admin worker, and waiting for it.
 *
 * Runs in the admin worker only.  The main thread waits for librdkafka in
 * slices of POLL_MS and serves interrupts between them.
 *
 * Nothing is freed but what a wait would leak: handles and threads live until
 * the process ends, soon and by _exit() (see exit_guard.c).
 * rd_kafka_destroy() could wait for ever.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "admin/kafka_client.h"
#include "relay/producer_config.h"

#define POLL_MS			100

/*
 * How long all known brokers may be down before we say so.  Not at once: the
 * name of a broker may have several addresses, and they are tried in turn.
 */
#define ALL_DOWN_MS		4000

/*
 * Copy a message of librdkafka or a broker for the answer.  Their encoding is
 * anybody's guess, and the answer goes into a database of any encoding.
 */
void
hce_kafka_copy_message(char *to, const char *from, Size size)
{
	strlcpy(to, from, size);
	for (; *to; to++)
	{
		if (*to < ' ' || *to > '~')
			*to = '?';
	}
}

/* Until the answer is due, 0 when it is late. */
int
hce_kafka_milliseconds_left(const HceKafkaRun *run)
{
	return (int) TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												 run->request->deadline);
}

/* Load the options of the requester's settings into "conf". */
static bool
configure(rd_kafka_conf_t *conf, const char *bootstrap_servers,
		  HceOptionsError *error)
{
	const char *config = bootstrap_servers + strlen(bootstrap_servers) + 1;
	const char *file = config + strlen(config) + 1;
	HceKafkaOptions options;
	bool		good;

	good = hce_options_load(&options, config, file, error) &&
		hce_config_connection(conf, bootstrap_servers, &options,
							  HCE_OPTION_CLIENT, error) &&
		hce_config_set(conf, "allow.auto.create.topics", "false", error);
	hce_options_wipe(&options);
	return good;
}

/*
 * Start librdkafka; false with run->last_error set if it does not want to.
 * After "bootstrap_servers" follow the two settings with options.
 *
 * A consumer, not a producer: only a consumer's metadata requests never make
 * the broker create the topics they name.  Its threads inherit the signal
 * mask, so that every signal goes to the main thread, as PostgreSQL expects.
 */
static bool
connect_client(HceKafkaRun *run, const char *bootstrap_servers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	HceOptionsError failure;
	char		error[HCE_ADMIN_DETAIL_SIZE];
	sigset_t	all;
	sigset_t	before;

	if (!configure(conf, bootstrap_servers, &failure))
	{
		hce_kafka_copy_message(run->last_error, failure.detail,
							   sizeof(run->last_error));
		return false;
	}
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	run->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
	pthread_sigmask(SIG_SETMASK, &before, NULL);

	if (run->client == NULL)
	{
		hce_kafka_copy_message(run->last_error, error,
							   sizeof(run->last_error));
		return false;
	}
	run->queue = rd_kafka_queue_get_main(run->client);
	(void) rd_kafka_set_log_queue(run->client, run->queue);
	return true;
}

/* Remember why there is no connection; the reason beats its consequence. */
static void
note_error(HceKafkaRun *run, rd_kafka_event_t *event)
{
	bool		all_down = rd_kafka_event_error(event) ==
		RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;

	if (all_down && run->all_down_since == 0)
		run->all_down_since = GetCurrentTimestamp();
	if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__SSL &&
		run->certificate_error[0] != '\0')
		hce_kafka_copy_message(run->last_error, run->certificate_error,
							   sizeof(run->last_error));
	else if (!all_down || run->last_error[0] == '\0')
		hce_kafka_copy_message(run->last_error,
							   rd_kafka_event_error_string(event),
							   sizeof(run->last_error));
}

/*
 * Wait a little.  Returns the first event of the wanted type, which the
 * caller destroys, or NULL.
 */
rd_kafka_event_t *
hce_kafka_poll(HceKafkaRun *run, rd_kafka_event_type_t wanted)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(run->queue, POLL_MS);

	CHECK_FOR_INTERRUPTS();
	if (event == NULL)
		return NULL;
	if (rd_kafka_event_type(event) == wanted)
		return event;
	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
		note_error(run, event);
	else
		(void) hce_config_certificate_error(event, run->certificate_error,
											sizeof(run->certificate_error));
	rd_kafka_event_destroy(event);
	return NULL;
}

/* Nobody waits for the answer, or there is no point in waiting for it. */
bool
hce_kafka_is_hopeless(const HceKafkaRun *run)
{
	TimestampTz now = GetCurrentTimestamp();

	if (pg_atomic_read_u32(unconstify(pg_atomic_uint32 *,
									  &run->request->abandoned)))
		return true;
	if (run->all_down_since != 0 &&
		TimestampDifferenceExceeds(run->all_down_since, now, ALL_DOWN_MS))
		return true;
	return now >= run->request->deadline;
}

/* What a failure of the request as a whole means to the user. */
static HceAdminOutcome
classify(rd_kafka_resp_err_t error)
{
	switch (error)
	{
		case RD_KAFKA_RESP_ERR_NO_ERROR:
			return HCE_ADMIN_ANSWERED;
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR__RESOLVE:
		case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
			return HCE_ADMIN_UNREACHABLE;
		case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
			return HCE_ADMIN_UNSUPPORTED;
		default:
			return HCE_ADMIN_REFUSED;
	}
}

/*
 * Answer that there is no answer to the request as a whole.  "message" may be
 * NULL.  Of brokers that cannot be reached, what was heard last says more
 * than the time-out that followed from it.
 */
void
hce_kafka_answer_failure(const HceKafkaRun *run, rd_kafka_resp_err_t error,
						 const char *message, HceAdminAnswer *answer)
{
	answer->outcome = classify(error);
	if (answer->outcome == HCE_ADMIN_UNREACHABLE)
		message = run->last_error[0] != '\0' ? run->last_error :
			"There was neither a connection nor an error in time.";
	else if (message == NULL)
		message = rd_kafka_err2str(error);
	hce_kafka_copy_message(answer->detail, message, sizeof(answer->detail));
}

/*
 * Do the request and fill the answer, which the caller has zeroed.  Raises an
 * error only for interrupts and for want of memory.
 */
void
hce_kafka_admin_run(const HceAdminRequest *request, HceAdminAnswer *answer)
{
	HceKafkaRun	run = {.request = request};
	const char *string = request->strings;

	for (int i = 0; i < 2; i++)	/* kafka_config, kafka_config_file */
		string += strlen(string) + 1;
	run.topics = palloc((request->ntopics + 1) * sizeof(char *));
	for (int i = 0; i < request->ntopics; i++)
	{
		string += strlen(string) + 1;
		run.topics[i] = string;
	}
	string += strlen(string) + 1;

	if (!connect_client(&run, request->strings))
	{
		answer->outcome = HCE_ADMIN_UNUSABLE;
		strlcpy(answer->detail, run.last_error, sizeof(answer->detail));
	}
	else if (request->op == HCE_ADMIN_DESCRIBE)
		hce_kafka_describe_topics(&run, answer);
	else
		hce_kafka_create_topics(&run, string, answer);
}
