/*-------------------------------------------------------------------------
 *
 * parking_backlog.c
 *		Whether undelivered events retain more WAL than they may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/timestamp.h"

#include "relay/parking.h"
#include "settings.h"

/* Kafka takes nothing when nothing was acknowledged for so long. */
#define STALLED_US			(3 * USECS_PER_SEC)

/* How often the WAL limit is looked at. */
#define LOOK_US				(200 * 1000)

/* With less, what is always under way would count as a backlog. */
#define LEAST_LIMIT			(1024 * 1024)

/*
 * The WAL that a relay may retain before it parks events, or copies those of
 * open transactions, in bytes, for a value of hcevents.max_retained_wal in
 * MB; 0 = any.
 */
uint64
hce_parking_wal_limit(int max_retained_wal)
{
	uint64		limit;

	if (max_retained_wal < 0)
		return 0;
	limit = (uint64) max_retained_wal * 1024 * 1024;
	if (max_slot_wal_keep_size_mb >= 0)
		limit = Min(limit, (uint64) max_slot_wal_keep_size_mb * 1024 * 1024 / 2);
	return Max(limit, LEAST_LIMIT);
}

/* The WAL from a place on; 0 = there is no such place. */
static uint64
wal_from(XLogRecPtr lsn)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	return XLogRecPtrIsInvalid(lsn) || lsn > end ? 0 : end - lsn;
}

/*
 * The WAL that undelivered events retain: from the first record of the oldest
 * of their transactions on.
 */
static uint64
retained_wal(HceRelay *relay)
{
	XLogRecPtr	first = hce_settle_first_lsn(relay->settle);
	HceCommitted *head = hce_assembler_head(relay->assembler);

	if (head != NULL && (XLogRecPtrIsInvalid(first) || head->first_lsn < first))
		first = head->first_lsn;
	return wal_from(first);
}

/*
 * The WAL that was written while an event waited: from the oldest undelivered
 * commit on.  What its transaction retained before that is not Kafka's fault.
 */
static uint64
awaiting_wal(HceRelay *relay)
{
	HceInFlight *oldest = hce_settle_oldest(relay->settle);
	HceCommitted *head = hce_assembler_head(relay->assembler);

	if (oldest != NULL)
		return wal_from(oldest->position.lsn);
	return wal_from(head != NULL ? head->commit_lsn : InvalidXLogRecPtr);
}

/* Something was sent, and no report has come yet. */
static bool
anything_in_flight(HceRelay *relay)
{
	return relay->producer != NULL && hce_producer_in_flight(relay->producer) > 0;
}

/*
 * Whether the WAL limit calls for parking, and whether that is over.  A Kafka
 * that is only slow may go on until half as much again was written meanwhile.
 */
void
hce_parking_look_at_wal(HceRelay *relay, TimestampTz now)
{
	HceParking *parking = relay->parking;
	uint64		limit = hce_parking_wal_limit(hce_max_retained_wal);
	uint64		wal;
	bool		stalled;

	if (now - parking->looked < LOOK_US)
		return;
	parking->looked = now;
	wal = retained_wal(relay);
	if (wal == 0 && !anything_in_flight(relay))
		parking->progress = now;
	stalled = now - parking->progress > STALLED_US;
	if (!parking->backlog && limit > 0 &&
		(awaiting_wal(relay) > limit + limit / 2 || (wal > limit && stalled)))
	{
		parking->backlog = true;
		ereport(WARNING,
				errmsg("the relay of database \"%s\" parks events: %llu MB of WAL wait for Kafka",
					   relay->database, (unsigned long long) (wal / (1024 * 1024))),
				errhint("Events are kept in hcevents.parked_events and sent in order when Kafka takes events again."));
	}
	else if (parking->backlog && relay->producer != NULL && !parking->paused &&
			 hce_producer_connected(relay->producer) &&
			 !hce_producer_taking_back(relay->producer) &&
			 (limit == 0 || wal <= limit / 2))
		parking->backlog = false;
	if (parking->backlog && stalled && anything_in_flight(relay))
		parking->take_back = true;
}
