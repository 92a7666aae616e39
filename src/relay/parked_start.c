/*-------------------------------------------------------------------------
 *
 * parked_start.c
 *		What becomes of parked events when a relay or an epoch begins.
 *
 * A new relay finds modes, rows and a position.  Rows at or behind the position
 * are removed, since the journal has them still; so a row never meets its own
 * double.  A new epoch takes such rows along (hce_parked_begin_epoch): else
 * they would be before its position, and look like rows that it covers.  When
 * their journal is lost they are covered, and are counted
 * (hce_parked_count_kept).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "relay/parking.h"
#include "relay/statement.h"

static HceStatement next_topic = {
	"SELECT topic FROM hcevents.parked_store WHERE topic > $1"
	" ORDER BY topic LIMIT 1",
	NULL, 1, {TEXTOID}
};

static HceStatement forget_rows = {
	"WITH gone AS (DELETE FROM hcevents.parked_store"
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)"
	" RETURNING topic, pg_catalog.octet_length(envelope)"
	" + coalesce(pg_catalog.octet_length(key), 0) + 200 AS bytes)"
	" SELECT topic, pg_catalog.count(*), pg_catalog.sum(bytes)::int8 FROM gone"
	" GROUP BY topic",
	NULL, 3, {INT4OID, LSNOID, INT8OID}
};

static HceStatement take_rows_along = {
	"UPDATE hcevents.parked_store SET epoch = $4, timeline = $5"
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)",
	NULL, 5, {INT4OID, LSNOID, INT8OID, INT4OID, INT4OID}
};

static HceStatement take_letters_along = {
	"UPDATE hcevents.dead_letter_store SET epoch = $4, timeline = $5"
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)",
	NULL, 5, {INT4OID, LSNOID, INT8OID, INT4OID, INT4OID}
};

/* Without what counter_changes will add, in one snapshot. */
static HceStatement count_rows = {
	"SELECT pg_catalog.count(*),"
	" pg_catalog.count(*) - (SELECT coalesce(pg_catalog.sum(c.events), 0)::int8"
	" FROM hcevents.counter_changes AS c WHERE c.topic = $1),"
	" coalesce(pg_catalog.sum(pg_catalog.octet_length(envelope)"
	" + coalesce(pg_catalog.octet_length(key), 0) + 200), 0)::int8"
	" - (SELECT coalesce(pg_catalog.sum(c.bytes), 0)::int8"
	" FROM hcevents.counter_changes AS c WHERE c.topic = $1)"
	" FROM hcevents.parked_store WHERE topic = $1",
	NULL, 1, {TEXTOID}
};

#define BETWEEN_POSITIONS \
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)" \
	" AND (epoch, commit_lsn, event_index) < ($4, $5, $6)"

static HceStatement count_kept = {
	"INSERT INTO hcevents.counter_changes"
	" SELECT event_type, topic, pg_catalog.sum(dead), pg_catalog.sum(parked), 0, 0"
	" FROM (SELECT event_type, topic, 0 AS dead, 1 AS parked"
	" FROM hcevents.parked_store" BETWEEN_POSITIONS
	" UNION ALL SELECT event_type, coalesce(topic, ''), 1, 0"
	" FROM hcevents.dead_letter_store" BETWEEN_POSITIONS
	" AND retried_time IS NULL) AS kept GROUP BY event_type, topic",
	NULL, 6, {INT4OID, LSNOID, INT8OID, INT4OID, LSNOID, INT8OID}
};

/*
 * A new epoch begins at a position whose row is written in the same
 * transaction: the rows, and dead letters, that it does not cover belong to
 * it, like the journal that they will be read from again.  Nobody has seen
 * them with the old epoch, since only covered rows are sent, or retried.
 *
 * To remove the rows here instead would lose them should the journal turn out
 * to be gone; to remove them in hce_parked_load() alone, which commits later,
 * left them to a relay that no longer knew the old epoch.
 */
void
hce_parked_begin_epoch(int former, const HceStoredPosition *position)
{
	Datum		values[] = {
		Int32GetDatum(former),
		LSNGetDatum(position->settled.lsn),
		Int64GetDatum(position->settled.index),
		Int32GetDatum(position->epoch),
		Int32GetDatum((int32) position->timeline)
	};

	hce_statement_run(&take_rows_along, values, NULL);
	hce_statement_run(&take_letters_along, values, NULL);
}

/*
 * The position moves, over journal that is lost, from "former" and "settled"
 * to what is given; likewise.  Rows and dead letters in between, which their
 * journal will not bring again, are covered from now on: have them counted,
 * as hce_relay_settle() would have done.
 */
void
hce_parked_count_kept(int former, HcePosition settled,
					  const HceStoredPosition *position)
{
	Datum		values[] = {
		Int32GetDatum(former),
		LSNGetDatum(settled.lsn),
		Int64GetDatum(settled.index),
		Int32GetDatum(position->epoch),
		LSNGetDatum(position->settled.lsn),
		Int64GetDatum(position->settled.index)
	};

	hce_statement_run(&count_kept, values, NULL);
}

/* Forget what a copy has of its original; likewise. */
void
hce_parked_forget_all(void)
{
	hce_statement_query("DELETE FROM hcevents.parked_store", SPI_OK_DELETE);
	hce_statement_query("DELETE FROM hcevents.topic_modes", SPI_OK_DELETE);
	hce_statement_query("DELETE FROM hcevents.counters", SPI_OK_DELETE);
	hce_statement_query("DELETE FROM hcevents.counter_changes", SPI_OK_DELETE);
}

/* Take in the rows of hcevents.topic_modes. */
static void
load_modes(HceRelay *relay)
{
	hce_statement_query("SELECT topic, mode, reason, since, events, bytes"
						" FROM hcevents.topic_modes", SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HceParkTopic *park = hce_parking_topic(relay, hce_text_string(hce_result(i, 1, NULL)));

		park->mode = strcmp(hce_text_string(hce_result(i, 2, NULL)), "draining") == 0 ?
			HCE_MODE_DRAINING : HCE_MODE_PARKING;
		strlcpy(park->reason, hce_text_string(hce_result(i, 3, NULL)), HCE_MAX_REASON);
		park->since = DatumGetTimestampTz(hce_result(i, 4, NULL));
		park->rows = DatumGetInt64(hce_result(i, 5, NULL));
		park->bytes = DatumGetInt64(hce_result(i, 6, NULL));
	}
}

/* Remove the rows that the journal has still: the position covers them not. */
static void
forget_uncovered(HceRelay *relay)
{
	Datum		values[] = {
		Int32GetDatum(relay->stored.epoch),
		LSNGetDatum(relay->stored_at_start.lsn),
		Int64GetDatum(relay->stored_at_start.index)
	};

	hce_statement_run(&forget_rows, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HceParkTopic *park = hce_parking_topic(relay, hce_text_string(hce_result(i, 1, NULL)));

		if (park->mode == HCE_MODE_DIRECT)
			continue;
		park->rows -= DatumGetInt64(hce_result(i, 2, NULL));
		park->bytes -= DatumGetInt64(hce_result(i, 3, NULL));
		park->to_store = true;
	}
}

/*
 * A topic that is sent to directly has rows: somebody put them there while no
 * relay ran, such as hcevents.retry_dead_letters().  Drain them.
 */
static void
adopt_topic(HceRelay *relay, HceParkTopic *park)
{
	Datum		value = CStringGetTextDatum(park->name);

	if (park->mode != HCE_MODE_DIRECT)
		return;
	hce_statement_run(&count_rows, &value, NULL);
	park->rows = DatumGetInt64(hce_result(0, 2, NULL));
	park->bytes = DatumGetInt64(hce_result(0, 3, NULL));
	if (DatumGetInt64(hce_result(0, 1, NULL)) > 0)
		hce_parking_set_mode(relay, park, HCE_MODE_DRAINING, "parked events to send again");
}

/* The same for each topic with rows; the index makes it a hop for each. */
static void
adopt_topics(HceRelay *relay)
{
	const char *name = "";

	for (;;)
	{
		Datum		value = CStringGetTextDatum(name);

		hce_statement_run(&next_topic, &value, NULL);
		if (SPI_processed == 0)
			return;
		name = hce_text_string(hce_result(0, 1, NULL));
		adopt_topic(relay, hce_parking_topic(relay, name));
	}
}

/*
 * What a new relay finds: modes, and rows.  Rows that the position does not
 * cover are removed.  Its commit need not be flushed: a crash that loses it
 * loses all that follows from it.
 */
void
hce_parked_load(HceRelay *relay)
{
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	load_modes(relay);
	forget_uncovered(relay);
	adopt_topics(relay);
	hce_position_commit();
}
