/*-------------------------------------------------------------------------
 *
 * producer_config.h
 *		What the settings say about the connection to Kafka, for librdkafka.
 *
 * For those that make a handle: the producer and the admin worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_PRODUCER_CONFIG_H
#define HCE_PRODUCER_CONFIG_H

#include <librdkafka/rdkafka.h>

#include "kafka_options.h"

extern bool hce_config_set(rd_kafka_conf_t *conf, const char *name,
						   const char *value, HceOptionsError *error);
extern bool hce_config_connection(rd_kafka_conf_t *conf,
								  const char *bootstrap_servers,
								  const HceKafkaOptions *options, int flags,
								  HceOptionsError *error);
extern rd_kafka_conf_t *hce_config_producer(const HceKafkaOptions *options,
											HceOptionsError *error);
extern const char *hce_config_old_scram(const HceKafkaOptions *options);
extern bool hce_config_certificate_error(rd_kafka_event_t *event, char *to,
										 Size size);

#endif							/* HCE_PRODUCER_CONFIG_H */
