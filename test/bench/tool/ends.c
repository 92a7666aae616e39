/*
 * ends.c
 *		When does a topic grow, and when has it grown by so many messages?
 *
 *	bench ends -b BROKERS -t TOPIC -n COUNT [-w SECONDS]
 *
 * Prints "ready" once the ends are noted, "first" at the first growth, and at
 * the end: got, and seconds since the epoch of the first growth and of the
 * last.  Asks every few milliseconds for the ends instead of consuming, so that
 * it costs next to nothing beside what is measured.  -w: how long at most
 * (600); no longer than QUIET_S without growth, after the first.
 */
#include <unistd.h>

#include "bench.h"

#define PAUSE_NS	5000000
#define QUIET_S		60

int
ends_main(int argc, char **argv)
{
	const char *brokers = NULL;
	const char *topic = NULL;
	int64_t		wanted = 0;
	double		longest = 600;
	int			option;

	while ((option = getopt(argc, argv, "b:t:n:w:")) != -1)
		switch (option)
		{
			case 'b':
				brokers = optarg;
				break;
			case 't':
				topic = optarg;
				break;
			case 'n':
				wanted = atoll(optarg);
				break;
			case 'w':
				longest = atof(optarg);
				break;
			default:
				return 2;
		}
	if (brokers == NULL || topic == NULL || wanted <= 0)
		die("ends", "needs -b, -t and -n");

	rd_kafka_topic_partition_list_t *list;
	rd_kafka_t *rk = consumer_new(brokers, topic, 0, &list);
	int64_t		base = 0;
	int64_t		got = 0;
	int64_t		first_got = 0;
	int64_t		first = 0;
	int64_t		last = 0;
	int64_t		grown = 0;
	int64_t		start = mono_ns();

	for (int i = 0; i < list->cnt; i++)
		base += list->elems[i].offset;
	printf("ready\n");
	fflush(stdout);
	while (got < wanted && mono_ns() - start < (int64_t) (longest * 1e9) &&
		   (grown == 0 || mono_ns() - grown < (int64_t) (QUIET_S * 1e9)))
	{
		int64_t		asked = wall_ns();
		int64_t		ends = end_offsets(rk, list);

		if (ends < 0 || ends - base <= got)
		{
			sleep_until(mono_ns() + PAUSE_NS);
			continue;
		}
		got = ends - base;
		last = asked;
		grown = mono_ns();
		if (first == 0)
		{
			first = asked;
			first_got = got;
			printf("first\n");
			fflush(stdout);
		}
		sleep_until(mono_ns() + PAUSE_NS);
	}
	printf("got=%lld first_got=%lld first_s=%.6f last_s=%.6f\n", (long long) got,
		   (long long) first_got, first / 1e9, last / 1e9);
	fflush(stdout);
	_exit(got >= wanted ? 0 : 1);
}
