/*-------------------------------------------------------------------------
 *
 * parked_rows.c
 *		The rows of hcevents.parked_store.
 *
 * Puts parked events into the table and deletes them.  What is written belongs
 * to a transaction of relay_store.c, in which the position row is written too:
 * after any crash a parked event is either in the table and before the
 * position, or it is read from the journal again.
 *
 * Events are inserted many at a time, as COPY does; one INSERT each would be
 * a tenth as fast.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "relay/parking.h"
#include "relay/statement.h"

/* Columns of hcevents.parked_store, in order. */
enum
{
	COL_TIMELINE, COL_LSN, COL_INDEX, COL_EPOCH, COL_EVENT_ID, COL_EVENT_TYPE,
	COL_TOPIC, COL_SOURCE_TABLE, COL_SOURCE, COL_KEY, COL_HEADERS,
	COL_ENVELOPE, COL_COMMIT_TIME, COL_PARKED_TIME, COL_CAUSE, PARKED_COLUMNS
};

/* Rows that are inserted at a time. */
#define INSERT_BATCH	1000

#define THESE_ROWS \
	" ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)," \
	" pg_catalog.unnest($3)) WITH ORDINALITY AS k(e, l, i, n)" \
	" JOIN hcevents.parked_store AS p" \
	" ON p.epoch = k.e AND p.commit_lsn = k.l AND p.event_index = k.i"

/* Waits for nobody: what others have locked, or deleted, is passed over. */
static HceStatement delete_rows = {
	"WITH free AS MATERIALIZED (SELECT p.ctid AS place, k.n FROM" THESE_ROWS
	" FOR UPDATE OF p SKIP LOCKED)"
	" DELETE FROM hcevents.parked_store AS p USING free AS f"
	" WHERE p.ctid = f.place RETURNING f.n",
	NULL, 3, {INT4ARRAYOID, PG_LSNARRAYOID, INT8ARRAYOID}
};

static HceStatement present_rows = {
	"SELECT k.n FROM" THESE_ROWS,
	NULL, 3, {INT4ARRAYOID, PG_LSNARRAYOID, INT8ARRAYOID}
};

static HceStatement any_row = {
	"SELECT FROM hcevents.parked_store WHERE topic = $1 LIMIT 1",
	NULL, 1, {TEXTOID}
};

static HceStatement remaining = {
	"SELECT EXISTS (SELECT FROM hcevents.parked_store WHERE topic = $1"
	" AND (epoch, commit_lsn, event_index) > ($2, $3, $4)),"
	" coalesce(pg_catalog.sum(events), 0)::int8,"
	" coalesce(pg_catalog.sum(bytes), 0)::int8,"
	" coalesce(pg_catalog.bool_or(events > 0), false)"
	" FROM hcevents.counter_changes WHERE topic = $1",
	NULL, 4, {TEXTOID, INT4OID, LSNOID, INT8OID}
};

/* publish()'s headers: pairs of strings as an array of names and values. */
static Datum
headers_datum(HceSlice pairs)
{
	const uint8 *pos = (const uint8 *) pairs.data;
	const uint8 *end = pos + pairs.len;
	Datum		texts[2 * HCE_MAX_HEADERS];
	int			count = 0;
	HceSlice	part;

	while (count < 2 * HCE_MAX_HEADERS && hce_get_string(&pos, end, &part))
		texts[count++] = hce_text_datum(part.data, part.len);
	return PointerGetDatum(construct_array(texts, count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

static void
fill_slot(TupleTableSlot *slot, const HceParkedEvent *event, TimestampTz now)
{
	const HceRelaySkeleton *skeleton = event->skeleton;
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	memset(nulls, 0, PARKED_COLUMNS * sizeof(bool));
	values[COL_TIMELINE] = Int32GetDatum((int32) event->key.timeline);
	values[COL_LSN] = LSNGetDatum(event->key.position.lsn);
	values[COL_INDEX] = Int64GetDatum(event->key.position.index);
	values[COL_EPOCH] = Int32GetDatum(event->key.epoch);
	values[COL_EVENT_ID] = UUIDPGetDatum((const pg_uuid_t *) event->event_id);
	values[COL_EVENT_TYPE] = hce_text_datum(skeleton->event_type, strlen(skeleton->event_type));
	values[COL_TOPIC] = CStringGetTextDatum(skeleton->topic_name);
	nulls[COL_SOURCE_TABLE] = skeleton->table[0] == '\0';
	if (!nulls[COL_SOURCE_TABLE])
		values[COL_SOURCE_TABLE] = hce_text_datum(skeleton->table, strlen(skeleton->table));
	values[COL_SOURCE] = hce_text_datum(skeleton->source, strlen(skeleton->source));
	nulls[COL_KEY] = event->message_key.data == NULL;
	if (!nulls[COL_KEY])
		values[COL_KEY] = hce_text_datum(event->message_key.data, event->message_key.len);
	nulls[COL_HEADERS] = event->headers.data == NULL;
	if (!nulls[COL_HEADERS])
		values[COL_HEADERS] = headers_datum(event->headers);
	values[COL_ENVELOPE] = hce_text_datum(event->envelope.data, event->envelope.len);
	values[COL_COMMIT_TIME] = TimestampTzGetDatum(event->commit_time);
	values[COL_PARKED_TIME] = TimestampTzGetDatum(now);
	values[COL_CAUSE] = CStringGetTextDatum(skeleton->park->reason);
}

/*
 * Insert events into hcevents.parked_store, inside a transaction begun by
 * hce_position_begin().  None of them may be there already.
 */
void
hce_parked_put(const HceParkedEvent *events, int count)
{
	Relation	rel = table_openrv(makeRangeVar(pstrdup("hcevents"), pstrdup("parked_store"), -1),
								   RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slots[INSERT_BATCH];
	int			nslots = Min(count, INSERT_BATCH);
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext,
												"hcevents parking",
												ALLOCSET_DEFAULT_SIZES);

	if (RelationGetNumberOfAttributes(rel) != PARKED_COLUMNS)
		elog(ERROR, "hcevents.parked_store has %d columns instead of %d",
			 RelationGetNumberOfAttributes(rel), PARKED_COLUMNS);
	InitResultRelInfo(info, rel, 1, NULL, 0);
	ExecOpenIndices(info, false);
	for (int i = 0; i < nslots; i++)
		slots[i] = table_slot_create(rel, NULL);
	while (count > 0)
	{
		int			n = Min(count, INSERT_BATCH);
		MemoryContext old = MemoryContextSwitchTo(batch);

		for (int i = 0; i < n; i++)
		{
			ExecClearTuple(slots[i]);
			fill_slot(slots[i], &events[i], now);
			ExecStoreVirtualTuple(slots[i]);
		}
		table_multi_insert(rel, slots, n, GetCurrentCommandId(true), 0, NULL);
		for (int i = 0; i < n; i++)
		{
			hce_compat_insert_index_tuples(info, slots[i], estate);
			ResetPerTupleExprContext(estate);
			ExecClearTuple(slots[i]);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
		events += n;
		count -= n;
	}
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	ExecCloseIndices(info);
	FreeExecutorState(estate);
	MemoryContextDelete(batch);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* Note the fate of the rows whose numbers, from 1, a statement returned. */
static void
set_fates(HceLeaving *rows, HceRowFate fate)
{
	for (uint64 i = 0; i < SPI_processed; i++)
		rows[DatumGetInt64(hce_result(i, 1, NULL)) - 1].fate = fate;
}

/*
 * Delete rows by their keys, likewise inside a transaction, and set the fate
 * of each.  A row that was not deleted and can be seen still is locked by
 * somebody, or was a moment ago.
 */
void
hce_parked_delete(HceLeaving *rows, int count)
{
	Datum	   *parts = palloc(3 * count * sizeof(Datum));
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		parts[i] = Int32GetDatum(rows[i].key.epoch);
		parts[count + i] = LSNGetDatum(rows[i].key.position.lsn);
		parts[2 * count + i] = Int64GetDatum(rows[i].key.position.index);
		rows[i].fate = HCE_ROW_GONE;
	}
	values[0] = PointerGetDatum(construct_array(parts, count, INT4OID, sizeof(int32),
												true, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(parts + count, count, LSNOID,
												sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	values[2] = PointerGetDatum(construct_array(parts + 2 * count, count, INT8OID,
												sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	hce_statement_run(&delete_rows, values, NULL);
	set_fates(rows, HCE_ROW_DELETED);
	if (SPI_processed == (uint64) count)
		return;
	hce_statement_run(&present_rows, values, NULL);
	set_fates(rows, HCE_ROW_HELD);
}

/* Whether any event of a topic is parked; likewise. */
bool
hce_parked_exist(const char *topic)
{
	Datum		value = CStringGetTextDatum(topic);

	hce_statement_run(&any_row, &value, NULL);
	return SPI_processed > 0;
}

/*
 * Whether a topic has rows behind the last one that was read.  Those before it
 * are not looked for: millions may have been deleted there.  Also what
 * counter_changes will add to events and bytes of the topic, which is not in
 * what the relay knows of it, and whether rows were added by that, anywhere.
 */
bool
hce_parked_remain(const HceParkTopic *park, int64 *events, int64 *bytes,
				  bool *added)
{
	Datum		values[] = {
		CStringGetTextDatum(park->name),
		Int32GetDatum(park->read_to.epoch),
		LSNGetDatum(park->read_to.position.lsn),
		Int64GetDatum(park->read_to.position.index)
	};

	hce_statement_run(&remaining, values, NULL);
	*events = DatumGetInt64(hce_result(0, 2, NULL));
	*bytes = DatumGetInt64(hce_result(0, 3, NULL));
	*added = DatumGetBool(hce_result(0, 4, NULL));
	return DatumGetBool(hce_result(0, 1, NULL));
}
