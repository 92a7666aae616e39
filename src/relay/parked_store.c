/*-------------------------------------------------------------------------
 *
 * parked_store.c
 *		The tables of parking: parked events, modes of topics, pauses.
 *
 * Reads and writes hcevents.parked_store, topic_modes and pauses.  What it
 * writes belongs to a transaction of relay_store.c, in which the position row
 * is written too: after any crash a parked event is either in the table and
 * before the position, or it is read from the journal again.  Rows at or
 * behind the position are removed at the start (hce_parked_load), since the
 * journal has them still; so a row never meets its own double.  A new epoch
 * takes such rows along (hce_parked_begin_epoch): else they would be before
 * its position, and look like rows that it covers.
 *
 * Events are inserted many at a time, as COPY does; one INSERT each would be
 * a tenth as fast.  They are read and deleted by index: the relay switches
 * other plans off, because a table that fills and empties within minutes has
 * no statistics to rely on.
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
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "relay/parking.h"

/* Columns of hcevents.parked_store, in order. */
enum
{
	COL_TIMELINE, COL_LSN, COL_INDEX, COL_EPOCH, COL_EVENT_ID, COL_EVENT_TYPE,
	COL_TOPIC, COL_SOURCE_TABLE, COL_SOURCE, COL_KEY, COL_HEADERS,
	COL_ENVELOPE, COL_COMMIT_TIME, COL_PARKED_TIME, COL_CAUSE, PARKED_COLUMNS
};

/* Rows that are inserted at a time. */
#define INSERT_BATCH	1000

/* Rows read at a time, and bytes of their texts after which one stops. */
#define READ_ROWS		1000
#define READ_BYTES		(4 * 1024 * 1024)

#define MAX_READ_PARAMETERS 7

typedef struct Statement
{
	const char *sql;
	SPIPlanPtr	plan;			/* NULL until the first use */
	int			nargs;
	Oid			types[MAX_READ_PARAMETERS];
} Statement;

static Statement read_rows = {
	"SELECT timeline, epoch, commit_lsn, event_index, event_id, event_type,"
	" source_table, source, key, headers, envelope, commit_time"
	" FROM hcevents.parked_store WHERE topic = $1"
	" AND (epoch, commit_lsn, event_index) > ($2, $3, $4)"
	" AND (epoch, commit_lsn, event_index) < ($5, $6, $7)"
	" ORDER BY epoch, commit_lsn, event_index LIMIT 1000",
	NULL, 7, {TEXTOID, INT4OID, LSNOID, INT8OID, INT4OID, LSNOID, INT8OID}
};

#define THESE_ROWS \
	" ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)," \
	" pg_catalog.unnest($3)) WITH ORDINALITY AS k(e, l, i, n)" \
	" JOIN hcevents.parked_store AS p" \
	" ON p.epoch = k.e AND p.commit_lsn = k.l AND p.event_index = k.i"

/* Waits for nobody: what others have locked, or deleted, is passed over. */
static Statement delete_rows = {
	"WITH free AS MATERIALIZED (SELECT p.ctid AS place, k.n FROM" THESE_ROWS
	" FOR UPDATE OF p SKIP LOCKED)"
	" DELETE FROM hcevents.parked_store AS p USING free AS f"
	" WHERE p.ctid = f.place RETURNING f.n",
	NULL, 3, {INT4ARRAYOID, PG_LSNARRAYOID, INT8ARRAYOID}
};

static Statement present_rows = {
	"SELECT k.n FROM" THESE_ROWS,
	NULL, 3, {INT4ARRAYOID, PG_LSNARRAYOID, INT8ARRAYOID}
};

static Statement next_topic = {
	"SELECT topic FROM hcevents.parked_store WHERE topic > $1"
	" ORDER BY topic LIMIT 1",
	NULL, 1, {TEXTOID}
};

static Statement forget_rows = {
	"WITH gone AS (DELETE FROM hcevents.parked_store"
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)"
	" RETURNING topic, pg_catalog.octet_length(envelope)"
	" + coalesce(pg_catalog.octet_length(key), 0) + 200 AS bytes)"
	" SELECT topic, pg_catalog.count(*), pg_catalog.sum(bytes)::int8 FROM gone"
	" GROUP BY topic",
	NULL, 3, {INT4OID, LSNOID, INT8OID}
};

static Statement take_rows_along = {
	"UPDATE hcevents.parked_store SET epoch = $4, timeline = $5"
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)",
	NULL, 5, {INT4OID, LSNOID, INT8OID, INT4OID, INT4OID}
};

static Statement take_letters_along = {
	"UPDATE hcevents.dead_letter_store SET epoch = $4, timeline = $5"
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)",
	NULL, 5, {INT4OID, LSNOID, INT8OID, INT4OID, INT4OID}
};

/* Without what counter_changes will add, in one snapshot. */
static Statement count_rows = {
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

static Statement remaining = {
	"SELECT EXISTS (SELECT FROM hcevents.parked_store WHERE topic = $1),"
	" coalesce(pg_catalog.sum(events), 0)::int8,"
	" coalesce(pg_catalog.sum(bytes), 0)::int8"
	" FROM hcevents.counter_changes WHERE topic = $1",
	NULL, 1, {TEXTOID}
};

#define BETWEEN_POSITIONS \
	" WHERE (epoch, commit_lsn, event_index) >= ($1, $2, $3)" \
	" AND (epoch, commit_lsn, event_index) < ($4, $5, $6)"

static Statement count_kept = {
	"INSERT INTO hcevents.counter_changes"
	" SELECT event_type, topic, pg_catalog.sum(dead), pg_catalog.sum(parked), 0, 0"
	" FROM (SELECT event_type, topic, 0 AS dead, 1 AS parked"
	" FROM hcevents.parked_store" BETWEEN_POSITIONS
	" UNION ALL SELECT event_type, coalesce(topic, ''), 1, 0"
	" FROM hcevents.dead_letter_store" BETWEEN_POSITIONS
	" AND retried_time IS NULL) AS kept GROUP BY event_type, topic",
	NULL, 6, {INT4OID, LSNOID, INT8OID, INT4OID, LSNOID, INT8OID}
};

static Statement any_row = {
	"SELECT FROM hcevents.parked_store WHERE topic = $1 LIMIT 1",
	NULL, 1, {TEXTOID}
};

static Statement put_mode = {
	"INSERT INTO hcevents.topic_modes VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (topic) DO UPDATE SET mode = $2, reason = $3, since = $4,"
	" events = $5, bytes = $6",
	NULL, 6, {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID}
};

static Statement drop_mode = {
	"DELETE FROM hcevents.topic_modes WHERE topic = $1",
	NULL, 1, {TEXTOID}
};

static Statement insert_gap = {
	"INSERT INTO hcevents.gap_log (from_lsn, to_lsn, from_time, to_time, cause, events)"
	" VALUES ($1, $2, $3, pg_catalog.clock_timestamp(),"
	" 'hcevents.max_parked_size was reached', $4::jsonb) RETURNING id",
	NULL, 4, {LSNOID, LSNOID, TIMESTAMPTZOID, TEXTOID}
};

static Statement update_gap = {
	"UPDATE hcevents.gap_log SET to_lsn = $2,"
	" to_time = pg_catalog.clock_timestamp(), events = $3::jsonb"
	" WHERE id = (SELECT g.id FROM hcevents.gap_log AS g WHERE g.id = $1"
	" AND g.acknowledged_time IS NULL FOR UPDATE SKIP LOCKED)",
	NULL, 3, {INT8OID, LSNOID, TEXTOID}
};

static void
execute(Statement *statement, Datum *values)
{
	int			result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->nargs,
									   statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	result = SPI_execute_plan(statement->plan, values, NULL, false, 0);
	if (result < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql,
			 SPI_result_code_string(result));
}

static Datum
column(uint64 row, int number, bool *isnull)
{
	bool		unused;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number,
						 isnull != NULL ? isnull : &unused);
}

/* Text of the journal, which is UTF-8, as a datum. */
static Datum
text_datum(const char *data, size_t len)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8 || len == 0)
		return PointerGetDatum(cstring_to_text_with_len(data, (int) len));
	converted = pg_any_to_server(data, (int) len, PG_UTF8);
	if (converted == data)
		return PointerGetDatum(cstring_to_text_with_len(data, (int) len));
	return CStringGetTextDatum(converted);
}

/* And back, in the current memory context. */
static HceSlice
text_slice(Datum datum)
{
	text	   *value = DatumGetTextPP(datum);
	HceSlice	slice = {VARDATA_ANY(value), (uint32) VARSIZE_ANY_EXHDR(value)};
	char	   *copy;

	if (GetDatabaseEncoding() != PG_UTF8 && slice.len > 0)
	{
		char	   *converted = pg_server_to_any(slice.data, (int) slice.len, PG_UTF8);

		if (converted != slice.data)
			return (HceSlice) {converted, (uint32) strlen(converted)};
	}
	/* the tuple goes with the transaction */
	copy = palloc(slice.len + 1);
	memcpy(copy, slice.data, slice.len);
	copy[slice.len] = '\0';
	slice.data = copy;
	return slice;
}

static char *
text_string(Datum datum)
{
	return unconstify(char *, text_slice(datum).data);
}

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
		texts[count++] = text_datum(part.data, part.len);
	return PointerGetDatum(construct_array(texts, count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

static HceSlice
headers_slice(Datum array)
{
	StringInfoData pairs;
	Datum	   *texts;
	bool	   *nulls;
	int			count;

	initStringInfo(&pairs);
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &texts, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		HceSlice	part = {"", 0};
		uint8		len[10];

		if (!nulls[i])
			part = text_slice(texts[i]);
		appendBinaryStringInfo(&pairs, (const char *) len,
							   (int) (hce_put_varint(len, part.len) - len));
		appendBinaryStringInfo(&pairs, part.data, (int) part.len);
	}
	return (HceSlice) {pairs.data, (uint32) pairs.len};
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
	values[COL_EVENT_TYPE] = text_datum(skeleton->event_type, strlen(skeleton->event_type));
	values[COL_TOPIC] = CStringGetTextDatum(skeleton->topic_name);
	nulls[COL_SOURCE_TABLE] = skeleton->table[0] == '\0';
	if (!nulls[COL_SOURCE_TABLE])
		values[COL_SOURCE_TABLE] = text_datum(skeleton->table, strlen(skeleton->table));
	values[COL_SOURCE] = text_datum(skeleton->source, strlen(skeleton->source));
	nulls[COL_KEY] = event->message_key.data == NULL;
	if (!nulls[COL_KEY])
		values[COL_KEY] = text_datum(event->message_key.data, event->message_key.len);
	nulls[COL_HEADERS] = event->headers.data == NULL;
	if (!nulls[COL_HEADERS])
		values[COL_HEADERS] = headers_datum(event->headers);
	values[COL_ENVELOPE] = text_datum(event->envelope.data, event->envelope.len);
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
		rows[DatumGetInt64(column(i, 1, NULL)) - 1].fate = fate;
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
	execute(&delete_rows, values);
	set_fates(rows, HCE_ROW_DELETED);
	if (SPI_processed == (uint64) count)
		return;
	execute(&present_rows, values);
	set_fates(rows, HCE_ROW_HELD);
}

/* Whether any event of a topic is parked; likewise. */
bool
hce_parked_exist(const char *topic)
{
	Datum		value = CStringGetTextDatum(topic);

	execute(&any_row, &value);
	return SPI_processed > 0;
}

/*
 * The same; and what counter_changes will add to events and bytes of the
 * topic, which is not in what the relay knows of it.
 */
bool
hce_parked_remain(const char *topic, int64 *events, int64 *bytes)
{
	Datum		value = CStringGetTextDatum(topic);

	execute(&remaining, &value);
	*events = DatumGetInt64(column(0, 2, NULL));
	*bytes = DatumGetInt64(column(0, 3, NULL));
	return DatumGetBool(column(0, 1, NULL));
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

	execute(&count_kept, values);
}

/* Forget what a copy has of its original; likewise. */
void
hce_parked_forget_all(void)
{
	if (SPI_execute("DELETE FROM hcevents.parked_store", false, 0) != SPI_OK_DELETE ||
		SPI_execute("DELETE FROM hcevents.topic_modes", false, 0) != SPI_OK_DELETE ||
		SPI_execute("DELETE FROM hcevents.counters", false, 0) != SPI_OK_DELETE ||
		SPI_execute("DELETE FROM hcevents.counter_changes", false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not clear the tables of parking");
}

/*
 * The skeleton of a row: what is sent with it does not depend on the table's
 * attachment any more.  Found by its texts, made when new.
 */
static HceRelaySkeleton *
row_skeleton(HceRelay *relay, HceParkTopic *park, const char *event_type,
			 const char *table, const char *source)
{
	HceParking *parking = relay->parking;
	HceRelaySkeleton *skeleton;
	MemoryContext old;
	ListCell   *cell;

	foreach(cell, parking->synthetic)
	{
		skeleton = lfirst(cell);
		if (skeleton->park == park && strcmp(skeleton->event_type, event_type) == 0 &&
			strcmp(skeleton->table, table) == 0 &&
			strcmp(skeleton->source, source) == 0)
			return skeleton;
	}
	old = MemoryContextSwitchTo(relay->context);
	skeleton = palloc0(sizeof(HceRelaySkeleton));
	skeleton->park = park;
	skeleton->topic = park->topic;
	skeleton->topic_name = park->name;
	skeleton->event_type = pstrdup(event_type);
	skeleton->table = pstrdup(table);
	skeleton->schema = pnstrdup(table, strcspn(table, "."));
	skeleton->source = pstrdup(source);
	skeleton->skeleton.event_type = (HceSlice) {skeleton->event_type, strlen(event_type)};
	skeleton->skeleton.source = (HceSlice) {skeleton->source, strlen(source)};
	skeleton->type = hce_relay_type(relay, event_type, park->name);
	hce_parking_note_type(relay, park, skeleton->type);
	parking->synthetic = lappend(parking->synthetic, skeleton);
	MemoryContextSwitchTo(old);
	return skeleton;
}

static char *
optional_string(uint64 row, int number, const char *otherwise)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? unconstify(char *, otherwise) : text_string(value);
}

/* One row of read_rows; its texts are in the current memory context. */
static void
take_row(HceRelay *relay, HceParkTopic *park, uint64 row, HceParkedEvent *event)
{
	bool		isnull;
	Datum		value;

	memset(event, 0, sizeof(HceParkedEvent));
	event->key.timeline = (TimeLineID) DatumGetInt32(column(row, 1, NULL));
	event->key.epoch = DatumGetInt32(column(row, 2, NULL));
	event->key.position.lsn = DatumGetLSN(column(row, 3, NULL));
	event->key.position.index = (uint32) DatumGetInt64(column(row, 4, NULL));
	memcpy(event->event_id, DatumGetUUIDP(column(row, 5, NULL)), HCE_UUID_SIZE);
	event->skeleton = row_skeleton(relay, park, text_string(column(row, 6, NULL)),
								   optional_string(row, 7, ""),
								   optional_string(row, 8, hce_source));
	value = column(row, 9, &isnull);
	if (!isnull)
		event->message_key = text_slice(value);
	value = column(row, 10, &isnull);
	if (!isnull)
		event->headers = headers_slice(value);
	event->envelope = text_slice(column(row, 11, NULL));
	event->commit_time = DatumGetTimestampTz(column(row, 12, NULL));
}

static void
query_rows(const HceParkTopic *park, HceParkedKey end)
{
	Datum		values[] = {
		CStringGetTextDatum(park->name),
		Int32GetDatum(park->read_to.epoch),
		LSNGetDatum(park->read_to.position.lsn),
		Int64GetDatum(park->read_to.position.index),
		Int32GetDatum(end.epoch),
		LSNGetDatum(end.position.lsn),
		Int64GetDatum(end.position.index)
	};

	execute(&read_rows, values);
}

/* Take the rows of a query, but for those that are to be deleted already. */
static void
take_rows(HceRelay *relay, HceParkTopic *park)
{
	Size		bytes = 0;

	park->rows_read = palloc((SPI_processed + 1) * sizeof(HceParkedEvent));
	for (uint64 i = 0; i < SPI_processed && bytes < READ_BYTES; i++)
	{
		HceParkedEvent *event = &park->rows_read[park->nread];

		take_row(relay, park, i, event);
		bytes += event->envelope.len + event->message_key.len + event->headers.len;
		park->read_to = event->key;
		if (park->held == 0 || !hce_drain_leaves(relay, event->key))
			park->nread++;
	}
}

/*
 * Read the next rows of a topic behind park->read_to and before "end" into
 * park->rows_read, whose texts live in park->batch until the next call.
 * Returns how many there are.  In a transaction of its own.
 */
int
hce_parked_read(HceRelay *relay, HceParkTopic *park, HceParkedKey end)
{
	MemoryContext old = CurrentMemoryContext;

	MemoryContextReset(park->batch);
	park->nread = park->next_row = 0;
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	do
	{
		query_rows(park, end);
		MemoryContextSwitchTo(park->batch);
		take_rows(relay, park);
	} while (park->nread == 0 && SPI_processed > 0);
	hce_position_commit();
	MemoryContextSwitchTo(old);
	return park->nread;
}

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

	execute(park->mode == HCE_MODE_DIRECT ? &drop_mode : &put_mode, values);
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
		escape_json(&counts, text_string(text_datum(lost->event_type,
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

	execute(&update_gap, values);
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

		execute(&insert_gap, values);
		parking->gap_id = DatumGetInt64(column(0, 1, NULL));
	}
	foreach(cell, parking->lost)
	{
		HceLostType *lost = lfirst(cell);

		lost->stored = lost->count + (extended ? lost->stored : 0);
		lost->count = 0;
	}
	return !extended;
}

/* Take in the rows of hcevents.topic_modes. */
static void
load_modes(HceRelay *relay)
{
	if (SPI_execute("SELECT topic, mode, reason, since, events, bytes"
					" FROM hcevents.topic_modes", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read hcevents.topic_modes");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HceParkTopic *park = hce_parking_topic(relay, text_string(column(i, 1, NULL)));

		park->mode = strcmp(text_string(column(i, 2, NULL)), "draining") == 0 ?
			HCE_MODE_DRAINING : HCE_MODE_PARKING;
		strlcpy(park->reason, text_string(column(i, 3, NULL)), HCE_MAX_REASON);
		park->since = DatumGetTimestampTz(column(i, 4, NULL));
		park->rows = DatumGetInt64(column(i, 5, NULL));
		park->bytes = DatumGetInt64(column(i, 6, NULL));
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

	execute(&forget_rows, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HceParkTopic *park = hce_parking_topic(relay, text_string(column(i, 1, NULL)));

		if (park->mode == HCE_MODE_DIRECT)
			continue;
		park->rows -= DatumGetInt64(column(i, 2, NULL));
		park->bytes -= DatumGetInt64(column(i, 3, NULL));
		park->to_store = true;
	}
}

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

	execute(&take_rows_along, values);
	execute(&take_letters_along, values);
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
	execute(&count_rows, &value);
	park->rows = DatumGetInt64(column(0, 2, NULL));
	park->bytes = DatumGetInt64(column(0, 3, NULL));
	if (DatumGetInt64(column(0, 1, NULL)) > 0)
		hce_parking_set_mode(relay, park, HCE_MODE_DRAINING, "parked events to send again");
}

/* Call "take" for each topic with rows; the index makes it a hop for each. */
static void
visit_topics(HceRelay *relay, void (*take) (HceRelay *, HceParkTopic *))
{
	const char *name = "";

	for (;;)
	{
		Datum		value = CStringGetTextDatum(name);
		HceParkTopic *park;

		execute(&next_topic, &value);
		if (SPI_processed == 0)
			return;
		name = text_string(column(0, 1, NULL));
		park = hce_parking_topic(relay, name);
		take(relay, park);
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
	visit_topics(relay, adopt_topic);
	hce_position_commit();
}

/* Read hcevents.pauses. */
void
hce_parked_load_pauses(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	list_free_deep(parking->paused_types);
	parking->paused_types = NIL;
	parking->paused = false;
	if (SPI_execute("SELECT event_type, coalesce(reason, 'no reason given')"
					" FROM hcevents.pauses", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read hcevents.pauses");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *event_type = text_string(column(i, 1, NULL));
		MemoryContext old;

		if (strcmp(event_type, "*") == 0)
		{
			parking->paused = true;
			strlcpy(parking->pause_reason, text_string(column(i, 2, NULL)), HCE_MAX_REASON);
			continue;
		}
		old = MemoryContextSwitchTo(relay->context);
		parking->paused_types = lappend(parking->paused_types, pstrdup(event_type));
		MemoryContextSwitchTo(old);
	}
	hce_position_commit();
}
