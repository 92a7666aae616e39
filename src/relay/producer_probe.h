/*-------------------------------------------------------------------------
 *
 * producer_probe.h
 *		Calls of librdkafka that may wait, in a thread of their own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_PRODUCER_PROBE_H
#define HCE_PRODUCER_PROBE_H

#include <librdkafka/rdkafka.h>

typedef struct HceProducerProbe HceProducerProbe;

extern HceProducerProbe *hce_producer_probe_start(rd_kafka_t *handle,
											  rd_kafka_topic_t *topic,
											  int wake_fd);
extern bool hce_producer_probe_done(HceProducerProbe *probe,
								  rd_kafka_resp_err_t *error,
								  rd_kafka_resp_err_t *topic_error,
								  int *npartitions);
extern void hce_producer_probe_destroy_handle(rd_kafka_t *handle);

#endif							/* HCE_PRODUCER_PROBE_H */
