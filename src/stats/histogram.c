/*-------------------------------------------------------------------------
 *
 * histogram.c
 *		Percentiles of a latency histogram.
 *
 * Pure: knows only the counters it is given.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "stats/histogram.h"

/*
 * The latency in milliseconds under which "fraction" of the samples lie,
 * interpolated in its bucket; -1 when there are no samples.  For the last,
 * unbounded bucket the answer is its lower bound.
 */
double
hce_histogram_percentile(const int64 *buckets, double fraction)
{
	int64		total = 0;
	double		wanted;
	double		seen = 0;

	for (int i = 0; i < HCE_BUCKETS; i++)
		total += buckets[i];
	if (total == 0)
		return -1;

	wanted = fraction * (double) total;
	for (int i = 0; i < HCE_BUCKETS; i++)
	{
		double		low = i == 0 ? 0 : hce_histogram_bound_ms(i - 1);
		double		high = hce_histogram_bound_ms(i);

		if (buckets[i] > 0 && seen + (double) buckets[i] >= wanted)
		{
			if (i == HCE_BUCKETS - 1)
				return low;
			return low + (high - low) * (wanted - seen) / (double) buckets[i];
		}
		seen += (double) buckets[i];
	}
	return hce_histogram_bound_ms(HCE_BUCKETS - 2);
}
