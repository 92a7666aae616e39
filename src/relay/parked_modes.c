/*-------------------------------------------------------------------------
 *
 * parked_modes.c
 *		The tables beside the parked events: modes, and what is lost.
 *
 * Writes hcevents.topic_modes and, for events lost beyond max_parked_size,
 * gap_log, in transactions of relay_store.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "relay/parking.h"
#include "relay/statement.h"

static HceStatement put_mode = {
	"INSERT INTO hcevents.topic_modes VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (topic) DO UPDATE SET mode = $2, reason = $3, since = $4,"
	" events = $5, bytes = $6",
	NULL, 6, {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID}
};

static HceStatement drop_mode = {
	"DELETE FROM hcevents.topic_modes WHERE topic = $1",
	NULL, 1, {TEXTOID}
};

static HceStatement insert_gap = {
	"INSERT INTO hcevents.gap_log (from_lsn, to_lsn, from_time, to_time, cause, events)"
	" VALUES ($1, $2, $3, pg_catalog.clock_timestamp(),"
	" 'hcevents.max_parked_size was reached', $4::jsonb) RETURNING id",
	NULL, 4, {LSNOID, LSNOID, TIMESTAMPTZOID, TEXTOID}
};

static HceStatement update_gap = {
	"UPDATE hcevents.gap_log SET to_lsn = $2,"
	" to_time = pg_catalog.clock_timestamp(), events = $3::jsonb"
	" WHERE id = (SELECT g.id FROM hcevents.gap_log AS g WHERE g.id = $1"
	" AND g.acknowledged_time IS NULL FOR UPDATE SKIP LOCKED)",
	NULL, 3, {INT8OID, LSNOID, TEXTOID}
};

/* Write a topic's mode; inside a transaction. */
void
hce_parked_put_mode(const HceParkTopic *park)
{
	Datum		values[] = {
		CStringGetTextDatum(park->name),
		CStringGetTextDatum(hce_topic_mode_name(park->mode)),
		CStringGetTextDatum(park->reason),
		TimestampTzGetDatum(park->since),
		Int64GetDatum(Max(0, park->rows)),
		Int64GetDatum(Max(0, park->bytes))
	};

	hce_statement_run(park->mode == HCE_MODE_DIRECT ? &drop_mode : &put_mode, values, NULL);
}

/* Counts of lost events by type as the text of a JSON object. */
static Datum
lost_events(HceParking *parking, bool with_stored)
{
	StringInfoData counts;
	ListCell   *cell;

	initStringInfo(&counts);
	appendStringInfoChar(&counts, '{');
	foreach(cell, parking->lost)
	{
		HceLostType *lost = lfirst(cell);
		int64		count = lost->count + (with_stored ? lost->stored : 0);

		if (count == 0)
			continue;
		appendStringInfoString(&counts, counts.len > 1 ? ", " : "");
		escape_json(&counts, hce_text_string(hce_text_datum(lost->event_type,
													strlen(lost->event_type))));
		appendStringInfo(&counts, ": " INT64_FORMAT, count);
	}
	appendStringInfoChar(&counts, '}');
	return CStringGetTextDatum(counts.data);
}

/* Add to the episode's gap; false when that is closed, or about to be. */
static bool
extend_gap(HceParking *parking)
{
	Datum		values[] = {
		Int64GetDatum(parking->gap_id),
		LSNGetDatum(parking->gap_to),
		lost_events(parking, true)
	};

	hce_statement_run(&update_gap, values, NULL);
	return SPI_processed > 0;
}

/*
 * Write the events lost beyond max_parked_size that are in no gap yet; inside
 * the transaction that writes the position which covers them.  A gap that
 * somebody has acknowledged or deleted, or is acknowledging right now, tells
 * no more what is lost from here on: then this is another one.  Returns
 * whether a gap was added.
 */
bool
hce_parked_put_gap(HceParking *parking)
{
	bool		extended = parking->gap_id != 0 && extend_gap(parking);
	ListCell   *cell;

	if (!extended)
	{
		Datum		values[] = {
			LSNGetDatum(parking->gap_from),
			LSNGetDatum(parking->gap_to),
			TimestampTzGetDatum(parking->gap_time),
			lost_events(parking, false)
		};

		hce_statement_run(&insert_gap, values, NULL);
		parking->gap_id = DatumGetInt64(hce_result(0, 1, NULL));
	}
	foreach(cell, parking->lost)
	{
		HceLostType *lost = lfirst(cell);

		lost->stored = lost->count + (extended ? lost->stored : 0);
		lost->count = 0;
	}
	return !extended;
}
