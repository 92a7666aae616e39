/*-------------------------------------------------------------------------
 *
 * parked_read.c
 *		Parked events, read back from hcevents.parked_store.
 *
 * Reads the next rows of a topic, in transactions of their own.  By index: the
 * relay switches other plans off, because a table that fills and empties
 * within minutes has no statistics to rely on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "relay/parking.h"
#include "relay/statement.h"

/*
 * Rows that are read at a time, and the bytes of their texts after which no
 * more are taken.
 */
#define READ_ROWS		1000
#define READ_BYTES		(4 * 1024 * 1024)

static HceStatement read_rows = {
	"SELECT timeline, epoch, commit_lsn, event_index, event_id, event_type,"
	" source_table, source, key, headers, envelope, commit_time"
	" FROM hcevents.parked_store WHERE topic = $1"
	" AND (epoch, commit_lsn, event_index) > ($2, $3, $4)"
	" AND (epoch, commit_lsn, event_index) < ($5, $6, $7)"
	" ORDER BY epoch, commit_lsn, event_index LIMIT $8",
	NULL, 8, {TEXTOID, INT4OID, LSNOID, INT8OID, INT4OID, LSNOID, INT8OID, INT8OID}
};

/* The headers of a row, as publish() journals them. */
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
			part = hce_text_slice(texts[i]);
		appendBinaryStringInfo(&pairs, (const char *) len,
							   (int) (hce_put_varint(len, part.len) - len));
		appendBinaryStringInfo(&pairs, part.data, (int) part.len);
	}
	return (HceSlice) {pairs.data, (uint32) pairs.len};
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
	Datum		value = hce_result(row, number, &isnull);

	return isnull ? unconstify(char *, otherwise) : hce_text_string(value);
}

/* One row of read_rows; its texts are in the current memory context. */
static void
take_row(HceRelay *relay, HceParkTopic *park, uint64 row, HceParkedEvent *event)
{
	bool		isnull;
	Datum		value;

	memset(event, 0, sizeof(HceParkedEvent));
	event->key.timeline = (TimeLineID) DatumGetInt32(hce_result(row, 1, NULL));
	event->key.epoch = DatumGetInt32(hce_result(row, 2, NULL));
	event->key.position.lsn = DatumGetLSN(hce_result(row, 3, NULL));
	event->key.position.index = (uint32) DatumGetInt64(hce_result(row, 4, NULL));
	memcpy(event->event_id, DatumGetUUIDP(hce_result(row, 5, NULL)), HCE_UUID_SIZE);
	event->skeleton = row_skeleton(relay, park, hce_text_string(hce_result(row, 6, NULL)),
								   optional_string(row, 7, ""),
								   optional_string(row, 8, hce_source));
	value = hce_result(row, 9, &isnull);
	if (!isnull)
		event->message_key = hce_text_slice(value);
	value = hce_result(row, 10, &isnull);
	if (!isnull)
		event->headers = headers_slice(value);
	event->envelope = hce_text_slice(hce_result(row, 11, NULL));
	event->commit_time = DatumGetTimestampTz(hce_result(row, 12, NULL));
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
		Int64GetDatum(end.position.index),
		/* no more than could be sent, unless some are to be passed over */
		Int64GetDatum(park->held > 0 ? READ_ROWS : Min(READ_ROWS, park->window))
	};

	hce_statement_run(&read_rows, values, NULL);
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
 * park->rows_read, whose texts live in park->batch until that is dropped.
 * Returns how many there are.  In a transaction of its own.
 */
int
hce_parked_read(HceRelay *relay, HceParkTopic *park, HceParkedKey end)
{
	MemoryContext old = CurrentMemoryContext;

	hce_drain_drop_batch(relay, park);
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	do
	{
		MemoryContextReset(park->batch);
		query_rows(park, end);
		MemoryContextSwitchTo(park->batch);
		take_rows(relay, park);
	} while (park->nread == 0 && SPI_processed > 0);
	hce_position_commit();
	park->batch_bytes = MemoryContextMemAllocated(park->batch, true);
	relay->parking->batch_bytes += park->batch_bytes;
	MemoryContextSwitchTo(old);
	return park->nread;
}
