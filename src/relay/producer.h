/*-------------------------------------------------------------------------
 *
 * producer.h
 *		Sending events to Kafka: what the relay sees of librdkafka.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_PRODUCER_H
#define HCE_PRODUCER_H

#include "datatype/timestamp.h"

typedef struct HceProducer HceProducer;
typedef struct HceTopic HceTopic;

typedef struct HceHeader
{
	const char *name;			/* NUL-terminated */
	const char *value;
	size_t		value_len;
} HceHeader;

typedef struct HceMessage
{
	HceTopic   *topic;
	const char *key;			/* NULL: no key */
	size_t		key_len;
	const char *value;
	size_t		value_len;
	int64		timestamp_ms;	/* since 1970 */
	const HceHeader *headers;
	int			nheaders;
	uint64		number;			/* the caller's, grows by each message */
} HceMessage;

typedef enum HceSend
{
	HCE_SENT,
	HCE_SEND_LATER,				/* queue full, or a topic or broker is away */
	HCE_SEND_NEVER				/* the topic's name is invalid */
} HceSend;

/* What became of a message. Called from hce_producer_poll() only. */
typedef struct HceProducerEvents
{
	void		(*delivered) (void *arg, uint64 number);
	void		(*refused) (void *arg, const HceMessage *message,
							const char *error);
	void		(*resent) (void *arg, uint64 number);
	int64		(*timestamp_ms) (void *arg, uint64 number);
	void		(*returned) (void *arg, uint64 number, const HceMessage *message);
	void	   *arg;
} HceProducerEvents;

extern HceProducer *hce_producer_create(MemoryContext context,
										const HceProducerEvents *events,
										int nheaders);
extern HceTopic *hce_producer_topic(HceProducer *producer, const char *name);
extern const char *hce_producer_topic_name(const HceTopic *topic);
extern bool hce_producer_topic_ready(HceProducer *producer, HceTopic *topic);
extern TimestampTz hce_producer_topic_away_since(const HceTopic *topic);
extern TimestampTz hce_producer_topic_silent_since(const HceProducer *producer,
												   const HceTopic *topic);
extern const char *hce_producer_topic_problem(const HceTopic *topic);
extern bool hce_producer_topic_invalid(const HceTopic *topic);
extern bool hce_producer_topic_denied(const HceTopic *topic);
extern bool hce_producer_topic_permission(const HceTopic *topic, char *to,
										  size_t size);
extern void hce_producer_topic_retry(HceTopic *topic);
extern void hce_producer_hold_topic(HceTopic *topic, bool held);
extern bool hce_producer_answered(HceProducer *producer, TimestampTz since);
extern void hce_producer_take_back(HceProducer *producer);
extern bool hce_producer_taking_back(const HceProducer *producer);
extern int	hce_producer_return_failed(HceProducer *producer,
									   const HceTopic *topic,
									   bool (*room) (void *));
extern char *hce_producer_space(HceProducer *producer, size_t size);
extern HceSend hce_producer_send(HceProducer *producer,
								 const HceMessage *message);
extern bool hce_producer_hand_over(HceProducer *producer);
extern bool hce_producer_poll(HceProducer *producer);
extern int	hce_producer_fd(const HceProducer *producer);
extern bool hce_producer_busy(const HceProducer *producer);
extern bool hce_producer_connected(const HceProducer *producer);
extern const char *hce_producer_waiting_for(const HceProducer *producer);
extern const char *hce_producer_hint(const HceProducer *producer);
extern bool hce_producer_files_changed(HceProducer *producer);
extern const char *hce_producer_error(const HceProducer *producer);
extern int	hce_producer_in_flight(const HceProducer *producer);
extern bool hce_producer_crowded(const HceProducer *producer);
extern void hce_producer_stop(HceProducer *producer);

#endif							/* HCE_PRODUCER_H */
