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
#include "nodes/pg_list.h"
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
	bool		held;			/* what fails is not sent again */
	bool		doubted;		/* this handle's reports of success are */
	int			in_flight;
	TimestampTz silent_since;	/* last acknowledgement, or since in flight */
	TimestampTz away_since;		/* metadata says so; 0 = not away */
	TimestampTz failing_since;	/* its messages fail; 0 = they do not */
	char		problem[128];	/* of away_since and failing_since */
	bool		denied;			/* Kafka did not let us write to it */
	rd_kafka_topic_t *handle;
	rd_kafka_headers_t **spare; /* see producer_headers.c */
	int			nspare;
	int			spare_capacity;
	TimestampTz spared;			/* when one was given back last */
};

/* A message on its way to librdkafka; see producer_group.c. */
typedef struct GroupedMessage
{
	HceMessage	message;		/* without headers */
	int			partition;
	rd_kafka_headers_t *headers;
} GroupedMessage;

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
	rd_kafka_t *handle;			/* NULL: none yet, see next_open */
	rd_kafka_queue_t *queue;
	TimestampTz next_open;		/* when to make a handle */
	List	   *files;			/* that the handle was made of, char * */
	char	   *identity;		/* of their content then */
	bool		unusable;		/* the options or their files are */
	const char *hint;			/* what to do about that, or NULL */
	const char *old_scram;		/* see hce_config_old_scram() */
	int			pipe[2];
	HceTopic   *topics;
	HTAB	   *topic_names;	/* name to topic */
	HceProducerProbe *probe;		/* a metadata request under way, or NULL */
	HceTopic   *probed;			/* its topic; NULL = any broker */
	TimestampTz next_probe;		/* of any broker */
	bool		connected;
	TimestampTz trouble;		/* when the brokers were last seen away */
	TimestampTz answered;		/* when a question was answered last */
	bool		doubt;			/* the brokers seem to be away: ask */
	bool		fatal;			/* the handle is of no use any more */
	TimestampTz taking_back;	/* since when all messages are taken back */
	int			in_flight;
	Size		in_flight_bytes;
	GroupedMessage *group;		/* see producer_group.c */
	int			ngroup;
	char	   *group_bytes;	/* their keys and values */
	Size		group_size;
	Size		group_used;
	int			nheaders;		/* of a message, as a rule */
	int			nspare;			/* header lists of all topics */
	TimestampTz spare_looked;	/* when it was last seen to them */
	FailedMessage *failed;
	int			nfailed;
	int			failed_capacity;
	bool		alone;			/* one message in flight at a time */
	uint64		corrupt;		/* the last one that came back as such */
	int			ncorrupt;		/* how often */
	uint32		session;		/* grows when sequences may begin anew */
	TimestampTz poll_time;		/* of the reports at hand */
	TimestampTz next_resend;
	char		error[256];
	HceTopic   *waited;			/* the topic that "waiting_for" is about */
	char		waiting_for[256];
	char		away_for[160];	/* what the connection waits for, if known */
	const char *away_hint;		/* what to do about it, or NULL */
	TimestampTz away_time;
	char		certificate_error[256]; /* explains the next TLS error */
	char		denied[384];	/* what Kafka has to permit */
	TimestampTz denied_time;
};

/* producer.c */
extern bool hce_producer_has_room(const HceProducer *producer, size_t bytes);
extern void hce_producer_add_in_flight(HceProducer *producer, HceTopic *topic,
									   int partition, size_t bytes);
extern void hce_producer_remove_in_flight(HceProducer *producer, HceTopic *topic,
										  size_t bytes);
extern rd_kafka_resp_err_t hce_producer_produce(HceProducer *producer,
												const HceMessage *message,
												int partition,
												rd_kafka_headers_t *headers);
extern void hce_producer_not_taken(HceProducer *producer, HceTopic *topic,
								   rd_kafka_resp_err_t error);

/* producer_handle.c */
extern bool hce_producer_open(HceProducer *producer);
extern void hce_producer_take_error(HceProducer *producer,
									rd_kafka_event_t *event);
extern void hce_producer_recover(HceProducer *producer);

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
extern void hce_producer_denied(HceProducer *producer, const char *what);
extern void hce_producer_deny_topic(HceProducer *producer, HceTopic *topic);
extern void hce_producer_topic_granted(HceProducer *producer,
									   const rd_kafka_message_t *message);
extern void hce_producer_finish_probe(HceProducer *producer);
extern void hce_producer_probe_brokers(HceProducer *producer);

/* producer_headers.c */
extern rd_kafka_headers_t *hce_producer_make_headers(HceProducer *producer,
													 const HceMessage *message);
extern void hce_producer_spare_headers(HceProducer *producer, HceTopic *topic,
									   const rd_kafka_message_t *message);
extern void hce_producer_drop_spare_headers(HceProducer *producer);

/* producer_failed.c */
extern bool hce_producer_never_taken(rd_kafka_resp_err_t error);
extern void hce_producer_keep_unsent(HceProducer *producer,
									 const HceMessage *message,
									 rd_kafka_headers_t *headers,
									 rd_kafka_resp_err_t error);
extern bool hce_producer_message_doubted(HceProducer *producer,
										 const rd_kafka_message_t *message);
extern void hce_producer_message_failed(HceProducer *producer,
										const rd_kafka_message_t *message);
extern void hce_producer_resend_failed(HceProducer *producer);

#endif							/* HCE_PRODUCER_INTERNAL_H */
