/*-------------------------------------------------------------------------
 *
 * parking.c
 *		Which topics park their events, and when they stop.
 *
 * Parking gives WAL back, or lets other topics pass, while Kafka or a topic
 * takes nothing: undelivered events move from the journal to
 * hcevents.parked_store in the transaction that moves the position over them,
 * and come back from there (drain.c).
 *
 * A topic is in one of three modes, a row of hcevents.topic_modes unless it
 * is direct:
 *
 *	direct	 -> parking		the relay retains more WAL than it may while Kafka
 *							takes nothing (all topics: "backlog"); the topic
 *							is away, silent or paused
 *	parking	 -> draining	none of the above holds, and the topic answers
 *	draining -> parking		the topic fails again, or is paused
 *	draining -> direct		it has no rows
 *
 * Invariants, on which order and completeness rest:
 *
 *	1. An event is parked only if librdkafka does not hold it: it was never
 *	   handed over, or its report has come.  Events in flight when a topic
 *	   begins to park stay in flight; those that fail come back and are parked
 *	   then, since a parking topic is held (hce_producer_hold_topic).  Newer
 *	   ones may be parked before: rows are read in the order of positions.
 *	2. In parking and draining, each newer event of the topic is parked.
 *	3. Draining begins when no event of the topic that was sent directly, and
 *	   no row, is in flight: what is sent then follows on what arrived.
 *	4. A row is written, and deleted, in a transaction that writes the position
 *	   row too.  Rows are sent only when the stored position covers them; a new
 *	   relay removes the others (hce_parked_load), because it will read those
 *	   events from the journal again.  Hence no event is in both, and none in
 *	   neither.
 *	5. Back to direct: in the transaction that deletes the last row, when the
 *	   buffer holds no event of the topic and none is in flight.  If a crash
 *	   loses that transaction, it loses the position of all direct events sent
 *	   since as well; they come again behind the rows, as duplicates.
 *	6. The mode is stored with, or before, the first row that it explains.
 *
 * A topic that drains while events keep coming would never be empty at the
 * moment of a write; so when few rows are left, its newer events wait in the
 * journal for at most CLOSING_US ("closing").
 *
 * hcevents.pause() of one event type pauses each topic that carries it: other
 * types on that topic wait with it, since order within a topic is promised.
 * Its events are parked at once, so that other topics go on.  Which types a
 * topic carries is learned from what is read, of the journal and of the table,
 * before any of it is sent: settings give a type another topic, or several.  A
 * pause of everything leaves events in the WAL until the limit.
 *
 * Beyond max_parked_size the newest events are lost, as one gap an episode.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/parking.h"
#include "settings.h"

/* How long a topic may be unavailable before its events are parked. */
#define TOPIC_PATIENCE_US	(5 * USECS_PER_SEC)

/*
 * How long a topic may acknowledge nothing while brokers answer: longer than
 * Kafka needs for a new leader, since taking its messages back may cost
 * duplicates.
 */
#define SILENCE_US			(20 * USECS_PER_SEC)

/* When the buffer of events to be parked is written. */
#define BUFFER_US			(100 * 1000)

/* When deletions are written. */
#define DELETE_EVENTS		10000
#define DELETE_US			USECS_PER_SEC

/* The end of draining, see above. */
#define CLOSING_ROWS		2000
#define CLOSING_US			(2 * USECS_PER_SEC)
#define CHECK_US			(20 * 1000)

/* How long a topic that failed while it drained is left alone. */
#define RETRY_US			USECS_PER_SEC
#define MAX_RETRY_US		(8 * USECS_PER_SEC)

const char *
hce_topic_mode_name(HceTopicMode mode)
{
	static const char *const names[] = {"direct", "parking", "draining"};

	return names[mode];
}

/* The topic of a name, made when new; lives as long as the process. */
HceParkTopic *
hce_parking_topic(HceRelay *relay, const char *name)
{
	HceParking *parking = relay->parking;
	HceParkTopic *park;

	for (park = parking->topics; park != NULL; park = park->next)
	{
		if (strcmp(park->name, name) == 0)
			return park;
	}
	park = MemoryContextAllocZero(relay->context, sizeof(HceParkTopic));
	park->name = MemoryContextStrdup(relay->context, name);
	park->window = 1;
	if (relay->producer != NULL)
		park->topic = hce_producer_topic(relay->producer, name);
	park->next = parking->topics;
	parking->topics = park;
	return park;
}

/* Change a topic's mode; it is stored with the next position row. */
void
hce_parking_set_mode(HceRelay *relay, HceParkTopic *park, HceTopicMode mode,
					 const char *reason)
{
	park->mode = mode;
	strlcpy(park->reason, reason, HCE_MAX_REASON);
	park->since = GetCurrentTimestamp();
	park->closing = false;
	park->close_time = 0;
	park->to_store = true;
	relay->parking->mode_changed = true;
	if (park->topic != NULL)
		hce_producer_hold_topic(park->topic, mode == HCE_MODE_PARKING);
	if (mode == HCE_MODE_DRAINING)
		hce_drain_rewind(park);
	if (mode == HCE_MODE_DIRECT)
		park->retry_us = 0;
	ereport(mode == HCE_MODE_PARKING ? WARNING : LOG,
			errmsg("events for topic \"%s\" of database \"%s\" are now %s: %s",
				   park->name, relay->database,
				   mode == HCE_MODE_PARKING ? "parked" :
				   mode == HCE_MODE_DRAINING ? "sent from hcevents.parked_events" :
				   "sent directly", reason),
			mode == HCE_MODE_PARKING ?
			errhint("They are kept in the database, and sent in order when the topic takes events again.") : 0);
}

/* Whether hcevents.pause() of this type is in force. */
static bool
is_paused(const HceRelay *relay, int type)
{
	ListCell   *cell;

	foreach(cell, relay->parking->paused_types)
	{
		if (strcmp(lfirst(cell), relay->types[type].event_type) == 0)
			return true;
	}
	return false;
}

/* A topic carries events of a type. */
void
hce_parking_note_type(HceRelay *relay, HceParkTopic *park, int type)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);

	park->types = list_append_unique_int(park->types, type);
	park->paused |= is_paused(relay, type);
	MemoryContextSwitchTo(old);
}

/* hcevents.pauses has changed. */
void
hce_parking_note_pauses(HceRelay *relay)
{
	for (HceParkTopic *park = relay->parking->topics; park != NULL; park = park->next)
	{
		ListCell   *cell;

		park->paused = false;
		foreach(cell, park->types)
			park->paused |= is_paused(relay, lfirst_int(cell));
	}
}

/*
 * What the counters tell of topics whose rows were not read yet: a paused one
 * then need not drain until the first row of the paused type.  Only a hint:
 * newer events may go to another topic.
 */
static void
guess_types(HceRelay *relay)
{
	for (int i = 0; i < relay->ntypes; i++)
	{
		HceParkTopic *park = relay->parking->topics;

		while (park != NULL && strcmp(park->name, relay->types[i].settled.topic) != 0)
			park = park->next;
		if (park != NULL && park->rows > 0)
			hce_parking_note_type(relay, park, i);
	}
}

/* Whether events of a topic are to be parked. */
bool
hce_parking_holds(HceRelay *relay, const HceParkTopic *const_park)
{
	HceParkTopic *park = unconstify(HceParkTopic *, const_park);

	if (park->mode == HCE_MODE_DIRECT)
	{
		if (park->paused)
			hce_parking_set_mode(relay, park, HCE_MODE_PARKING, "paused");
		else if (relay->parking->backlog)
			hce_parking_set_mode(relay, park, HCE_MODE_PARKING, "hcevents.max_retained_wal");
	}
	return park->mode != HCE_MODE_DIRECT;
}

/*
 * Whether messages of a topic stay without acknowledgement although brokers
 * answer: its partitions are full, or lack replicas.  Brokers are asked, lest
 * a Kafka that is away as a whole is taken for that.  While the topic drains
 * one message in flight is a trial, and holds up nobody.
 */
static bool
is_silent(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	TimestampTz since = hce_producer_topic_silent_since(relay->producer, park->topic);

	if (since == 0 || now - since < SILENCE_US / 2 ||
		(park->mode == HCE_MODE_DRAINING && park->draining <= 1))
		return false;
	if (!hce_producer_answered(relay->producer, since + SILENCE_US / 2))
		return false;
	return now - since >= SILENCE_US;
}

/* Why a topic that is sent to must park, or NULL. */
static const char *
reason_to_park(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	HceParking *parking = relay->parking;
	TimestampTz since;

	if (park->paused)
		return "paused";
	if (park->mode == HCE_MODE_DIRECT && parking->backlog && park->unsettled > 0)
		return "hcevents.max_retained_wal";
	if (park->topic == NULL || !hce_producer_connected(relay->producer) ||
		hce_producer_taking_back(relay->producer))
		return NULL;
	since = hce_producer_topic_away_since(park->topic);
	if (since != 0 &&
		(park->mode == HCE_MODE_DRAINING || now - since > TOPIC_PATIENCE_US))
		return hce_producer_topic_problem(park->topic);
	if (is_silent(relay, park, now))
	{
		parking->take_back = true;
		return "Kafka answers, but acknowledges nothing";
	}
	return NULL;
}

/* Whether a parking topic may send its rows. */
static bool
may_drain(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	HceParking *parking = relay->parking;

	return relay->producer != NULL && !parking->paused && !parking->backlog &&
		!park->paused && park->unsettled == 0 && park->draining == 0 &&
		now >= park->retry_time &&
		hce_producer_connected(relay->producer) &&
		!hce_producer_taking_back(relay->producer) &&
		(hce_producer_topic_ready(relay->producer, park->topic) ||
		 hce_producer_topic_invalid(park->topic));
}

/* Let newer events wait when few rows are left, but not for long. */
static void
close_draining(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	TimestampTz silent = hce_producer_topic_silent_since(relay->producer, park->topic);

	if (park->closing && now >= park->close_time)
	{
		park->closing = false;
		park->close_time = now + CLOSING_US;
	}
	else if (!park->closing && park->rows <= CLOSING_ROWS && park->held == 0 &&
			 now >= park->close_time &&
			 park->window > 1 && (silent == 0 || now - silent < CLOSING_US))
	{
		/* it takes events at present */
		park->closing = true;
		park->close_time = now + CLOSING_US;
	}
}

static void
move_topic(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	const char *reason;

	if (park->mode != HCE_MODE_PARKING &&
		(reason = reason_to_park(relay, park, now)) != NULL)
	{
		if (park->mode == HCE_MODE_DRAINING && !park->paused)
		{
			park->retry_us = Min(MAX_RETRY_US, Max(RETRY_US, park->retry_us * 2));
			park->retry_time = now + park->retry_us;
		}
		hce_parking_set_mode(relay, park, HCE_MODE_PARKING, reason);
	}
	else if (park->mode == HCE_MODE_PARKING && may_drain(relay, park, now))
	{
		hce_producer_topic_retry(park->topic);
		hce_parking_set_mode(relay, park, HCE_MODE_DRAINING, "the topic takes events");
	}
	if (park->mode == HCE_MODE_PARKING && relay->producer != NULL)
		(void) hce_producer_return_failed(relay->producer, park->topic, hce_parking_room);
	if (park->mode == HCE_MODE_DRAINING && park->topic != NULL)
		close_draining(relay, park, now);
}

/* A turn's look at all topics, before anything is sent. */
void
hce_parking_turn(HceRelay *relay)
{
	HceParking *parking = relay->parking;
	TimestampTz now = relay->poll_time;

	hce_parking_look_at_wal(relay, now);
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
		move_topic(relay, park, now);
	if (parking->take_back)
		hce_producer_take_back(relay->producer);
	parking->take_back = false;
}

/* Whether events of the journal stay there: neither sent nor parked. */
bool
hce_parking_stopped(const HceRelay *relay)
{
	return (relay->producer == NULL || relay->parking->paused) &&
		!relay->parking->backlog;
}

/* hcevents.pause() of everything: the reason, or NULL. */
const char *
hce_parking_paused(const HceRelay *relay)
{
	return relay->parking->paused ? relay->parking->pause_reason : NULL;
}

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

	park->checked = relay->poll_time;
	if (hce_parked_remain(park->name, &events, &bytes))
	{
		/* not covered by the position before, or somebody added it */
		hce_drain_rewind(park);
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

/* A topic that is sent to directly has rows: drain them. */
static void
drain_joined(HceRelay *relay, HceParkTopic *park)
{
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

/* Obey hcevents.pause(), resume() and retry_dead_letters(). */
void
hce_parking_serve(HceRelay *relay)
{
	HceDatabase *db = relay->shared;
	bool		pauses;
	bool		parked;
	bool		adopt;

	if (!db->pauses_changed && !db->parked_requested && !db->adopt_requested)
		return;
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	pauses = db->pauses_changed;
	parked = db->parked_requested;
	adopt = db->adopt_requested;
	db->pauses_changed = db->parked_requested = db->adopt_requested = false;
	LWLockRelease(hce_shared->lock);
	if (relay->wal == NULL)
	{
		if (adopt)
			hce_relay_adopt(relay);
		return;
	}
	if (pauses)
	{
		hce_parked_load_pauses(relay);
		hce_parking_note_pauses(relay);
	}
	if (parked)
		hce_drain_drop_unsent(relay);
}

/* Make the state of parking from its tables; the counters are there. */
void
hce_parking_start(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	parking->buffer_context = AllocSetContextCreate(relay->context,
													"hcevents parking",
													ALLOCSET_DEFAULT_SIZES);
	parking->progress = relay->poll_time;
	if (relay->wal == NULL)
		return;
	hce_parked_load(relay);
	hce_parked_load_pauses(relay);
	guess_types(relay);
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->topic != NULL)
			hce_producer_hold_topic(park->topic, park->mode == HCE_MODE_PARKING);
	}
}
