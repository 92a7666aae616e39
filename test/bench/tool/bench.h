/*
 * bench.h
 *		What the commands of the measuring program share.
 *
 * Each command ends with one line of name=value pairs on standard output, and
 * with _exit(): librdkafka's threads need no joining then.
 */
#ifndef HCE_BENCH_H
#define HCE_BENCH_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Nanoseconds of the clock that others see, and of one that never jumps. */
extern int64_t wall_ns(void);
extern int64_t mono_ns(void);
extern void sleep_until(int64_t mono);

extern void die(const char *what, const char *why) __attribute__((noreturn));
extern void *xalloc(size_t size);
extern void conf_set(rd_kafka_conf_t *conf, const char *name,
					 const char *value);

/* "name=value" */
extern void conf_set_pair(rd_kafka_conf_t *conf, char *pair);

/*
 * A consumer of all partitions of a topic, from the ends as they are now or
 * from the beginning.  Partitions and start offsets are returned in "list",
 * which the caller frees.
 */
extern rd_kafka_t *consumer_new(const char *brokers, const char *topic,
								int from_beginning,
								rd_kafka_topic_partition_list_t **list);

/* Sum of the end offsets of a list's partitions, -1 when nobody answers. */
extern int64_t end_offsets(rd_kafka_t *rk,
						   const rd_kafka_topic_partition_list_t *list);

/* Prints p50, p90, p99 and max in milliseconds; sorts "values". */
extern void print_percentiles(int64_t *values, size_t count);

extern int	latency_main(int argc, char **argv);
extern int	ends_main(int argc, char **argv);
extern int	producer_main(int argc, char **argv);

#endif							/* HCE_BENCH_H */
