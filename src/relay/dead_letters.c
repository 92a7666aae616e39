/*-------------------------------------------------------------------------
 *
 * dead_letters.c
 *		Events that Kafka can never take, from the relay to their store.
 *
 * A dead letter is kept in memory until the next position row is written and
 * goes into hcevents.dead_letter_store in the same transaction.  What DBAs do
 * with the store (retry, discard, forget, delete by hand) happens in their
 * own transactions; they leave what that means for the counters in
 * hcevents.counter_changes and wake the relay (by_hand.c), which takes it into
 * its counters in one transaction with them.  So a crash at any point counts
 * each event once.
 *
 * The letters in hcevents.status are those in the store: who deletes one has
 * dealt with it.  The dead events in hcevents.delivery_stats are all that
 * became dead letters and were not retried.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/relay.h"
#include "relay/statement.h"

/*
 * To count letters and gaps takes at most one part in so many of the relay's
 * time: anybody can ask for it (by_hand.c), and there may be millions.
 */
#define RECOUNT_PART	20

/* How often old letters are looked for, and how many are dealt with at once. */
#define LOOK_INTERVAL_US	(10 * USECS_PER_MINUTE)
#define LOOK_AGAIN_US		USECS_PER_SEC
#define LOOK_LIMIT			500

/*
 * Letters are made until they have so many bytes; then they are stored first.
 * One of them may be larger than that.
 */
#define MAX_LETTER_BYTES	(4 * 1024 * 1024)

/*
 * Begin a letter with what a skeleton and a place tell; "letter" borrows all
 * texts.  The caller sets reason and error, and key, headers and envelope
 * where there are any.
 */
void
hce_dead_letter_init(HceDeadLetter *letter, const HceRelaySkeleton *skeleton,
					 HcePosition position, TimestampTz commit_time,
					 const unsigned char *id)
{
	bool		by_hand = skeleton->table[0] == '\0';

	memset(letter, 0, sizeof(*letter));
	memcpy(letter->event_id, id, HCE_UUID_SIZE);
	letter->event_type = skeleton->event_type;
	letter->topic = skeleton->topic_name;
	letter->source_schema = by_hand ? NULL : skeleton->schema;
	letter->source_table = by_hand ? NULL : skeleton->table;
	letter->position = position;
	letter->commit_time = commit_time;
}

static char *
copy_bytes(const char *data, size_t len)
{
	char	   *copy = palloc(len + 1);

	memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

/*
 * Give a letter the headers of its message that publish() was given; our own
 * are made again when it is retried.  Allocates in the current context.
 */
void
hce_dead_letter_set_headers(HceDeadLetter *letter, const HceHeader *headers,
							int count)
{
	letter->headers = palloc((2 * count + 1) * sizeof(char *));
	letter->nheaders = 0;
	for (int i = 0; i < count; i++)
	{
		bool		own = false;

		for (int n = 0; n < HCE_HEADERS; n++)
			own |= strcmp(headers[i].name, hce_header_names[n]) == 0;
		if (own)
			continue;
		letter->headers[letter->nheaders++] = pstrdup(headers[i].name);
		letter->headers[letter->nheaders++] = copy_bytes(headers[i].value,
														 headers[i].value_len);
	}
}

static char *
copy_or_null(const char *string)
{
	return string != NULL ? pstrdup(string) : NULL;
}

/* Whether there is room for one more letter before those at hand are stored. */
bool
hce_dead_letters_room(const HceRelay *relay)
{
	return relay->letter_bytes < MAX_LETTER_BYTES;
}

/* A letter that cannot be stored now: others need not wait until it can. */
void
hce_dead_letter_discount(HceRelay *relay, HceDeadLetter *letter)
{
	relay->letter_bytes -= letter->bytes;
	letter->bytes = 0;
}

/* Free a letter that hce_dead_letter_copy() made. */
void
hce_dead_letter_free(HceRelay *relay, HceDeadLetter *letter)
{
	hce_dead_letter_discount(relay, letter);
	MemoryContextDelete(letter->context);
}

/* A letter with texts of its own, until hce_dead_letter_free(). */
HceDeadLetter *
hce_dead_letter_copy(HceRelay *relay, const HceDeadLetter *letter)
{
	MemoryContext context = AllocSetContextCreate(relay->context,
												  "hcevents dead letter",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HceDeadLetter *copy = palloc(sizeof(HceDeadLetter));

	*copy = *letter;
	copy->context = context;
	copy->event_type = pstrdup(letter->event_type);
	copy->topic = copy_or_null(letter->topic);
	copy->source_schema = copy_or_null(letter->source_schema);
	copy->source_table = copy_or_null(letter->source_table);
	copy->key = copy_or_null(letter->key);
	copy->reason = pstrdup(letter->reason);
	copy->error = pstrdup(letter->error);
	copy->envelope = copy_or_null(letter->envelope);
	copy->headers = palloc((letter->nheaders + 1) * sizeof(char *));
	for (int i = 0; i < letter->nheaders; i++)
		copy->headers[i] = pstrdup(letter->headers[i]);
	if (copy->epoch == 0)
	{
		copy->timeline = relay->stored.timeline;
		copy->epoch = relay->stored.epoch;
	}
	MemoryContextSwitchTo(old);
	copy->bytes = MemoryContextMemAllocated(context, true);
	relay->letter_bytes += copy->bytes;
	return copy;
}

/*
 * Keep such a copy until the next position row is written with it, and tell of
 * it in the log and in hcevents.delivery_stats.
 */
void
hce_dead_letter_keep_copy(HceRelay *relay, HceDeadLetter *letter)
{
	int			number = hce_relay_type(relay, letter->event_type, letter->topic);
	HceRelayType *type = &relay->types[number];
	MemoryContext old = MemoryContextSwitchTo(relay->context);

	relay->dead = lappend(relay->dead, letter);
	MemoryContextSwitchTo(old);

	strlcpy(type->last_error, letter->error, HCE_MAX_ERROR);
	type->last_error_time = GetCurrentTimestamp();
	type->to_publish = true;
	ereport(WARNING,
			errmsg("an event of type \"%s\" is a dead letter (%s): %s",
				   letter->event_type, letter->reason, letter->error),
			errhint("See hcevents.dead_letters."));
}

void
hce_dead_letter_keep(HceRelay *relay, const HceDeadLetter *letter)
{
	hce_dead_letter_keep_copy(relay, hce_dead_letter_copy(relay, letter));
}

static int64
int8_result(uint64 row, int number)
{
	return DatumGetInt64(hce_result(row, number, NULL));
}

/*
 * Take what was moved by hand into the counters and the sizes of topics, which
 * the caller writes in the same transaction.  What joins without having been
 * counted elsewhere (hce_parked_count_kept) is captured by it.  Letters that
 * reset_stats() has forgotten are captured again when they are retried, as
 * what was pending at the reset is.
 */
static void
take_changes(HceRelay *relay)
{
	hce_statement_query("WITH c AS (DELETE FROM hcevents.counter_changes RETURNING *)"
		  " SELECT event_type, topic,"
		  " pg_catalog.sum(dead)::pg_catalog.int8,"
		  " pg_catalog.sum(parked)::pg_catalog.int8,"
		  " pg_catalog.sum(events)::pg_catalog.int8,"
		  " pg_catalog.sum(bytes)::pg_catalog.int8"
		  " FROM c GROUP BY event_type, topic", SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		const char *event_type = TextDatumGetCString(hce_result(i, 1, NULL));
		const char *topic = TextDatumGetCString(hce_result(i, 2, NULL));
		int			number = hce_relay_type(relay, event_type, topic);
		HceRelayType *type = &relay->types[number];
		int64		dead = type->settled.dead + int8_result(i, 3);

		type->captured += int8_result(i, 3) + int8_result(i, 4);
		if (dead < 0)
			type->captured -= dead;
		type->settled.dead = Max(dead, 0);
		type->settled.parked += int8_result(i, 4);
		hce_parking_moved(relay, topic, number, int8_result(i, 5),
						  int8_result(i, 6));
		type->to_publish = true;
		type->to_store = true;
	}
}

/*
 * Store what is kept, and count again what others have changed; inside the
 * transaction that writes position and counters, before the counters.
 */
void
hce_dead_letters_store(HceRelay *relay)
{
	ListCell   *cell;
	TimestampTz start;

	foreach(cell, relay->dead)
	{
		HceDeadLetter *letter = lfirst(cell);

		if (hce_position_put_dead(letter))
			relay->dead_total++;
		if (hce_position_before(relay->last_dead, letter->position))
			relay->last_dead = letter->position;
	}
	if (!relay->recount)
		return;
	relay->recount = false;
	start = GetCurrentTimestamp();
	take_changes(relay);
	relay->dead_total = hce_position_dead_count();
	relay->gaps = hce_position_gap_count();
	relay->recount_time = GetCurrentTimestamp();
	relay->recount_us = (relay->recount_time - start) * RECOUNT_PART;
}

/* That transaction has committed. */
void
hce_dead_letters_stored(HceRelay *relay)
{
	ListCell   *cell;

	foreach(cell, relay->dead)
		hce_dead_letter_free(relay, lfirst(cell));
	list_free(relay->dead);
	relay->dead = NIL;
}

/*
 * Whether dead letters want the position row written now: who saw flush()
 * return true finds the letter in its table, and can retry it, which needs a
 * stored position beyond it.
 */
bool
hce_dead_letters_due(HceRelay *relay)
{
	return relay->dead != NIL || relay->recount ||
		(relay->unstored > 0 &&
		 !hce_position_before(relay->last_dead, relay->stored.settled) &&
		 hce_position_before(relay->last_dead, hce_relay_position(relay)));
}

/*
 * Somebody has changed dead letters or gaps.  A relay that reads no journal
 * (a copied database) only shows the new numbers.  Returns false when the
 * extension is gone.
 */
bool
hce_dead_letters_recount(HceRelay *relay)
{
	relay->recount = relay->wal != NULL;
	if (relay->recount)
		return true;
	if (!hce_position_begin())
		return false;
	relay->dead_total = hce_position_dead_count();
	relay->gaps = hce_position_gap_count();
	hce_position_commit();
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	relay->shared->dead = relay->dead_total;
	relay->shared->gaps = relay->gaps;
	LWLockRelease(hce_shared->lock);
	return true;
}

/*
 * When the relay starts: how many letters and gaps there are, and whether
 * something was moved by hand that is in no counter yet.
 */
void
hce_dead_letters_restore(HceRelay *relay)
{
	if (!hce_position_begin())
		return;
	hce_statement_query("SELECT FROM hcevents.counter_changes LIMIT 1", SPI_OK_SELECT);
	relay->recount = SPI_processed > 0 && relay->wal != NULL;
	relay->dead_total = hce_position_dead_count();
	relay->gaps = hce_position_gap_count();
	hce_position_commit();
}

/* Erase key and payload of letters older than hcevents.dead_letter_retention. */
static uint64
erase_old(TimestampTz now)
{
	Oid			types[] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[] = {
		TimestampTzGetDatum(now - hce_dead_letter_retention * USECS_PER_MINUTE),
		Int32GetDatum(LOOK_LIMIT)
	};

	if (hce_dead_letter_retention < 0)
		return 0;
	if (SPI_execute_with_args("UPDATE hcevents.dead_letter_store"
							  " SET key = NULL, headers = NULL, envelope = NULL"
							  " WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
							  "SELECT d.id FROM hcevents.dead_letter_store AS d"
							  " WHERE d.last_failed_time OPERATOR(pg_catalog.<) $1"
							  " AND (d.envelope IS NOT NULL OR d.key IS NOT NULL)"
							  " ORDER BY d.last_failed_time LIMIT $2"
							  " FOR UPDATE SKIP LOCKED))",
							  2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not erase old dead letters");
	return SPI_processed;
}

/* Letters that were retried and are parked no more have been delivered. */
static uint64
sweep_retried(void)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(LOOK_LIMIT)};

	if (SPI_execute_with_args("DELETE FROM hcevents.dead_letter_store"
							  " WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY("
							  "SELECT d.id FROM hcevents.dead_letter_store AS d"
							  " WHERE d.retried_time IS NOT NULL AND NOT EXISTS ("
							  "SELECT FROM hcevents.parked_store AS p"
							  " WHERE p.epoch OPERATOR(pg_catalog.=) d.epoch"
							  " AND p.commit_lsn OPERATOR(pg_catalog.=) d.commit_lsn"
							  " AND p.event_index OPERATOR(pg_catalog.=) d.event_index)"
							  " LIMIT $1 FOR UPDATE SKIP LOCKED))",
							  1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove retried dead letters");
	return SPI_processed;
}

/*
 * Now and then, a bounded piece of work: let go of what is older than its
 * retention.  Writes nothing when there is nothing old.  Returns false when
 * the extension is gone.
 */
bool
hce_dead_letters_look_old(HceRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;
	TimestampTz now = relay->poll_time;
	uint64		erased;

	if (now < relay->dead_look_time)
		return true;
	if (!hce_position_begin())
		return false;
	erased = erase_old(now);
	relay->dead_look_time = now + LOOK_INTERVAL_US;
	if (sweep_retried() == LOOK_LIMIT || erased == LOOK_LIMIT)
		relay->dead_look_time = now + LOOK_AGAIN_US;
	hce_position_commit();
	MemoryContextSwitchTo(old);
	if (erased > 0)
		ereport(LOG,
				errmsg("erased keys and payloads of %llu dead letters of database \"%s\" after hcevents.dead_letter_retention",
					   (unsigned long long) erased, relay->database));
	return true;
}
