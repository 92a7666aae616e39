/*-------------------------------------------------------------------------
 *
 * kafka_client.h
 *		The librdkafka handle of the admin worker, and waiting for it.
 *
 * Prototypes of the files that run in the admin worker only and see
 * librdkafka, grouped by file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_KAFKA_CLIENT_H
#define HCE_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "admin/admin.h"

/* One request: what is needed while waiting for its end. */
typedef struct HceKafkaRun
{
	const HceAdminRequest *request;
	const char **topics;
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;	/* of errors, logs and results */
	TimestampTz all_down_since; /* 0 = they are not */
	bool		has_controller; /* known once topics were described */
	char		last_error[HCE_ADMIN_DETAIL_SIZE];
	char		certificate_error[HCE_ADMIN_DETAIL_SIZE];	/* explains the next */
} HceKafkaRun;

/* kafka_client.c */
extern rd_kafka_event_t *hce_kafka_poll(HceKafkaRun *run,
										rd_kafka_event_type_t wanted);
extern bool hce_kafka_is_hopeless(const HceKafkaRun *run);
extern int	hce_kafka_milliseconds_left(const HceKafkaRun *run);
extern void hce_kafka_answer_failure(const HceKafkaRun *run,
									 rd_kafka_resp_err_t error,
									 const char *message,
									 HceAdminAnswer *answer);
extern void hce_kafka_copy_message(char *to, const char *from, Size size);

/* kafka_describe.c */
extern void hce_kafka_describe_topics(HceKafkaRun *run,
									  HceAdminAnswer *answer);

/* kafka_create.c */
extern void hce_kafka_create_topics(HceKafkaRun *run, const char *config,
									HceAdminAnswer *answer);

#endif							/* HCE_KAFKA_CLIENT_H */
