/*
 * stats/histogram.c: buckets and percentiles against sorted samples.
 */
#include "postgres.h"

#include <math.h>

#include "stats/histogram.h"

#include "unit.h"

static void
bucket_holds_its_latencies(void)
{
	CHECK_INT(hce_histogram_bucket(PG_INT64_MIN), 0);
	CHECK_INT(hce_histogram_bucket(-1), 0);
	CHECK_INT(hce_histogram_bucket(0), 0);
	CHECK_INT(hce_histogram_bucket(PG_INT64_MAX), HCE_BUCKETS - 1);
	for (int i = 0; i < HCE_BUCKETS - 1; i++)
	{
		int64		bound = HCE_FIRST_BOUND_US * (INT64CONST(1) << i);

		CHECK(hce_histogram_bound_ms(i) == (double) bound / 1000);
		CHECK_INT(hce_histogram_bucket(bound), i);
		CHECK_INT(hce_histogram_bucket(bound + 1), i + 1);
	}
}

static int
compare_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* A percentile lies in the bucket of the sample that it stands for. */
static void
percentile_in_the_samples_bucket(void)
{
	static const double fractions[] = {0.01, 0.25, 0.5, 0.95, 0.99, 1.0};

	for (int round = 0; round < unit_rounds(500); round++)
	{
		int64		buckets[HCE_BUCKETS] = {0};
		int64		samples[400];
		int			n = 1 + (int) unit_below(lengthof(samples));
		double		before = 0;

		for (int i = 0; i < n; i++)
		{
			samples[i] = (int64) (unit_random() >> (24 + unit_below(40)));
			buckets[hce_histogram_bucket(samples[i])]++;
		}
		qsort(samples, n, sizeof(int64), compare_int64);
		for (int f = 0; f < (int) lengthof(fractions); f++)
		{
			double		ms = hce_histogram_percentile(buckets, fractions[f]);
			int			rank = (int) ceil(fractions[f] * n) - 1;
			int			bucket = hce_histogram_bucket(samples[Max(rank, 0)]);

			CHECK(ms >= before);
			CHECK(ms >= (bucket == 0 ? 0 : hce_histogram_bound_ms(bucket - 1)));
			CHECK(ms <= hce_histogram_bound_ms(bucket));
			before = ms;
		}
	}
}

static void
no_samples(void)
{
	int64		buckets[HCE_BUCKETS] = {0};

	CHECK(hce_histogram_percentile(buckets, 0.5) == -1);
	buckets[HCE_BUCKETS - 1] = 3;
	CHECK(hce_histogram_percentile(buckets, 0.5) ==
		  hce_histogram_bound_ms(HCE_BUCKETS - 2));
}

const UnitTest histogram_tests[] = {
	{"histogram: a bucket holds its latencies", bucket_holds_its_latencies},
	{"histogram: a percentile is in its sample's bucket", percentile_in_the_samples_bucket},
	{"histogram: no samples, and the last bucket", no_samples},
	{NULL, NULL}
};
