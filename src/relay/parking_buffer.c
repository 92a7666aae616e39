/*-------------------------------------------------------------------------
 *
 * parking_buffer.c
 *		Events on their way from the journal to hcevents.parked_store.
 *
 * Keeps copies of the events that are parked until the next position row is
 * written with them, and counts those that are lost because the table has
 * reached hcevents.max_parked_size.  A lost event is written into its gap with
 * the position that covers it: until then a crash has it read again, and it
 * may find a place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "relay/parking.h"
#include "settings.h"

/*
 * When the buffer must be written before it takes more; one event may be
 * larger than that.
 */
#define BUFFER_EVENTS		10000
#define BUFFER_BYTES		(8 * 1024 * 1024)

/* Whether the buffer takes one more event. */
bool
hce_parking_room(void *arg)
{
	HceParking *parking = ((HceRelay *) arg)->parking;

	return parking->nbuffered < BUFFER_EVENTS &&
		parking->buffered_bytes < BUFFER_BYTES;
}

static HceSlice
copy_slice(HceParking *parking, HceSlice slice)
{
	char	   *copy;

	if (slice.data == NULL)
		return slice;
	copy = MemoryContextAllocHuge(parking->buffer_context, slice.len + 1);
	memcpy(copy, slice.data, slice.len);
	return (HceSlice) {copy, slice.len};
}

/* Put an event into the buffer. */
static void
buffer_event(HceRelay *relay, HceRelaySkeleton *skeleton, HcePosition position,
			 TimestampTz commit_time, const unsigned char *event_id,
			 HceSlice key, HceSlice headers, HceSlice envelope)
{
	HceParking *parking = relay->parking;
	HceParkTopic *park = skeleton->park;
	HceParkedEvent *event;

	if (parking->nbuffered == parking->buffer_capacity)
	{
		parking->buffer_capacity = Max(1024, parking->buffer_capacity * 2);
		parking->buffer = parking->buffer == NULL ?
			MemoryContextAlloc(relay->context,
							   parking->buffer_capacity * sizeof(HceParkedEvent)) :
			repalloc_huge(parking->buffer,
						  parking->buffer_capacity * sizeof(HceParkedEvent));
	}
	if (parking->nbuffered == 0)
		parking->buffered_since = relay->poll_time;
	event = &parking->buffer[parking->nbuffered++];
	event->key.timeline = relay->stored.timeline;
	event->key.epoch = relay->stored.epoch;
	event->key.position = position;
	memcpy(event->event_id, event_id, HCE_UUID_SIZE);
	event->commit_time = commit_time;
	event->skeleton = skeleton;
	event->message_key = copy_slice(parking, key);
	event->headers = copy_slice(parking, headers);
	event->envelope = copy_slice(parking, envelope);
	parking->buffered_bytes += key.len + headers.len + envelope.len;
	park->buffered++;
	park->rows++;
	park->bytes += hce_parked_bytes(event);
	park->to_store = true;
}

/* Whether max_parked_size is reached; an episode ends at nine tenths of it. */
static bool
parked_too_much(HceRelay *relay)
{
	HceParking *parking = relay->parking;
	int64		limit = (int64) hce_max_parked_size * 1024 * 1024;
	int64		bytes = 0;

	if (hce_max_parked_size < 0)
		return false;
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
		bytes += park->bytes;
	if (!parking->losing)
		return bytes >= limit;
	if (bytes >= limit / 10 * 9)
		return true;
	ereport(LOG,
			errmsg("events of database \"%s\" can be parked again", relay->database));
	parking->losing = false;
	return false;
}

/* An event that cannot be parked is lost, unless a crash comes first. */
static void
lose_event(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	if (!parking->losing)
	{
		/* one gap an episode; two that overlap share theirs */
		if (parking->lost_unsettled == 0 && !parking->gap_to_store)
		{
			parking->gap_id = 0;
			list_free_deep(parking->lost);
			parking->lost = NIL;
		}
		parking->losing = true;
		ereport(WARNING,
				errmsg("events of database \"%s\" are lost: hcevents.max_parked_size is reached",
					   relay->database),
				errhint("See hcevents.gaps for what is lost. Let Kafka take events again, or increase hcevents.max_parked_size."));
	}
	parking->lost_unsettled++;
}

/* The count of a type in the episode's gap, made when new. */
static HceLostType *
lost_type(HceRelay *relay, const char *event_type)
{
	HceParking *parking = relay->parking;
	HceLostType *lost;
	ListCell   *cell;
	MemoryContext old;

	foreach(cell, parking->lost)
	{
		lost = lfirst(cell);
		if (strcmp(lost->event_type, event_type) == 0)
			return lost;
	}
	old = MemoryContextSwitchTo(relay->context);
	lost = palloc0(sizeof(HceLostType));
	lost->event_type = event_type;
	parking->lost = lappend(parking->lost, lost);
	MemoryContextSwitchTo(old);
	return lost;
}

/*
 * A lost event has joined the settled prefix: the next position row covers
 * it, so count it in the gap that is written with that row.
 */
void
hce_parking_count_lost(HceRelay *relay, const HceInFlight *event)
{
	HceParking *parking = relay->parking;
	const HceRelaySkeleton *skeleton = event->skeleton;

	parking->lost_unsettled--;
	lost_type(relay, skeleton->event_type)->count++;
	if (!parking->gap_to_store)
	{
		parking->gap_from = event->position.lsn;
		parking->gap_time = event->commit_time;
	}
	parking->gap_to = event->position.lsn;
	parking->gap_to_store = true;
}

/*
 * Park an event of the journal that was never sent.  Its texts are copied.
 * Returns how it is settled: HCE_PARKED, HCE_LOST when there is no place in the
 * table and none in the WAL, or HCE_UNSETTLED when it must wait: nothing was
 * kept then.
 */
HceSettled
hce_parking_park(HceRelay *relay, HceRelaySkeleton *skeleton,
				 HcePosition position, TimestampTz commit_time,
				 const unsigned char *event_id, HceSlice key,
				 HceSlice headers, HceSlice envelope)
{
	if (skeleton->park->closing || !hce_parking_room(relay))
		return HCE_UNSETTLED;
	if (parked_too_much(relay))
	{
		/* its rows are being sent: the WAL is a place as long as it may grow */
		if (skeleton->park->mode == HCE_MODE_DRAINING && !relay->parking->backlog)
			return HCE_UNSETTLED;
		lose_event(relay);
		return HCE_LOST;
	}
	buffer_event(relay, skeleton, position, commit_time, event_id, key, headers,
				 envelope);
	return HCE_PARKED;
}

/* The headers behind our own, as pairs of strings. */
static HceSlice
foreign_headers(HceRelay *relay, const HceMessage *message)
{
	StringInfoData pairs;

	if (message->nheaders <= relay->nheaders)
		return (HceSlice) {NULL, 0};
	initStringInfo(&pairs);
	for (int i = relay->nheaders; i < message->nheaders; i++)
	{
		const HceHeader *header = &message->headers[i];
		uint8		len[10];

		appendBinaryStringInfo(&pairs, (const char *) len,
							   (int) (hce_put_varint(len, strlen(header->name)) - len));
		appendStringInfoString(&pairs, header->name);
		appendBinaryStringInfo(&pairs, (const char *) len,
							   (int) (hce_put_varint(len, header->value_len) - len));
		appendBinaryStringInfo(&pairs, header->value, (int) header->value_len);
	}
	return (HceSlice) {pairs.data, (uint32) pairs.len};
}

/*
 * Producer's callback: a message was taken back.  A row is in the table
 * still; an event of the journal is parked now, whatever the table's size:
 * these are few, and the oldest.
 */
void
hce_relay_returned(void *arg, uint64 number, const HceMessage *message)
{
	HceRelay   *relay = arg;
	HceInFlight *event;
	HceRelaySkeleton *skeleton;
	unsigned char id[HCE_UUID_SIZE] = {0};
	HceSlice	key = {message->key, (uint32) message->key_len};
	HceSlice	envelope = {message->value, (uint32) message->value_len};

	if (hce_drain_returned(relay, number))
		return;
	event = hce_settle_event(relay->settle, number);
	skeleton = event->skeleton;
	/* the envelope begins with its id */
	(void) hce_event_id_parse(message->value + sizeof("{\"event_id\":\"") - 1, id);
	buffer_event(relay, skeleton, event->position, event->commit_time, id, key,
				 foreign_headers(relay, message), envelope);
	skeleton->park->unsettled--;
	hce_settle_done(relay->settle, number, HCE_PARKED);
}
