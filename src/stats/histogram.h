/*-------------------------------------------------------------------------
 *
 * histogram.h
 *		Latency buckets: powers of two of 0.125 ms.
 *
 * A bucket holds the latencies up to its bound and above the one before.
 * Powers of two keep the relative error of a percentile under a factor of
 * two with 24 counters, from 0.125 ms to over 8 minutes; the last bucket
 * has no bound.  Percentiles are interpolated inside a bucket.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_HISTOGRAM_H
#define HCE_HISTOGRAM_H

#include "port/pg_bitutils.h"

#define HCE_BUCKETS			24
#define HCE_FIRST_BOUND_US	125

/* The bucket of a latency in microseconds; negative ones count as 0. */
static inline int
hce_histogram_bucket(int64 us)
{
	uint64		units;
	int			bucket;

	if (us <= HCE_FIRST_BOUND_US)
		return 0;
	units = ((uint64) us - 1) / HCE_FIRST_BOUND_US;
	bucket = pg_leftmost_one_pos64(units) + 1;
	return Min(bucket, HCE_BUCKETS - 1);
}

/* The upper bound of a bucket in milliseconds; infinite for the last one. */
static inline double
hce_histogram_bound_ms(int bucket)
{
	return HCE_FIRST_BOUND_US / 1000.0 * (double) (UINT64CONST(1) << bucket);
}

extern double hce_histogram_percentile(const int64 *buckets, double fraction);

#endif							/* HCE_HISTOGRAM_H */
