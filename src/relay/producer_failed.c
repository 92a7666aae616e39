/*-------------------------------------------------------------------------
 *
 * producer_failed.c
 *		Messages that came back, and sending them again.
 *
 * No message is ever lost here.  One that fails comes back in its delivery
 * report, is kept, and is sent again when all others in flight have been
 * reported, in the old order: a permanent error fails a whole batch,
 * innocent messages included, and lets later batches pass, so that sending
 * again at once would reorder the events of a key.  Only a message that
 * Kafka refused when it was alone in flight is given up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/producer_internal.h"

/* So often a message may come back as corrupt when it is sent alone. */
#define MAX_CORRUPT			5

/* How long after a failed try to send again. */
#define RESEND_US			(50 * 1000)

/* Remember a message; takes over "headers", copies the rest. */
static void
keep_failed(HceProducer *producer, const FailedMessage *failed)
{
	if (producer->failed == NULL)
	{
		producer->failed_capacity = 64;
		producer->failed = MemoryContextAlloc(producer->context,
											  64 * sizeof(FailedMessage));
	}
	else if (producer->nfailed == producer->failed_capacity)
	{
		producer->failed_capacity *= 2;
		producer->failed = repalloc(producer->failed,
									producer->failed_capacity * sizeof(FailedMessage));
	}
	producer->failed[producer->nfailed++] = *failed;

	/* sequences may begin anew after a failure */
	producer->session++;
}

static char *
copy_bytes(HceProducer *producer, const void *data, size_t len)
{
	char	   *copy;

	if (data == NULL)
		return NULL;
	copy = MemoryContextAllocHuge(producer->context, len + 1);
	memcpy(copy, data, len);
	return copy;
}

/* Whether librdkafka itself refuses a message for what it is. */
bool
hce_producer_never_taken(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
		error == RD_KAFKA_RESP_ERR__INVALID_ARG;
}

/*
 * Remember a message that librdkafka has not taken, as if Kafka had not.  Takes
 * over "headers".
 */
void
hce_producer_keep_unsent(HceProducer *producer, const HceMessage *message,
						 rd_kafka_headers_t *headers,
						 rd_kafka_resp_err_t error)
{
	FailedMessage failed = {
		.number = message->number,
		.topic = message->topic,
		.suspect = hce_producer_never_taken(error),
		.key = copy_bytes(producer, message->key, message->key_len),
		.key_len = message->key_len,
		.value = copy_bytes(producer, message->value, message->value_len),
		.value_len = message->value_len,
		.timestamp_ms = message->timestamp_ms,
		.headers = headers
	};

	strlcpy(failed.error, rd_kafka_err2str(error), sizeof(failed.error));
	keep_failed(producer, &failed);
}

/* Errors that another try of the same bytes will not mend. */
static bool
is_permanent(rd_kafka_resp_err_t error)
{
	switch (error)
	{
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_INVALID_MSG:
		case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
		case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
		case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
			return true;
		default:
			return false;
	}
}

static void
free_failed(FailedMessage *failed)
{
	if (failed->key != NULL)
		pfree(failed->key);
	if (failed->value != NULL)
		pfree(failed->value);
	if (failed->headers != NULL)
		rd_kafka_headers_destroy(failed->headers);
}

/*
 * Tell the relay that Kafka will never take a message.  "number" to
 * "value_len" of "message" are given; the headers are added here.
 */
static void
refuse(HceProducer *producer, HceMessage *message, rd_kafka_headers_t *headers,
	   const char *error)
{
	size_t		count = headers != NULL ? rd_kafka_header_cnt(headers) : 0;
	HceHeader  *copies = palloc((count + 1) * sizeof(HceHeader));
	const char *name;
	const void *value;
	size_t		size;

	while (message->nheaders < (int) count &&
		   rd_kafka_header_get_all(headers, message->nheaders, &name, &value,
								   &size) == RD_KAFKA_RESP_ERR_NO_ERROR)
		copies[message->nheaders++] = (HceHeader) {name, value, size};
	message->headers = copies;
	producer->events.refused(producer->events.arg, message, error);
	pfree(copies);
}

/* A failed message without its headers. */
static HceMessage
message_of(const FailedMessage *failed)
{
	return (HceMessage) {
		.topic = failed->topic,
		.key = failed->key,
		.key_len = failed->key_len,
		.value = failed->value,
		.value_len = failed->value_len,
		.timestamp_ms = failed->timestamp_ms,
		.number = failed->number
	};
}

static void
refuse_failed(HceProducer *producer, const FailedMessage *failed,
			  const char *error)
{
	HceMessage	message = message_of(failed);

	refuse(producer, &message, failed->headers, error);
}

/*
 * Whether a message that came back, alone in flight, was refused for what it
 * is.  That it arrived corrupt (INVALID_MSG, a checksum that does not match)
 * is the network's or the memory's fault as a rule, and passes.
 */
static bool
is_hopeless(HceProducer *producer, const rd_kafka_message_t *message)
{
	uint64		number = (uint64) (uintptr_t) message->_private;

	if (!producer->alone || !is_permanent(message->err))
		return false;
	if (message->err != RD_KAFKA_RESP_ERR_INVALID_MSG)
		return true;
	if (producer->corrupt != number)
		producer->ncorrupt = 0;
	producer->corrupt = number;
	return ++producer->ncorrupt >= MAX_CORRUPT;
}

/* The message that was alone in flight has failed again: is it hopeless? */
static bool
give_up(HceProducer *producer, const rd_kafka_message_t *message)
{
	HceMessage	refused = {
		.topic = rd_kafka_topic_opaque(message->rkt),
		.key = message->key,
		.key_len = message->key_len,
		.value = message->payload,
		.value_len = message->len,
		.number = (uint64) (uintptr_t) message->_private
	};
	rd_kafka_headers_t *headers = NULL;

	if (!is_hopeless(producer, message))
		return false;
	/* nobody will confirm the partition that it was sent to alone */
	producer->session++;
	/* an error says that there are none */
	(void) rd_kafka_message_headers(message, &headers);
	refuse(producer, &refused, headers, rd_kafka_err2str(message->err));
	return true;
}

/* Keep a message that came back; doubt its topic where that is the cause. */
static void
keep_message(HceProducer *producer, const rd_kafka_message_t *message)
{
	FailedMessage failed = {
		.number = (uint64) (uintptr_t) message->_private,
		.topic = rd_kafka_topic_opaque(message->rkt),
		/* what is not permitted holds up the rest only by being tried alone */
		.suspect = is_permanent(message->err) ||
		message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
		.key = copy_bytes(producer, message->key, message->key_len),
		.key_len = message->key_len,
		.value = copy_bytes(producer, message->payload, message->len),
		.value_len = message->len,
		/* librdkafka tells no timestamp of a message that failed */
		.timestamp_ms = producer->events.timestamp_ms(producer->events.arg,
													  (uint64) (uintptr_t) message->_private)
	};

	/* an error says that there are none */
	(void) rd_kafka_message_detach_headers(unconstify(rd_kafka_message_t *, message),
										   &failed.headers);
	strlcpy(failed.error, rd_kafka_err2str(message->err), sizeof(failed.error));
	if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		hce_producer_deny_topic(producer, failed.topic);
	else if (!failed.suspect)
		failed.topic->state = TOPIC_UNKNOWN;
	/* what we took back ourselves has no news */
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
		message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
		message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT &&
		message->err != RD_KAFKA_RESP_ERR__FATAL)
	{
		if (!failed.suspect && failed.topic->failing_since == 0)
			failed.topic->failing_since = producer->poll_time;
		strlcpy(failed.topic->problem, failed.error, sizeof(failed.topic->problem));
		snprintf(producer->error, sizeof(producer->error), "topic \"%s\": %s",
				 failed.topic->name, failed.error);
	}
	keep_failed(producer, &failed);
}

/* A delivery report says that a message failed. */
void
hce_producer_message_failed(HceProducer *producer,
							const rd_kafka_message_t *message)
{
	if (give_up(producer, message))
		return;
	if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED)
		producer->events.resent(producer->events.arg,
								(uint64) (uintptr_t) message->_private);
	keep_message(producer, message);
}

/*
 * A delivery report says that a message was delivered: is that in doubt?  If
 * so the message is kept, to be sent again by a new handle.
 *
 * When a request succeeds, librdkafka takes all earlier messages of the
 * partition for delivered as well (rd_kafka_dr_implicit_ack).  That is wrong
 * where a topic was deleted and made again: the first of two requests is
 * refused, the second one is the first that the new partition sees, which
 * takes any sequence number then.  Such reports carry no offset, as no answer
 * of a broker was about their messages.  (Not "offset < 0": that is what an
 * answer may hold, to which it is then true.)
 *
 * What follows on a message in doubt is kept as well, so that it comes again
 * behind it: the last thing that is said of a key stays the last.  So
 * duplicates are possible, as after a fatal error.
 */
bool
hce_producer_message_doubted(HceProducer *producer,
							 const rd_kafka_message_t *message)
{
	HceTopic   *topic = rd_kafka_topic_opaque(message->rkt);

	if (likely(message->offset != RD_KAFKA_OFFSET_INVALID && !topic->doubted))
		return false;
	topic->doubted = true;
	producer->events.resent(producer->events.arg,
							(uint64) (uintptr_t) message->_private);
	keep_message(producer, message);
	/* also when nothing is in flight any more: the handle is to go */
	if (producer->taking_back == 0)
		producer->taking_back = producer->poll_time;
	return true;
}

static int
compare_failed(const void *a, const void *b)
{
	const FailedMessage *x = a;
	const FailedMessage *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Send one failed message again.  False: not now. */
static bool
resend(HceProducer *producer, FailedMessage *failed)
{
	HceMessage	message = message_of(failed);
	size_t		bytes = failed->value_len + failed->key_len;
	rd_kafka_resp_err_t error;
	int			partition;

	if (failed->topic->state == TOPIC_INVALID)
	{
		refuse_failed(producer, failed, failed->error);
		free_failed(failed);
		return true;
	}
	if (!hce_producer_has_room(producer, bytes) ||
		!hce_producer_topic_ready(producer, failed->topic))
		return false;
	partition = hce_producer_choose_partition(failed->topic, failed->key,
											  failed->key_len);
	if (!hce_producer_partition_open(producer, failed->topic, partition))
		return false;
	error = hce_producer_produce(producer, &message, partition, failed->headers);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		hce_producer_add_in_flight(producer, failed->topic, partition, bytes);
		failed->headers = NULL; /* librdkafka's now */
	}
	else if (hce_producer_never_taken(error))
		refuse_failed(producer, failed, rd_kafka_err2str(error));
	else
	{
		hce_producer_not_taken(producer, failed->topic, error);
		return false;
	}
	free_failed(failed);
	return true;
}

/*
 * When all that is in flight has been reported, send what failed again, in
 * the order of the numbers.  As long as one of them is suspect they go one
 * by one, so that a refusal can only mean the message itself.  Those of a
 * held topic stay until the relay takes them.
 */
void
hce_producer_resend_failed(HceProducer *producer)
{
	int			sent = 0;
	int			kept = 0;
	bool		stopped = false;

	if (producer->nfailed == 0 || producer->in_flight > 0 || producer->fatal ||
		producer->taking_back != 0)
	{
		if (producer->nfailed == 0 && producer->in_flight == 0)
			producer->alone = false;
		return;
	}
	if (GetCurrentTimestamp() < producer->next_resend)
		return;
	qsort(producer->failed, producer->nfailed, sizeof(FailedMessage),
		  compare_failed);
	producer->alone = false;
	for (int i = 0; i < producer->nfailed; i++)
		producer->alone |= producer->failed[i].suspect &&
			!producer->failed[i].topic->held;

	for (int i = 0; i < producer->nfailed; i++)
	{
		FailedMessage *failed = &producer->failed[i];

		if (failed->topic->held || stopped || !resend(producer, failed))
		{
			stopped |= !failed->topic->held;
			producer->failed[kept++] = *failed;
			continue;
		}
		sent++;
		stopped |= producer->alone;
	}
	producer->nfailed = kept;
	if (sent == 0)
		producer->next_resend = GetCurrentTimestamp() + RESEND_US;
}

/*
 * Take back all messages that librdkafka holds, so that the relay can park
 * them.  Nothing is sent until that is done; see hce_producer_taking_back().
 * Each of them is then among the failed ones.  Nothing to do when it holds
 * none: a handle that has just been made would go for nothing.
 */
void
hce_producer_take_back(HceProducer *producer)
{
	if (producer->taking_back == 0 && producer->in_flight > 0)
		producer->taking_back = GetCurrentTimestamp();
}

/* Whether messages are being taken back. */
bool
hce_producer_taking_back(const HceProducer *producer)
{
	return producer->taking_back != 0;
}

/*
 * Hold a topic, or let it go again: messages of a held one that fail are not
 * sent again but wait for hce_producer_return_failed().
 */
void
hce_producer_hold_topic(HceTopic *topic, bool held)
{
	topic->held = held;
}

#define MAX_RETURNED_HEADERS	64

/* Give one failed message to the relay, which copies what it needs. */
static void
return_message(HceProducer *producer, FailedMessage *failed)
{
	HceHeader	headers[MAX_RETURNED_HEADERS];
	HceMessage	message = message_of(failed);
	const void *value;

	message.headers = headers;
	while (failed->headers != NULL && message.nheaders < MAX_RETURNED_HEADERS &&
		   rd_kafka_header_get_all(failed->headers, message.nheaders,
								   &headers[message.nheaders].name, &value,
								   &headers[message.nheaders].value_len) ==
		   RD_KAFKA_RESP_ERR_NO_ERROR)
		headers[message.nheaders++].value = value;
	producer->events.returned(producer->events.arg, failed->number, &message);
	free_failed(failed);
}

/*
 * Give the failed messages of a topic to the relay by its callback
 * "returned", as long as "room" says that it has room; they are forgotten
 * here.  Returns how many of the topic are left.
 */
int
hce_producer_return_failed(HceProducer *producer, const HceTopic *topic,
						   bool (*room) (void *))
{
	int			kept = 0;
	int			left = 0;

	for (int i = 0; i < producer->nfailed; i++)
	{
		FailedMessage *failed = &producer->failed[i];

		if (failed->topic == topic)
		{
			if (left == 0 && room(producer->events.arg))
			{
				return_message(producer, failed);
				continue;
			}
			left++;
		}
		producer->failed[kept++] = *failed;
	}
	producer->nfailed = kept;
	return left;
}
