/*-------------------------------------------------------------------------
 *
 * producer_internal.h
 *		What the files of the producer share; for them alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_PRODUCER_INTERNAL_H
#define HCE_PRODUCER_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "datatype/timestamp.h"
#include "utils/hsearch.h"

#include "relay/producer.h"
#include "relay/producer_probe.h"

typedef enum TopicState
{
	TOPIC_UNKNOWN,				/* metadata never looked up, or in doubt */
	TOPIC_READY,
	TOPIC_UNAVAILABLE,			/* missing or forbidden: asked again soon */
	TOPIC_INVALID				/* Kafka will never have such a topic */
} TopicState;

/*
 * A partition as one producer session knows it.  See
 * hce_producer_partition_open().
 */
typedef struct HcePartition
{
	uint32		session;		/* of the producer; 0 = never sent to */
	bool		confirmed;		/* an acknowledgement came in that session */
	TimestampTz last_report;	/* of that acknowledgement */
} HcePartition;

struct HceTopic
{
	HceTopic   *next;
	char	   *name;
	TopicState	state;
	int			npartitions;	/* as metadata told */
	HcePartition *partitions;
	TimestampTz next_probe;
	int64		retry_us;
	rd_kafka_topic_t *handle;
};

/* A message that came back and waits to be sent again. */
typedef struct FailedMessage
{
	uint64		number;
	HceTopic   *topic;
	bool		suspect;		/* Kafka may never take it */
	char	   *key;
	size_t		key_len;
	char	   *value;
	size_t		value_len;
	int64		timestamp_ms;
	rd_kafka_headers_t *headers;
	char		error[128];
} FailedMessage;

struct HceProducer
{
	MemoryContext context;
	HceProducerEvents events;
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue;
	int			pipe[2];
	HceTopic   *topics;
	HTAB	   *topic_names;	/* name to topic */
	HceProducerProbe *probe;		/* a metadata request under way, or NULL */
	HceTopic   *probed;			/* its topic; NULL = any broker */
	TimestampTz next_probe;		/* of any broker */
	bool		connected;
	bool		doubt;			/* the brokers seem to be away: ask */
	bool		fatal;			/* the handle is of no use any more */
	int			in_flight;
	Size		in_flight_bytes;
	FailedMessage *failed;
	int			nfailed;
	int			failed_capacity;
	bool		alone;			/* one message in flight at a time */
	uint32		session;		/* grows when sequences may begin anew */
	TimestampTz poll_time;		/* of the reports at hand */
	TimestampTz next_resend;
	char		error[256];
	char		waiting_for[256];
};

/* producer.c */
extern bool hce_producer_has_room(const HceProducer *producer, size_t bytes);
extern rd_kafka_resp_err_t hce_producer_produce(HceProducer *producer,
												HceTopic *topic, int partition,
												const char *key, size_t key_len,
												const char *value, size_t value_len,
												int64 timestamp_ms,
												rd_kafka_headers_t *headers,
												uint64 number);

/* producer_topics.c */
extern int	hce_producer_choose_partition(HceTopic *topic, const char *key,
										  size_t key_len);
extern bool hce_producer_partition_open(HceProducer *producer, HceTopic *topic,
										int partition);
extern void hce_producer_partition_used(HceProducer *producer, HceTopic *topic,
										int partition);
extern void hce_producer_partition_confirmed(HceProducer *producer,
											 const rd_kafka_message_t *message);
extern void hce_producer_open_topic(HceProducer *producer, HceTopic *topic);
extern bool hce_producer_topic_ready(HceProducer *producer, HceTopic *topic);
extern void hce_producer_finish_probe(HceProducer *producer);
extern void hce_producer_probe_brokers(HceProducer *producer);

/* producer_failed.c */
extern void hce_producer_keep_unsent(HceProducer *producer,
									 const HceMessage *message,
									 rd_kafka_headers_t *headers,
									 rd_kafka_resp_err_t error);
extern void hce_producer_message_failed(HceProducer *producer,
										const rd_kafka_message_t *message);
extern void hce_producer_resend_failed(HceProducer *producer);

#endif							/* HCE_PRODUCER_INTERNAL_H */
