/*-------------------------------------------------------------------------
 *
 * parking_retry.c
 *		When a topic that failed is tried again.
 *
 * That a topic is missing, metadata tells, and asking costs nothing.  That it
 * may not be written, or acknowledges nothing, only a message tells, and a try
 * that fails costs all topics: librdkafka's handle, since a hole in the
 * sequence numbers cannot be mended in it, and perhaps duplicates of what was
 * in flight.  (Kafka would tell the rights on a topic, but librdkafka asks for
 * them from 2.3 on only.)  So these tries become rare while they fail;
 * hcevents.resume() has the next one made at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "relay/parking.h"

/* How long a topic that failed while it drained is left alone. */
#define RETRY_US			USECS_PER_SEC
#define MAX_RETRY_US		(8 * USECS_PER_SEC)

/* The same where the try itself is dear. */
#define DEAR_RETRY_US		(5 * USECS_PER_SEC)
#define MAX_DEAR_RETRY_US	(5 * USECS_PER_MINUTE)

/* Whether only a message tells if the topic takes events again. */
static bool
try_is_dear(const HceParkTopic *park)
{
	return park->silent ||
		(park->topic != NULL && hce_producer_topic_denied(park->topic));
}

/*
 * A topic is to park because of what Kafka did, or did not: leave it alone for
 * a while, twice as long with each failure in a row.  One that took events for
 * longer than it was left alone begins anew.  (Not with its first event: one
 * partition may take them when another does not.)  Called before the mode
 * changes.
 */
void
hce_parking_leave_alone(HceParkTopic *park, TimestampTz now)
{
	bool		dear = try_is_dear(park);

	/* a direct one that is just missing drains as soon as it is there */
	if (park->paused || (park->mode == HCE_MODE_DIRECT && !dear))
		return;
	if (park->delivered - park->since > park->retry_us)
		park->retry_us = 0;
	park->retry_us = Max(dear ? DEAR_RETRY_US : RETRY_US, park->retry_us * 2);
	park->retry_us = Min(dear ? MAX_DEAR_RETRY_US : MAX_RETRY_US, park->retry_us);
	park->retry_time = now + park->retry_us;
}

/* hcevents.resume(): try all topics that were left alone. */
void
hce_parking_retry_all(HceRelay *relay)
{
	for (HceParkTopic *park = relay->parking->topics; park != NULL; park = park->next)
		park->retry_us = park->retry_time = 0;
}

/* What a topic that is left alone waits for; false = it is not. */
static bool
describe_wait(const HceParkTopic *park, char *to, Size size)
{
	if (park->retry_us == 0 || park->mode == HCE_MODE_DIRECT || park->paused ||
		park->rows <= 0 || !try_is_dear(park))
		return false;
	if (!hce_producer_topic_permission(park->topic, to, size))
		snprintf(to, size,
				 "topic \"%s\" to acknowledge events; look at the replicas and leaders of its partitions",
				 park->name);
	return true;
}

/*
 * What the relay waits for, "" for nothing.  A topic that is left alone is
 * told of when the connection, or another topic, does not say more.
 */
const char *
hce_parking_waiting_for(HceRelay *relay)
{
	HceParking *parking = relay->parking;
	const char *other = hce_producer_waiting_for(relay->producer);
	char		what[HCE_MAX_ERROR];

	if (!hce_producer_connected(relay->producer))
		return other;
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (!describe_wait(park, what, sizeof(what)))
			continue;
		if (strncmp(what, other, strlen(other)) != 0)
			return other;
		snprintf(parking->waiting_for, sizeof(parking->waiting_for),
				 "%s; tried again after %d s, or at once by hcevents.resume()",
				 what, (int) (park->retry_us / USECS_PER_SEC));
		return parking->waiting_for;
	}
	return other;
}
