/*-------------------------------------------------------------------------
 *
 * parking_store.c
 *		What parking writes with the position row, and when.
 *
 * Events that are parked, modes of topics and lost events are written in the
 * transaction of the position that covers them; see the invariants in
 * parking.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/parking.h"

/* When the buffer of events to be parked is written. */
#define BUFFER_US			(100 * 1000)

/* When deletions are written. */
#define DELETE_EVENTS		10000
#define DELETE_US			USECS_PER_SEC

/* How often the table is asked whether a topic has no row left. */
#define CHECK_US			(20 * 1000)

/* Whether events that count as parked are not in the table yet. */
bool
hce_parking_unstored(const HceRelay *relay)
{
	return relay->parking->nbuffered > 0 || relay->parking->gap_to_store;
}

/* A draining topic that seems to have no row left. */
static bool
seems_drained(const HceParkTopic *park)
{
	return park->mode == HCE_MODE_DRAINING && park->draining == 0 &&
		park->held == 0 && park->buffered == 0 && park->next_row == park->nread && park->read_empty;
}

/* Whether the position row should be written because of us. */
bool
hce_parking_store_due(HceRelay *relay, TimestampTz now)
{
	HceParking *parking = relay->parking;

	if (parking->mode_changed || parking->letters_leave || !hce_parking_room(relay) ||
		(hce_parking_unstored(relay) && now - parking->buffered_since >= BUFFER_US) ||
		parking->nleaving - parking->nheld >= DELETE_EVENTS ||
		(parking->nleaving > 0 && now - parking->leaving_since >= DELETE_US))
		return true;
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->mode == HCE_MODE_DRAINING &&
			((park->closing && park->buffered > 0) ||
			 (park->rewound && park->leaving > park->held) ||
			 (seems_drained(park) && now - park->checked >= CHECK_US)))
			return true;
	}
	return false;
}

/* Back to direct if the table has no row of the topic; in the transaction. */
static void
end_draining(HceRelay *relay, HceParkTopic *park)
{
	int64		events;
	int64		bytes;
	bool		added;

	park->checked = relay->poll_time;
	if (hce_parked_remain(park, &events, &bytes, &added))
	{
		/* not covered by the position before, or somebody added it */
		park->read_empty = false;
		return;
	}
	/* rows before it: by hand, or the count says so, which is asked once */
	if (park->joined || added ||
		(park->rows + events != 0 && !XLogRecPtrIsInvalid(park->read_to.position.lsn)))
	{
		hce_drain_rewind(relay, park);
		return;
	}
	/* zero, when what others have moved is added too (hce_parking_moved) */
	park->rows = -events;
	park->bytes = -bytes;
	hce_parking_set_mode(relay, park, HCE_MODE_DIRECT, "all parked events are delivered");
}

/*
 * Rows of a topic were moved by hand: "events" and "bytes" are what its table
 * has more, or less.  Inside the transaction of hce_parking_store(), before
 * it.  Exact, whether the relay has read these rows meanwhile or not; to count
 * the table instead would read all of it for each call of a function.
 */
void
hce_parking_moved(HceRelay *relay, const char *topic, int type, int64 events,
				  int64 bytes)
{
	HceParkTopic *park;

	if (events == 0 && bytes == 0)
		return;
	park = hce_parking_topic(relay, topic);
	hce_parking_note_type(relay, park, type);
	park->rows += events;
	park->bytes += bytes;
	park->joined |= events > 0;
	park->to_store = true;
}

/*
 * Rows have joined those of a topic: drain them if it is sent to directly.  If
 * it drains it begins at the first row again when it seems to have none left.
 */
static void
drain_joined(HceRelay *relay, HceParkTopic *park)
{
	if (park->mode == HCE_MODE_DRAINING)
		return;
	park->joined = false;
	if (park->mode == HCE_MODE_DIRECT && hce_parked_exist(park->name))
		hce_parking_set_mode(relay, park, HCE_MODE_DRAINING,
							 "parked events to send again");
}

/*
 * Write what belongs to the position row; inside its transaction.  Should
 * that fail the relay ends, so memory may run ahead of the tables here.
 */
void
hce_parking_store(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	if (parking->nbuffered > 0)
		hce_parked_put(parking->buffer, parking->nbuffered);
	if (parking->gap_to_store)
	{
		if (hce_parked_put_gap(parking))
			relay->gaps++;
	}
	parking->gap_to_store = false;
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->joined)
			drain_joined(relay, park);
		if (seems_drained(park))
			end_draining(relay, park);
		if (park->to_store)
			hce_parked_put_mode(park);
		park->to_store = false;
	}
	parking->mode_changed = false;
}

/* That transaction has committed. */
void
hce_parking_stored(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->rows > park->draining)
			park->read_empty = false;
		park->buffered = 0;
	}
	parking->nbuffered = 0;
	parking->buffered_bytes = 0;
	MemoryContextReset(parking->buffer_context);
}
