/*-------------------------------------------------------------------------
 *
 * relay_store.c
 *		What the relay has achieved: counters, the position row, the slot.
 *
 * Moves events from the settled prefix into the counters, writes counters,
 * dead letters and position in one transaction, gives WAL back once that
 * transaction is flushed, and shows it all in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/relay.h"
#include "relay/slot.h"

/* How often the row is written while events flow. */
#define STORE_INTERVAL_US	USECS_PER_SEC
#define STORE_EVENTS		10000

/* How often rates and ages are computed. */
#define RATE_INTERVAL_US	USECS_PER_SEC

/* Where an event type is in the array. */
typedef struct TypeNumber
{
	char		event_type[HCE_MAX_EVENT_TYPE + 1]; /* hash key */
	int			number;
} TypeNumber;

/* The entry of an event type in the table of numbers, made when new. */
static TypeNumber *
type_number(HceRelay *relay, const char *event_type, bool *found)
{
	if (relay->type_numbers == NULL)
	{
		HASHCTL		ctl;

		memset(&ctl, 0, sizeof(ctl));
		ctl.keysize = HCE_MAX_EVENT_TYPE + 1;
		ctl.entrysize = sizeof(TypeNumber);
		ctl.hcxt = relay->context;
		relay->type_numbers = hash_create("hcevents event types", 64, &ctl,
										  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	return hash_search(relay->type_numbers, event_type, HASH_ENTER, found);
}

/*
 * The relay's number of an event type; made when new.
 *
 * Types are never forgotten: their counters are the product's memory of what
 * was captured.  publish() takes any type, so there may be many; each costs
 * about a kilobyte and a half here, and finding one stays cheap.
 */
int
hce_relay_type(HceRelay *relay, const char *event_type, const char *topic)
{
	HceRelayType *type;
	TypeNumber *entry;
	bool		found;

	entry = type_number(relay, event_type, &found);
	if (found)
		return entry->number;
	/* should memory run out below, the relay ends: no half entry is met */
	entry->number = relay->ntypes;
	if (relay->ntypes == relay->types_capacity)
	{
		relay->types_capacity = Max(16, relay->types_capacity * 2);
		relay->types = relay->types == NULL ?
			MemoryContextAlloc(relay->context,
							   relay->types_capacity * sizeof(HceRelayType)) :
			repalloc(relay->types, relay->types_capacity * sizeof(HceRelayType));
	}
	type = &relay->types[relay->ntypes];
	memset(type, 0, sizeof(HceRelayType));
	strlcpy(type->event_type, event_type, sizeof(type->event_type));
	type->settled.event_type = MemoryContextStrdup(relay->context, event_type);
	type->settled.topic = MemoryContextStrdup(relay->context, topic);
	type->to_publish = true;
	return relay->ntypes++;
}

/* The topic that newer events of a type go to, as the views show it. */
void
hce_relay_set_topic(HceRelay *relay, int number, const char *topic)
{
	HceRelayType *type = &relay->types[number];
	const char *former = type->settled.topic;

	if (strcmp(former, topic) == 0)
		return;
	type->settled.topic = MemoryContextStrdup(relay->context, topic);
	pfree(unconstify(char *, former));
	type->to_publish = type->to_store = true;
}

static void
restore_type(const HceStoredCounters *counters, void *arg)
{
	HceRelay   *relay = arg;
	/* first the number: a new type may move the array */
	int			number = hce_relay_type(relay, counters->event_type,
										counters->topic);
	HceRelayType *type = &relay->types[number];
	HceStoredCounters kept = type->settled;

	type->settled = *counters;
	type->settled.event_type = kept.event_type;
	type->settled.topic = kept.topic;
	type->captured = counters->delivered + counters->dead + counters->parked;
	type->rate_count = counters->delivered;
	type->to_publish = true;
}

/* Take the counters of earlier lives from their table. */
void
hce_relay_restore_counters(HceRelay *relay)
{
	hce_position_load_counters(restore_type, relay);
	hce_dead_letters_restore(relay);
}

/* Count an event of "bytes", key and envelope, that Kafka acknowledged. */
void
hce_relay_count_delivered(HceRelay *relay, HceRelayType *type, uint32 bytes,
						  TimestampTz commit_time, TimestampTz settled_time)
{
	type->to_publish = true;
	type->to_store = true;
	type->settled.delivered++;
	type->settled.bytes += bytes;
	type->settled.latency[hce_histogram_bucket(settled_time - commit_time)]++;
	if (settled_time > type->settled.last_delivered)
		type->settled.last_delivered = settled_time;
}

static void
count_settled(HceRelay *relay, const HceInFlight *event)
{
	HceRelaySkeleton *skeleton = event->skeleton;
	HceRelayType *type = &relay->types[skeleton->type];

	type->to_publish = true;
	type->to_store = true;
	if (event->resent)
		type->settled.redelivered++;
	if (event->settled == HCE_DEAD)
	{
		type->settled.dead++;
		return;
	}
	if (event->settled == HCE_PARKED)
	{
		type->settled.parked++;
		return;
	}
	if (event->settled == HCE_LOST)
	{
		type->captured--;		/* its gap counts it */
		hce_parking_count_lost(relay, event);
		return;
	}
	hce_relay_count_delivered(relay, type, event->bytes, event->commit_time,
							  event->settled_time);
}

/* Count what has joined the settled prefix. */
void
hce_relay_settle(HceRelay *relay)
{
	HceInFlight *event;
	uint64		count = 0;

	while ((event = hce_settle_pop(relay->settle)) != NULL)
	{
		count_settled(relay, event);
		count++;
	}
	if (count > 0 && relay->unstored == 0)
		relay->stored_time = GetCurrentTimestamp();
	relay->unstored += count;
}

/*
 * The place up to which everything is settled: before the oldest event in
 * flight, else before what is to be sent next, else before what will be read
 * next.
 */
HcePosition
hce_relay_position(HceRelay *relay)
{
	HcePosition position = {0, 0};
	HceInFlight *oldest = hce_settle_oldest(relay->settle);
	HceCommitted *head = hce_assembler_head(relay->assembler);

	if (oldest != NULL)
		return oldest->position;
	if (head != NULL)
	{
		position.lsn = head->commit_lsn;
		position.index = relay->cursor.open ? relay->cursor.index : 0;
	}
	else
		position.lsn = hce_wal_reader_end(relay->wal);
	/* while reading again what was settled in an earlier life */
	if (hce_position_before(position, relay->stored_at_start))
		position = relay->stored_at_start;
	return position;
}

/* The start of the oldest WAL that a new life would need. */
static XLogRecPtr
needed_wal(HceRelay *relay)
{
	XLogRecPtr	in_flight = hce_settle_first_lsn(relay->settle);
	XLogRecPtr	unsent = hce_assembler_first_lsn(relay->assembler);
	XLogRecPtr	needed = hce_wal_reader_last(relay->wal);

	if (!XLogRecPtrIsInvalid(in_flight))
		needed = Min(needed, in_flight);
	if (!XLogRecPtrIsInvalid(unsent))
		needed = Min(needed, unsent);
	return needed;
}

/*
 * Whether the row should be written now: a second or 10,000 events after
 * events were settled, and otherwise only when many segments could be given
 * back.  Each relay's own commit is WAL that the others see, so the number of
 * relays counts, else an idle server would feed itself.
 */
bool
hce_relay_store_due(HceRelay *relay, TimestampTz now)
{
	uint64		idle_bytes = (uint64) (8 + relay->neighbours) * wal_segment_size;

	/* an idle relay's slot must not be the one that is given up for space */
	if (max_slot_wal_keep_size_mb >= 0)
		idle_bytes = Min(idle_bytes, (uint64) max_slot_wal_keep_size_mb * 1024 * 1024 / 4);

	/* first, since it looks at open transactions now and then */
	if (hce_open_records_due(relay, now))
		return true;
	if (hce_dead_letters_due(relay) || hce_parking_store_due(relay, now))
		return true;
	if (relay->unstored > 0)
		return relay->unstored >= STORE_EVENTS ||
			now - relay->stored_time >= STORE_INTERVAL_US;

	/* else a new standby would lack WAL that only the row asks for */
	if (relay->backup_seen)
		return true;

	/* walks over all that is pending, which is much while Kafka is away */
	if (now - relay->idle_looked < STORE_INTERVAL_US)
		return false;
	relay->idle_looked = now;
	return needed_wal(relay) > relay->stored.restart_lsn + idle_bytes;
}

static void
store_counters(HceRelay *relay)
{
	if (relay->clear_counters)
		hce_position_clear_counters();
	relay->clear_counters = false;
	for (int i = 0; i < relay->ntypes; i++)
	{
		if (relay->types[i].to_store)
			hce_position_put_counters(&relay->types[i].settled);
		relay->types[i].to_store = false;
	}
}

/*
 * Write the position, what it covers, and nothing else.  Returns false when
 * the extension is gone.
 */
bool
hce_relay_store(HceRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;

	relay->stored.settled = hce_relay_position(relay);
	relay->stored.sent = relay->sent;

	if (!hce_position_begin())
		return false;
	/* first, since what it copies need not stay in the WAL */
	hce_open_records_store(relay);
	relay->stored.restart_lsn = needed_wal(relay);
	hce_position_put(&relay->stored);
	hce_drain_store(relay);		/* makes dead letters, and counts */
	hce_dead_letters_store(relay);
	store_counters(relay);
	hce_parking_store(relay);
	relay->stored_commit = hce_position_commit();
	hce_parking_stored(relay);
	MemoryContextSwitchTo(old);

	hce_dead_letters_stored(relay);
	relay->unstored = 0;
	relay->backup_seen = false;
	relay->stored_time = GetCurrentTimestamp();
	return true;
}

/*
 * Give WAL back: up to the restart_lsn of a row whose commit is flushed, so
 * that no crash can leave a row that needs what is gone.  One commit at a time
 * is waited for: while parked events drain, a newer row is written each turn,
 * and the newest would never be flushed.  The slot's file is synced each time,
 * so only whole segments count.
 */
void
hce_relay_advance_slot(HceRelay *relay)
{
	XLogRecPtr	flushed = GetFlushRecPtr(NULL);
	XLogRecPtr	restart_lsn;

	if (flushed < relay->awaited_commit)
		return;
	restart_lsn = flushed < relay->stored_commit ? relay->awaited_restart_lsn :
		relay->stored.restart_lsn;
	relay->awaited_commit = relay->stored_commit;
	relay->awaited_restart_lsn = relay->stored.restart_lsn;
	if (restart_lsn / wal_segment_size <= relay->slot_lsn / wal_segment_size)
		return;
	hce_slot_advance(restart_lsn);
	relay->slot_lsn = restart_lsn;
}

/* Set all counters to zero; what is pending stays. */
void
hce_relay_reset_stats(HceRelay *relay)
{
	for (int i = 0; i < relay->ntypes; i++)
	{
		HceRelayType *type = &relay->types[i];

		type->captured -= type->settled.delivered + type->settled.dead;
		type->settled.delivered = type->settled.dead = 0;
		type->settled.redelivered = type->settled.bytes = 0;
		memset(type->settled.latency, 0, sizeof(type->settled.latency));
		type->rate_count = 0;
		type->per_second = 0;
		type->last_error[0] = '\0';
		type->last_error_time = 0;
		type->to_publish = true;
		type->to_store = true;
	}
	relay->clear_counters = true;
	relay->stored.stats_reset = GetCurrentTimestamp();
}

/* Called for each event in flight, oldest first. */
static void
note_oldest(HceInFlight *event, void *arg)
{
	HceRelay   *relay = arg;
	HceRelaySkeleton *skeleton = event->skeleton;
	HceRelayType *type = &relay->types[skeleton->type];

	if (type->oldest_pending == 0 || event->commit_time < type->oldest_pending)
		type->oldest_pending = event->commit_time;
}

/* The age of the oldest pending event of each type, and rates. */
static void
compute_ages(HceRelay *relay, TimestampTz now)
{
	HceCommitted *head = hce_assembler_head(relay->assembler);

	for (int i = 0; i < relay->ntypes; i++)
	{
		HceRelayType *type = &relay->types[i];
		double		seconds = (double) (now - type->rate_time) / USECS_PER_SEC;
		bool		pending = hce_relay_pending(type) > 0;
		TimestampTz oldest = pending && head != NULL ? head->commit_time : 0;

		if (type->rate_time != 0 && seconds > 0)
			type->per_second += ((double) (type->settled.delivered - type->rate_count) / seconds -
								 type->per_second) * Min(1.0, seconds / 10);
		if (type->rate_time == 0 || type->per_second > 0 || oldest != type->oldest_pending)
			type->to_publish = true;
		type->oldest_pending = oldest;
		type->rate_time = now;
		type->rate_count = type->settled.delivered;
	}
	hce_settle_visit_oldest(relay->settle, note_oldest, relay);
}

static void
publish_type(HceRelay *relay, HceRelayType *type)
{
	HceTypeKey	key;
	HceTypeStats *stats;
	bool		found;

	memset(&key, 0, sizeof(key));
	key.dboid = relay->shared->dboid;
	strlcpy(key.event_type, type->event_type, sizeof(key.event_type));
	stats = hash_search(hce_type_stats, &key, HASH_ENTER_NULL, &found);
	if (stats == NULL)
		return;
	strlcpy(stats->topic, type->settled.topic, sizeof(stats->topic));
	stats->captured = type->captured;
	stats->delivered = type->settled.delivered;
	stats->dead = type->settled.dead;
	stats->parked = type->settled.parked;
	stats->redelivered = type->settled.redelivered;
	stats->bytes = type->settled.bytes;
	stats->per_second = type->per_second;
	stats->rate_time = type->rate_time;
	stats->oldest_pending = type->oldest_pending;
	stats->last_captured = type->settled.last_captured;
	stats->last_delivered = type->settled.last_delivered;
	stats->last_error_time = type->last_error_time;
	memcpy(stats->last_error, type->last_error, sizeof(stats->last_error));
	memcpy(stats->latency, type->settled.latency, sizeof(stats->latency));
}

/*
 * Show the counters and the position in shared memory, under one hold of the
 * lock: who sees an event below settled_lsn finds it counted.
 */
void
hce_relay_publish_stats(HceRelay *relay)
{
	TimestampTz now = relay->poll_time;
	HceDatabase *db = relay->shared;
	HcePosition position = hce_relay_position(relay);
	HceInFlight *oldest = hce_settle_oldest(relay->settle);
	HceCommitted *head = hce_assembler_head(relay->assembler);
	int64		pending = 0;
	int64		parked = 0;

	if (now - relay->ages_time >= RATE_INTERVAL_US)
	{
		compute_ages(relay, now);
		relay->ages_time = now;
	}
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < relay->ntypes; i++)
	{
		HceRelayType *type = &relay->types[i];

		pending += hce_relay_pending(type);
		parked += type->settled.parked;
		if (type->to_publish)
			publish_type(relay, type);
		type->to_publish = false;
	}
	/* who sees an event settled finds it in the table when it is parked */
	if (!hce_parking_unstored(relay))
		db->settled_lsn = position.lsn;
	db->read_lsn = hce_wal_reader_end(relay->wal);
	db->restart_lsn = relay->slot_lsn;
	db->oldest_pending = oldest != NULL ? oldest->commit_time :
		head != NULL ? head->commit_time : 0;
	db->in_flight = relay->producer != NULL ?
		hce_producer_in_flight(relay->producer) : 0;
	db->pending = pending;
	db->parked = parked;
	db->dead = relay->dead_total + list_length(relay->dead);
	db->gaps = relay->gaps;
	db->foreign_messages = relay->foreign_messages;
	db->stats_reset = relay->stored.stats_reset;
	LWLockRelease(hce_shared->lock);
}
