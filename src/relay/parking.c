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
 *	draining -> parking		the topic fails again, is silent or paused; or
 *							"backlog" while its rows are in flight
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

/*
 * How long a topic may be unavailable before its events are parked; one that
 * may not be written parks at once, see parking_retry.c.
 */
#define TOPIC_PATIENCE_US	(5 * USECS_PER_SEC)

/*
 * How long a topic may acknowledge nothing while brokers answer: longer than
 * Kafka needs for a new leader, since taking its messages back may cost
 * duplicates.
 */
#define SILENCE_US			(20 * USECS_PER_SEC)

/* The end of draining, see above. */
#define CLOSING_ROWS		2000
#define CLOSING_US			(2 * USECS_PER_SEC)

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
		hce_drain_rewind(relay, park);
	else
		hce_drain_drop_batch(relay, park);
	if (mode == HCE_MODE_DIRECT)
	{
		park->retry_us = 0;
		park->silent = false;
	}
	ereport(mode == HCE_MODE_PARKING ? WARNING : LOG,
			errmsg("events for topic \"%s\" of database \"%s\" are now %s: %s",
				   park->name, relay->database,
				   mode == HCE_MODE_PARKING ? "parked" :
				   mode == HCE_MODE_DRAINING ? "sent from hcevents.parked_events" :
				   "sent directly", reason),
			mode == HCE_MODE_PARKING ?
			errhint("They are kept in the database, and sent in order when the topic takes events again.") : 0);
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
 * a Kafka that is away as a whole is taken for that.  One row in flight, with
 * which a topic begins to drain, is no exception: while it stays, nothing that
 * failed is sent again, of any topic.
 */
static bool
is_silent(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	TimestampTz since;

	if (park->topic == NULL || !hce_producer_connected(relay->producer) ||
		hce_producer_taking_back(relay->producer))
		return false;
	since = hce_producer_topic_silent_since(relay->producer, park->topic);
	if (since == 0 || now - since < SILENCE_US / 2)
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
	/* also when it drains: what fails then must not wait among the failed */
	if (parking->backlog && (park->unsettled > 0 || park->draining > 0))
		return "hcevents.max_retained_wal";
	if (park->topic == NULL || !hce_producer_connected(relay->producer) ||
		hce_producer_taking_back(relay->producer))
		return NULL;
	since = hce_producer_topic_away_since(park->topic);
	if (since != 0 &&
		(park->mode == HCE_MODE_DRAINING || now - since > TOPIC_PATIENCE_US ||
		 hce_producer_topic_denied(park->topic)))
		return hce_producer_topic_problem(park->topic);
	if (is_silent(relay, park, now))
	{
		park->silent = true;
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
		/* a clock that was set back does not make the wait longer */
		(now >= park->retry_time || now < park->retry_time - park->retry_us) &&
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
			 now >= park->close_time && park->window > 1 && (silent == 0 || now - silent < CLOSING_US))
	{
		/* it takes events at present */
		park->closing = true;
		park->close_time = now + CLOSING_US;
	}
}

/*
 * The relay ends, and no topic drains any more: newer events need not wait for
 * that.
 */
void
hce_parking_open_all(HceRelay *relay)
{
	for (HceParkTopic *park = relay->parking->topics; park != NULL; park = park->next)
		park->closing = false;
}

static void
move_topic(HceRelay *relay, HceParkTopic *park, TimestampTz now)
{
	HceParking *parking = relay->parking;
	const char *reason;

	if (park->mode != HCE_MODE_PARKING &&
		(reason = reason_to_park(relay, park, now)) != NULL)
	{
		hce_parking_leave_alone(park, now);
		hce_parking_set_mode(relay, park, HCE_MODE_PARKING, reason);
	}
	else if (park->mode == HCE_MODE_PARKING && may_drain(relay, park, now))
	{
		hce_producer_topic_retry(park->topic);
		hce_parking_set_mode(relay, park, HCE_MODE_DRAINING, "the topic takes events");
	}
	if (park->mode == HCE_MODE_PARKING && relay->producer != NULL)
	{
		(void) hce_producer_return_failed(relay->producer, park->topic, hce_parking_room);
		/* what was in flight when it began to park may be silent, too */
		parking->take_back |= is_silent(relay, park, now);
	}
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

/* Obey hcevents.pause(), resume() and retry_dead_letters(). */
void
hce_parking_serve(HceRelay *relay)
{
	HceDatabase *db = relay->shared;
	bool		pauses;
	bool		parked;
	bool		adopt;
	bool		resumed;

	if (!db->pauses_changed && !db->parked_requested && !db->adopt_requested)
		return;
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	pauses = db->pauses_changed;
	parked = db->parked_requested;
	adopt = db->adopt_requested;
	resumed = db->resumed;
	db->pauses_changed = db->parked_requested = db->adopt_requested = false;
	db->resumed = false;
	LWLockRelease(hce_shared->lock);
	if (relay->wal == NULL)
	{
		if (adopt)
			hce_relay_adopt(relay);
		return;
	}
	if (pauses)
		hce_parking_note_pauses(relay);
	if (resumed)
		hce_parking_retry_all(relay);
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
	hce_parking_start_pauses(relay);
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
	{
		if (park->topic != NULL)
			hce_producer_hold_topic(park->topic, park->mode == HCE_MODE_PARKING);
	}
}
