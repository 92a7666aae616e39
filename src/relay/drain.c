/*-------------------------------------------------------------------------
 *
 * drain.c
 *		How parked events leave their table again, in order.
 *
 * A draining topic's rows are read in order, handed to the producer as the
 * relay would hand over events of the journal, and deleted when Kafka has
 * acknowledged them, in the transaction that writes the next position row
 * (drain_leave.c).
 * So a crash sends again what was acknowledged since that row was written, or
 * was in flight, with the same event_id and position: the rule for events
 * that never were parked.
 *
 * Messages from here have numbers of their own (HCE_DRAIN_NUMBER); the
 * relay's callbacks ask here first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/parking.h"
#include "relay/producer.h"

/* Rows of a topic sent in one turn of the loop. */
#define DRAIN_PER_TURN	2500

/*
 * Rows in flight: one at first, so that a topic that still takes nothing
 * holds no room that others need, then twice as many with each report.
 */
#define MAX_WINDOW		20000

/*
 * Unread WAL, in bytes, from which on a drain is slowed down.  It deletes rows:
 * that is WAL, with several topics more than a turn reads, and none of it can
 * be given back before it was flushed and read.
 */
#define FAR_BEHIND		(64 * 1024 * 1024)

/* A drain that is slowed down has a turn that often: others may write WAL
 * faster than we read, for hours. */
#define SLOWED_US		USECS_PER_SEC

/*
 * Rows that were read and not yet sent, of all topics: when they have so many
 * bytes none are read.  What one read brings may go beyond it.
 */
static Size
batch_limit(void)
{
	return Max(4 * 1024 * 1024, (Size) hce_relay_memory * 1024 / 4);
}

/* Free the rows of a topic that were read. */
void
hce_drain_drop_batch(HceRelay *relay, HceParkTopic *park)
{
	if (park->batch != NULL)
		MemoryContextReset(park->batch);
	relay->parking->batch_bytes -= park->batch_bytes;
	park->batch_bytes = 0;
	park->rows_read = NULL;
	park->nread = park->next_row = 0;
}

/* Begin at the first row again; none is in flight. */
void
hce_drain_rewind(HceRelay *relay, HceParkTopic *park)
{
	hce_drain_drop_batch(relay, park);
	memset(&park->read_to, 0, sizeof(park->read_to));
	memset(&park->sent_to, 0, sizeof(park->sent_to));
	park->read_empty = false;
	park->joined = false;
	park->rewound = true;
	park->window = 1;
}

/* Rows were moved by hand: what was read ahead may be there no more. */
void
hce_drain_drop_unsent(HceRelay *relay)
{
	for (HceParkTopic *park = relay->parking->topics; park != NULL; park = park->next)
	{
		if (park->mode != HCE_MODE_DRAINING)
			continue;
		hce_drain_drop_batch(relay, park);
		park->read_to = park->sent_to;
		park->read_empty = false;
	}
}

/* Make the places for rows in flight, all of them free. */
static void
make_places(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	parking->drained = MemoryContextAllocHuge(relay->context,
											  HCE_DRAIN_PLACES * sizeof(HceDrained));
	for (int i = 0; i < HCE_DRAIN_PLACES; i++)
		parking->drained[i].next_free = i + 1;
	parking->drained[HCE_DRAIN_PLACES - 1].next_free = -1;
	parking->free_drained = 0;
}

/* The number of the next row to be sent; there must be a free place. */
static uint64
next_number(const HceParking *parking)
{
	return HCE_DRAIN_NUMBER | parking->sent_drained << HCE_DRAIN_PLACE_BITS |
		(uint64) parking->free_drained;
}

/* The entry of a message, or NULL if it does not come from the table. */
static HceDrained *
find_drained(HceRelay *relay, uint64 number)
{
	return (number & HCE_DRAIN_NUMBER) == 0 ? NULL :
		&relay->parking->drained[number & (HCE_DRAIN_PLACES - 1)];
}

/* A row is in flight no more. */
static void
release_place(HceParking *parking, HceDrained *drained)
{
	drained->park->draining--;
	drained->next_free = parking->free_drained;
	parking->free_drained = (int) (drained - parking->drained);
}

/* A row that was sent is delivered, or dead. */
static void
settle_row(HceRelay *relay, HceDrained *drained, HceDeadLetter *letter)
{
	hce_drain_leave(relay, &drained->event, drained->park, drained->bytes,
					drained->resent, letter);
	release_place(relay->parking, drained);
}

/* A parked event is a dead letter; "message" is what was, or would be, sent. */
static HceDeadLetter *
bury(HceRelay *relay, const HceParkedEvent *event, const HceMessage *message,
	 const char *reason, const char *error)
{
	HceDeadLetter letter;

	hce_dead_letter_init(&letter, event->skeleton, event->key.position,
						 event->commit_time, event->event_id);
	letter.timeline = event->key.timeline;
	letter.epoch = event->key.epoch;
	if (message->key != NULL)
		letter.key = pnstrdup(message->key, message->key_len);
	hce_dead_letter_set_headers(&letter, message->headers, message->nheaders);
	letter.reason = unconstify(char *, reason);
	letter.error = unconstify(char *, error);
	letter.envelope = pnstrdup(message->value, message->value_len);
	letter.size = (int64) message->value_len;
	return hce_dead_letter_copy(relay, &letter);
}

/*
 * What became of a message.  Each returns false if it was not one of ours.
 */
bool
hce_drain_delivered(HceRelay *relay, uint64 number)
{
	HceDrained *drained = find_drained(relay, number);

	relay->parking->progress = relay->poll_time;
	if (drained == NULL)
		return false;
	drained->park->window = Min(MAX_WINDOW, drained->park->window * 2);
	drained->park->delivered = relay->poll_time;
	drained->park->silent = false;
	settle_row(relay, drained, NULL);
	return true;
}

bool
hce_drain_refused(HceRelay *relay, const HceMessage *message, const char *error)
{
	HceDrained *drained = find_drained(relay, message->number);

	if (drained == NULL)
		return false;
	settle_row(relay, drained,
			   bury(relay, &drained->event, message, "refused", error));
	return true;
}

/* It was taken back: its row is still there, and will be read again. */
bool
hce_drain_returned(HceRelay *relay, uint64 number)
{
	HceDrained *drained = find_drained(relay, number);

	if (drained == NULL)
		return false;
	if (drained->resent)
	{
		HceRelayType *type = &relay->types[drained->event.skeleton->type];

		type->settled.redelivered++;
		type->to_publish = type->to_store = true;
	}
	release_place(relay->parking, drained);
	return true;
}

bool
hce_drain_resent(HceRelay *relay, uint64 number)
{
	HceDrained *drained = find_drained(relay, number);

	if (drained == NULL)
		return false;
	drained->resent = true;
	return true;
}

bool
hce_drain_timestamp_ms(HceRelay *relay, uint64 number, int64 *ms)
{
	HceDrained *drained = find_drained(relay, number);

	if (drained == NULL)
		return false;
	*ms = hce_relay_kafka_time(drained->event.commit_time);
	return true;
}

/* Register a row as sent. */
static void
register_row(HceRelay *relay, HceParkTopic *park, const HceParkedEvent *event)
{
	HceParking *parking = relay->parking;
	HceDrained *drained = &parking->drained[parking->free_drained];

	parking->free_drained = drained->next_free;
	parking->sent_drained++;
	memset(drained, 0, sizeof(HceDrained));
	drained->event = *event;
	drained->event.message_key.data = NULL;
	drained->event.headers.data = NULL;
	drained->event.envelope.data = NULL;
	drained->park = park;
	drained->bytes = event->envelope.len + event->message_key.len;
	park->draining++;
}

/* Send a row, or make a dead letter of it when its topic is impossible. */
static HceSend
send_row(HceRelay *relay, HceParkTopic *park, const HceParkedEvent *event)
{
	char		id_text[HCE_UUID_TEXT + 1];
	char		position_text[HCE_POSITION_TEXT];
	HceHeader	headers[HCE_MAX_HEADERS];
	HceSlice	key = event->message_key;
	HceSlice	envelope = event->envelope;
	char	   *space = hce_producer_space(relay->producer,
										   (Size) envelope.len + key.len);
	HceMessage	message = {
		.topic = park->topic,
		.key = key.data == NULL ? NULL : memcpy(space + envelope.len, key.data, key.len),
		.key_len = key.len,
		.value = memcpy(space, envelope.data, envelope.len),
		.value_len = envelope.len,
		.timestamp_ms = hce_relay_kafka_time(event->commit_time),
		.headers = headers,
		.number = next_number(relay->parking)
	};
	HceSend		result;

	hce_event_id_format(event->event_id, id_text);
	message.nheaders = hce_relay_headers(relay, event->skeleton, event->headers,
										 id_text, position_text,
										 event->key.epoch, event->key.position,
										 headers);
	result = hce_producer_send(relay->producer, &message);
	if (result == HCE_SENT)
		register_row(relay, park, event);
	else if (result == HCE_SEND_NEVER)
		hce_drain_leave(relay, event, park,
				   envelope.len + key.len, false,
				   bury(relay, event, &message, "invalid_topic",
						psprintf("\"%s\" is no topic name that Kafka accepts",
								 park->name)));
	return result;
}

/*
 * Read the next rows, of those that the stored position covers: only for them
 * it is certain that the journal is not read for them again.
 */
static bool
read_more(HceRelay *relay, HceParkTopic *park)
{
	HceParkedKey end = {0, relay->stored.epoch, relay->stored.settled};

	/* behind a rewind are rows that are to be deleted; those held are skipped */
	if (park->read_empty || (park->rewound && park->leaving > park->held) ||
		relay->parking->batch_bytes >= batch_limit())
		return false;
	park->rewound = false;
	park->read_empty = hce_parked_read(relay, park, end) == 0;
	return !park->read_empty;
}

/* Send what a topic has; returns whether there is more to send at once. */
static bool
drain_topic(HceRelay *relay, HceParkTopic *park)
{
	HceParking *parking = relay->parking;

	for (int sent = 0; sent < DRAIN_PER_TURN; sent++)
	{
		/* what was read may tell that it is paused */
		if (park->paused || park->draining >= park->window ||
			parking->free_drained < 0)
			return false;
		/* newer events of other topics need room as well */
		if (hce_assembler_head(relay->assembler) != NULL &&
			hce_producer_crowded(relay->producer))
			return false;
		if (!hce_dead_letters_room(relay))
			return true;
		if (park->next_row == park->nread)
		{
			if (!read_more(relay, park))
				return false;
			continue;
		}
		if (send_row(relay, park, &park->rows_read[park->next_row]) == HCE_SEND_LATER)
			return false;
		park->sent_to = park->rows_read[park->next_row++].key;
		if (park->next_row == park->nread)
			hce_drain_drop_batch(relay, park);
	}
	return true;
}

/*
 * Whether so much WAL is unread that less should be written; well below what
 * the relay may retain.
 */
static bool
far_behind(HceRelay *relay)
{
	uint64		limit = hce_parking_wal_limit(hce_max_retained_wal);

	return hce_relay_unread(relay) >=
		(limit == 0 ? FAR_BEHIND : Min(FAR_BEHIND, limit / 4));
}

/* Whether rows wait for their turn because much WAL is unread. */
bool
hce_drain_slowed(const HceRelay *relay)
{
	return relay->parking != NULL && relay->parking->slowed;
}

static bool
any_draining(const HceParking *parking)
{
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->mode == HCE_MODE_DRAINING)
			return true;
	}
	return false;
}

/*
 * Send rows of the draining topics.  Returns whether there are more that may
 * be sent at once.
 */
bool
hce_drain_turn(HceRelay *relay)
{
	HceParking *parking = relay->parking;
	bool		more = false;

	parking->slowed = false;
	if (relay->producer == NULL || parking->paused || !any_draining(parking))
		return false;
	/* a clock that was set back does not make the wait longer */
	parking->slowed = relay->poll_time >= parking->drained_time &&
		relay->poll_time - parking->drained_time < SLOWED_US &&
	/* then nothing more can be read before something was sent */
		!hce_assembler_full(relay->assembler) && far_behind(relay);
	if (parking->slowed)
		return false;
	parking->drained_time = relay->poll_time;
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->mode != HCE_MODE_DRAINING)
			continue;
		if (parking->drained == NULL)
			make_places(relay);
		if (park->batch == NULL)
			park->batch = AllocSetContextCreate(relay->context, "hcevents drain",
												ALLOCSET_DEFAULT_SIZES);
		more |= drain_topic(relay, park);
	}
	return more;
}
