/*-------------------------------------------------------------------------
 *
 * hcevents_consume.c
 *		Prints the events that hcevents published: one envelope a line.
 *
 * With --group it subscribes as a member of a consumer group; without, it
 * assigns itself every partition and commits nothing.  In both cases a topic
 * that does not exist yet is waited for, and is then read from its first
 * event: all of it came after the start of this program.
 *
 * The order that makes a stop safe: print, flush, commit.  What was not
 * flushed is never committed, so a killed consumer prints some events again
 * and skips none.
 *
 * It includes nothing of PostgreSQL, so that it can be installed where there
 * is no server.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "consume.h"

#define POLL_MS				100
#define COMMIT_INTERVAL		1.0		/* seconds */
#define CLOSE_SECONDS		10		/* a dead broker must not keep us */
#define OUTPUT_BUFFER		(256 * 1024)

static volatile sig_atomic_t stop_requested = 0;
static const char *fatal_reason = NULL;

/* Runs in the main thread: all others were created with signals blocked. */
static void
on_stop_signal(int signo)
{
	stop_requested = 1;
}

/* Runs in the main thread, when closing took too long. */
static void
on_alarm(int signo)
{
	_exit(EXIT_SUCCESS);
}

double
consume_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
complain(const char *what, const char *detail)
{
	fprintf(stderr, "hcevents-consume: %s%s%s\n", what,
			*detail ? ": " : "", detail);
}

/*
 * End after a failure of standard output.  A reader that went away ("| head")
 * is an ordinary end.  Nothing is committed: the lost lines were not read.
 */
static void
fail_output(void)
{
	if (errno == EPIPE || (errno == EINTR && stop_requested))
		_exit(EXIT_SUCCESS);
	complain("could not write to standard output", strerror(errno));
	_exit(EXIT_FAILURE);
}

static void
flush_output(void)
{
	if (fflush(stdout) != 0)
		fail_output();
}

/*
 * Print one envelope on one line.  A json column may hold raw newlines
 * between its tokens; inside JSON strings they are always escaped, so that a
 * space instead changes no value.
 */
static void
print_envelope(char *envelope, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (envelope[i] == '\n' || envelope[i] == '\r')
			envelope[i] = ' ';
	}
	if (fwrite(envelope, 1, len, stdout) != len || putchar('\n') == EOF)
		fail_output();
}

/*
 * Tell the group how far everything is printed.
 *
 * Asynchronously while events flow: a broker that is away must not stop the
 * printing.  At the end we wait, but not for ever.
 */
static void
commit_printed(Consumer *consumer, bool wait)
{
	rd_kafka_topic_partition_list_t *offsets;

	flush_output();
	if (consumer->options.group == NULL)
		return;
	offsets = partitions_uncommitted(&consumer->partitions);
	if (offsets == NULL)
		return;

	if (wait)
	{
		rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->rk);
		rd_kafka_event_t *event = NULL;

		if (rd_kafka_commit_queue(consumer->rk, offsets, queue, NULL, NULL) ==
			RD_KAFKA_RESP_ERR_NO_ERROR)
			event = rd_kafka_queue_poll(queue, METADATA_MS);
		if (event == NULL || rd_kafka_event_error(event))
			complain("could not commit the last offsets; some events will be printed again",
					 event == NULL ? "no answer" :
					 rd_kafka_event_error_string(event));
		if (event != NULL)
			rd_kafka_event_destroy(event);
		rd_kafka_queue_destroy(queue);
	}
	else
		rd_kafka_commit(consumer->rk, offsets, 1);

	partitions_mark_committed(&consumer->partitions);
	rd_kafka_topic_partition_list_destroy(offsets);
}

/* Runs in the main thread, inside rd_kafka_consumer_poll() or _close(). */
static void
on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t error,
			 rd_kafka_topic_partition_list_t *assigned, void *opaque)
{
	Consumer   *consumer = opaque;

	if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
	{
		consume_start_young_topics(consumer, assigned);
		rd_kafka_assign(rk, assigned);
		return;
	}
	if (!rd_kafka_assignment_lost(rk))
		commit_printed(consumer, true);
	partitions_forget_progress(&consumer->partitions);
	rd_kafka_assign(rk, NULL);
}

/* Runs in the main thread, inside rd_kafka_consumer_poll(). */
static void
on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	Consumer   *consumer = opaque;

	if (error == RD_KAFKA_RESP_ERR__FATAL ||
		error == RD_KAFKA_RESP_ERR__AUTHENTICATION)
	{
		complain("Kafka refused", reason);
		fatal_reason = "refused";
	}
	else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN &&
			 !consumer->complained)
	{
		complain("no broker can be reached, trying again",
				 consumer->options.bootstrap_servers);
		consumer->complained = true;
	}
}

static void
set_property(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		problem[512];

	if (rd_kafka_conf_set(conf, name, value, problem, sizeof(problem)) !=
		RD_KAFKA_CONF_OK)
	{
		complain("option refused by librdkafka", problem);
		exit(EXIT_USAGE);
	}
}

/*
 * Create the Kafka consumer, with all signals left to the main thread.
 */
static void
create_consumer(Consumer *consumer)
{
	const ConsumeOptions *options = &consumer->options;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		problem[512];
	sigset_t	all,
				before;

	set_property(conf, "bootstrap.servers", options->bootstrap_servers);
	set_property(conf, "client.id", "hcevents-consume");
	/* librdkafka wants a group id even where the group is never used. */
	set_property(conf, "group.id",
				 options->group ? options->group : "hcevents-consume");
	set_property(conf, "enable.auto.commit", "false");
	set_property(conf, "enable.auto.offset.store", "false");
	set_property(conf, "enable.partition.eof", "true");
	set_property(conf, "auto.offset.reset",
				 options->from_beginning ? "earliest" : "latest");
	set_property(conf, "topic.metadata.refresh.interval.ms", "2000");
	set_property(conf, "reconnect.backoff.max.ms", "1000");
	set_property(conf, "socket.keepalive.enable", "true");
	set_property(conf, "log_level", "2");
	for (int i = 0; i < options->nproperties; i++)
	{
		char	   *value = strchr(options->properties[i], '=');

		*value = '\0';
		set_property(conf, options->properties[i], value + 1);
	}
	rd_kafka_conf_set_opaque(conf, consumer);
	rd_kafka_conf_set_error_cb(conf, on_error);
	if (options->group != NULL)
		rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, problem,
								sizeof(problem));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (consumer->rk == NULL)
	{
		complain("could not create the Kafka consumer", problem);
		exit(EXIT_USAGE);
	}
	rd_kafka_poll_set_consumer(consumer->rk);
}

static void
subscribe(Consumer *consumer)
{
	const ConsumeOptions *options = &consumer->options;
	rd_kafka_topic_partition_list_t *list;

	list = rd_kafka_topic_partition_list_new(options->ntopics);
	for (int i = 0; i < options->ntopics; i++)
		rd_kafka_topic_partition_list_add(list, options->topics[i],
										  RD_KAFKA_PARTITION_UA);
	rd_kafka_subscribe(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
}

/*
 * Take one message, or the error that came instead of one.
 */
static void
handle_message(Consumer *consumer, rd_kafka_message_t *message)
{
	const char *topic;
	Partition  *partition;

	switch (message->err)
	{
		case RD_KAFKA_RESP_ERR_NO_ERROR:
		case RD_KAFKA_RESP_ERR__PARTITION_EOF:
			topic = rd_kafka_topic_name(message->rkt);
			partition = partitions_get(&consumer->partitions, topic,
									   message->partition);
			consumer->complained = false;
			if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			{
				partition->next = message->offset;
				break;
			}
			print_envelope(message->payload, message->len);
			partition->next = message->offset + 1;
			consumer->printed++;
			break;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
			break;				/* not there yet */
		case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
			if (consumer->options.group == NULL)
				break;			/* a group that is never used */
			/* FALLTHROUGH */
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR__FATAL:
			complain("Kafka refused", rd_kafka_message_errstr(message));
			fatal_reason = "refused";
			break;
		default:
			complain("Kafka reports", rd_kafka_message_errstr(message));
	}
}

/*
 * Has the consumer done what the options asked for?
 */
static bool
is_finished(const Consumer *consumer)
{
	const ConsumeOptions *options = &consumer->options;

	if (options->count > 0 && consumer->printed >= options->count)
		return true;
	return options->until_end && consumer->started &&
		partitions_at_end(&consumer->partitions);
}

static bool
is_timed_out(const Consumer *consumer)
{
	return consumer->options.timeout > 0 &&
		consume_now() > consumer->started_at + consumer->options.timeout;
}

/*
 * Between two events, when none is waiting: show what was printed, and look
 * after everything that goes by time.
 */
static void
do_chores(Consumer *consumer)
{
	double		time = consume_now();

	flush_output();
	if (time >= consumer->next_commit)
	{
		commit_printed(consumer, false);
		if (consumer->options.group != NULL && consumer->options.until_end &&
			consumer->started)
			consume_learn_from_group(consumer);
		consumer->next_commit = time + COMMIT_INTERVAL;
	}
	if (time >= consumer->next_discovery)
	{
		bool		first = !consumer->started;

		consume_discover(consumer);
		if (first && consumer->started && consumer->options.group != NULL)
			subscribe(consumer);
	}
}

static int
consume(Consumer *consumer)
{
	int			status = EXIT_SUCCESS;

	while (!stop_requested && fatal_reason == NULL && !is_finished(consumer))
	{
		rd_kafka_message_t *message;

		message = rd_kafka_consumer_poll(consumer->rk, 0);
		if (message == NULL || consume_now() >= consumer->next_commit)
		{
			do_chores(consumer);
			if (is_finished(consumer) && message == NULL)
				break;
			if (is_timed_out(consumer))
			{
				status = EXIT_TIMED_OUT;
				complain("timed out", "");
				break;
			}
		}
		if (message == NULL)
			message = rd_kafka_consumer_poll(consumer->rk, POLL_MS);
		if (message != NULL)
		{
			handle_message(consumer, message);
			rd_kafka_message_destroy(message);
		}
	}
	return fatal_reason == NULL ? status : EXIT_FAILURE;
}

static void
handle_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = on_stop_signal;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

int
main(int argc, char **argv)
{
	static Consumer consumer;
	int			status;

	consume_options_parse(&consumer.options, argc, argv);
	handle_signals();
	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
	consumer.started_at = consume_now();
	create_consumer(&consumer);

	status = consume(&consumer);

	commit_printed(&consumer, true);
	alarm(CLOSE_SECONDS);
	rd_kafka_consumer_close(consumer.rk);
	rd_kafka_destroy(consumer.rk);
	return status;
}
