/*-------------------------------------------------------------------------
 *
 * hcevents_test.c
 *		Test support: what has been captured, read from the WAL.
 *
 * The tests of capture need to see events without Kafka and without a relay.
 * This reads the WAL as pg_walinspect does and decodes journal records with
 * the same code as the relay.  Never installed by the product.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <uuid/uuid.h>

#include "access/heapam_xlog.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "commands/trigger.h"
#include "event/event_text.h"
#include "excluded.h"
#include "lib/stringinfo.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(hce_test_captured);
PG_FUNCTION_INFO_V1(hce_test_event_id);
PG_FUNCTION_INFO_V1(hce_test_fuzz);
PG_FUNCTION_INFO_V1(hce_test_excluded);
PG_FUNCTION_INFO_V1(hce_test_noop);

#define COLUMNS		10

typedef struct Row
{
	TransactionId xid;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
	bool		done;
} Row;

typedef void (*RecordHandler) (XLogReaderState *reader, void *arg);

/* Call "handler" for each WAL record from "from" to the flush pointer. */
static void
walk_wal(XLogRecPtr from, RecordHandler handler, void *arg)
{
	ReadLocalXLogPageNoWaitPrivate *private_data =
		palloc0(sizeof(ReadLocalXLogPageNoWaitPrivate));
	XLogReaderState *reader = XLogReaderAllocate(wal_segment_size, NULL,
												 XL_ROUTINE(.page_read = &read_local_xlog_page_no_wait,
															.segment_open = &wal_segment_open,
															.segment_close = &wal_segment_close),
												 private_data);
	char	   *error;

	if (XLogFindNextRecord(reader, from) != InvalidXLogRecPtr)
	{
		while (XLogReadRecord(reader, &error) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			handler(reader, arg);
		}
	}
	XLogReaderFree(reader);
}

/* The journal record in "reader"; false if it is something else. */
static bool
journal_payload(XLogReaderState *reader, const char **data, Size *len)
{
	xl_logical_message *message = (xl_logical_message *) XLogRecGetData(reader);

	if (XLogRecGetRmid(reader) != RM_LOGICALMSG_ID ||
		message->dbId != MyDatabaseId ||
		message->prefix_size != HCE_JOURNAL_PREFIX_SIZE ||
		memcmp(message->message, HCE_JOURNAL_PREFIX, HCE_JOURNAL_PREFIX_SIZE) != 0)
		return false;
	*data = message->message + message->prefix_size;
	*len = message->message_size;
	return true;
}

static Datum
slice_datum(HceSlice slice)
{
	return CStringGetTextDatum(pg_any_to_server(pnstrdup(slice.data, slice.len),
												(int) slice.len, PG_UTF8));
}

/* Names and values in turn, as name=value with commas between. */
static Datum
headers_datum(HceSlice headers)
{
	const uint8 *pos = (const uint8 *) headers.data;
	const uint8 *end = pos + headers.len;
	StringInfoData out;
	HceSlice	name;
	HceSlice	value;

	initStringInfo(&out);
	while (pos < end)
	{
		if (!hce_get_string(&pos, end, &name) || !hce_get_string(&pos, end, &value))
			elog(ERROR, "malformed headers");
		appendStringInfo(&out, "%s%s=%s", out.len > 0 ? "," : "",
						 TextDatumGetCString(slice_datum(name)),
						 TextDatumGetCString(slice_datum(value)));
	}
	return CStringGetTextDatum(out.data);
}

/* The envelope, in the current memory context; false if malformed. */
static bool
make_envelope(const HceSkeleton *skeleton, const HceJournalEvent *event,
			  const unsigned char *id, HceEventParts *parts, HceSlice *envelope)
{
	char		id_text[HCE_UUID_TEXT];
	char	   *out;

	if (!hce_event_parts(skeleton, event, parts))
		return false;
	hce_event_id_format(id, id_text);
	out = palloc(hce_event_envelope_bound(skeleton, event));
	envelope->data = out;
	envelope->len = (uint32) (hce_event_envelope(out, skeleton, event, parts,
												 id_text) - out);
	return true;
}

/* The string after "skip" others in a body. */
static HceSlice
body_string(HceSlice body, int skip)
{
	const uint8 *pos = (const uint8 *) body.data;
	const uint8 *end = pos + body.len;
	HceSlice	slice = {"", 0};

	for (int i = 0; i <= skip; i++)
	{
		if (!hce_get_string(&pos, end, &slice))
			elog(ERROR, "malformed body");
	}
	return slice;
}

static Row *
row_of_event(const HceJournalReader *reader, const HceJournalEvent *event)
{
	Row		   *row = palloc0(sizeof(Row));
	HceSkeleton skeleton;
	HceEventParts parts;
	HceSlice	envelope;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	memset(row->nulls, true, sizeof(row->nulls));
	hce_event_id_derive(reader->seed, event->number, event->captured_at, id->data);
	if (!hce_skeleton_parse(reader->skeletons[event->skeleton], &skeleton) ||
		!make_envelope(&skeleton, event, id->data, &parts, &envelope))
		elog(ERROR, "malformed event");

	row->xid = event->xid;
#define SET(n, datum) (row->values[n] = (datum), row->nulls[n] = false)
	SET(0, TransactionIdGetDatum(event->xid));
	SET(1, BoolGetDatum(false));
	SET(2, UUIDPGetDatum(id));
	SET(3, slice_datum(skeleton.event_type));
	if (parts.key.data != NULL)
		SET(4, slice_datum(parts.key));
	if (parts.headers.data != NULL)
		SET(5, headers_datum(parts.headers));
	SET(6, slice_datum(skeleton.schema));
	SET(7, slice_datum(skeleton.table));
	if (skeleton.key_mode == HCE_KEY_FAILED)
		SET(9, CStringGetTextDatum(psprintf("%s: %s",
											TextDatumGetCString(slice_datum(body_string(event->body, HCE_FAILED_REASON))),
											TextDatumGetCString(slice_datum(body_string(event->body, HCE_FAILED_ERROR))))));
	else
		SET(8, slice_datum(envelope));
	return row;
}

typedef struct Captured
{
	List	   *rows;
	ReturnSetInfo *result;
} Captured;

static void
put_rows(Captured *captured, TransactionId xid, bool committed)
{
	ListCell   *cell;

	foreach(cell, captured->rows)
	{
		Row		   *row = lfirst(cell);

		if (row->done || (TransactionIdIsValid(xid) && row->xid != xid))
			continue;
		row->done = true;
		row->values[1] = BoolGetDatum(committed);
		tuplestore_putvalues(captured->result->setResult,
							 captured->result->setDesc, row->values, row->nulls);
	}
}

/* A commit: its events, in the order in which they were captured. */
static void
put_committed(Captured *captured, TransactionId xid, int nsubxacts,
			  const TransactionId *subxacts)
{
	ListCell   *cell;

	foreach(cell, captured->rows)
	{
		Row		   *row = lfirst(cell);
		bool		mine = row->xid == xid;

		for (int i = 0; i < nsubxacts; i++)
			mine |= row->xid == subxacts[i];
		if (!mine || row->done)
			continue;
		row->done = true;
		row->values[1] = BoolGetDatum(true);
		tuplestore_putvalues(captured->result->setResult,
							 captured->result->setDesc, row->values, row->nulls);
	}
}

static void
collect(XLogReaderState *reader, void *arg)
{
	Captured   *captured = arg;
	const char *data;
	Size		len;

	if (journal_payload(reader, &data, &len))
	{
		HceJournalReader journal;
		HceJournalEvent event;
		TransactionId xid;
		uint32		nevents;
		char	   *copy = palloc(len);

		memcpy(copy, data, len);
		if (!hce_journal_open(&journal, copy, len))
			elog(ERROR, "malformed record");
		while (hce_journal_next_segment(&journal, &xid, &nevents))
		{
			while (hce_journal_next_event(&journal, &event))
				captured->rows = lappend(captured->rows,
										 row_of_event(&journal, &event));
		}
		if (hce_journal_malformed(&journal))
			elog(ERROR, "malformed record");
	}
	else if (XLogRecGetRmid(reader) == RM_XACT_ID)
	{
		uint8		info = XLogRecGetInfo(reader) & XLOG_XACT_OPMASK;
		xl_xact_parsed_commit parsed;

		if (info != XLOG_XACT_COMMIT && info != XLOG_XACT_COMMIT_PREPARED)
			return;
		ParseCommitRecord(XLogRecGetInfo(reader),
						  (xl_xact_commit *) XLogRecGetData(reader), &parsed);
		put_committed(captured, info == XLOG_XACT_COMMIT ?
					  XLogRecGetXid(reader) : parsed.twophase_xid,
					  parsed.nsubxacts, parsed.subxacts);
	}
}

Datum
hce_test_captured(PG_FUNCTION_ARGS)
{
	Captured	captured = {NIL, (ReturnSetInfo *) fcinfo->resultinfo};

	InitMaterializedSRF(fcinfo, 0);
	walk_wal(PG_GETARG_LSN(0), collect, &captured);
	put_rows(&captured, InvalidTransactionId, false);
	return (Datum) 0;
}

/* Ids are distinct, of version 7, in order, and printed as libuuid does. */
Datum
hce_test_event_id(PG_FUNCTION_ARGS)
{
	unsigned char seed[HCE_SEED_SIZE];
	unsigned char id[HCE_UUID_SIZE];
	unsigned char other[HCE_UUID_SIZE];
	char		ours[HCE_UUID_TEXT + 1] = "";
	char		theirs[HCE_UUID_TEXT + 1] = "";
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < PG_GETARG_INT32(0); i++)
	{
		hce_event_id_new_seed(seed);
		hce_event_id_derive(seed, i, now, id);
		hce_event_id_derive(seed, i, now, other);
		if (memcmp(id, other, HCE_UUID_SIZE) != 0)
			elog(ERROR, "not the same id twice");
		hce_event_id_derive(seed, i + 1, now, other);
		if (memcmp(id, other, HCE_UUID_SIZE) == 0)
			elog(ERROR, "one id for two events");
		hce_event_id_derive(seed, i, now + 1000, other);
		if (memcmp(id, other, HCE_UUID_SIZE) >= 0)
			elog(ERROR, "ids do not follow the time");
		hce_event_id_format(id, ours);
		uuid_unparse_lower(id, theirs);
		if (strcmp(ours, theirs) != 0)
			elog(ERROR, "%s is not %s", ours, theirs);
		if (uuid_type(id) != 7 || uuid_variant(id) != UUID_VARIANT_DCE)
			elog(ERROR, "%s is not of version 7", ours);
	}
	PG_RETURN_TEXT_P(cstring_to_text("ok"));
}

typedef struct FirstRecord
{
	char	   *data;
	Size		len;
} FirstRecord;

static void
keep_longest(XLogReaderState *reader, void *arg)
{
	FirstRecord *first = arg;
	const char *data;
	Size		len;

	if (!journal_payload(reader, &data, &len) || len <= first->len)
		return;
	first->data = palloc(len);
	memcpy(first->data, data, len);
	first->len = len;
}

/* Decode everything; false if anything is malformed. */
static bool
decode_all(const char *data, Size len)
{
	HceJournalReader journal;
	HceJournalEvent event;
	TransactionId xid;
	uint32		nevents;

	if (!hce_journal_open(&journal, data, len))
		return false;
	while (hce_journal_next_segment(&journal, &xid, &nevents))
	{
		while (hce_journal_next_event(&journal, &event))
		{
			HceSkeleton skeleton;
			HceEventParts parts;
			HceSlice	envelope;
			unsigned char id[HCE_UUID_SIZE] = {0};

			if (!hce_skeleton_parse(journal.skeletons[event.skeleton], &skeleton))
				return false;
			if (!make_envelope(&skeleton, &event, id, &parts, &envelope))
				return false;
			pfree(unconstify(char *, envelope.data));
			pfree(skeleton.pieces);
		}
	}
	return !hce_journal_malformed(&journal);
}

/* The same numbers in each run. */
static Size
random_below(uint64 *state, Size limit)
{
	*state = *state * UINT64CONST(6364136223846793005) +
		UINT64CONST(1442695040888963407);
	return (*state >> 33) % limit;
}

/* Damage a record in one to four bytes, or cut it off, and decode it. */
Datum
hce_test_fuzz(PG_FUNCTION_ARGS)
{
	FirstRecord first = {NULL, 0};
	int			refused = 0;
	uint64		state = 42;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "fuzz",
												  ALLOCSET_DEFAULT_SIZES);

	walk_wal(PG_GETARG_LSN(0), keep_longest, &first);
	if (first.data == NULL || !decode_all(first.data, first.len))
		elog(ERROR, "no sound record to begin with");
	for (int i = 0; i < PG_GETARG_INT32(1); i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		Size		len = first.len;
		char	   *copy;

		if (i % 4 == 0)
			len = random_below(&state, first.len);
		/* an allocation of its own size, for a checker of memory to see */
		copy = palloc(Max(len, 1));
		memcpy(copy, first.data, len);
		for (int j = 0; len > 0 && j < 1 + i % 4; j++)
			copy[random_below(&state, len)] = (char) random_below(&state, 256);
		if (!decode_all(copy, len))
			refused++;
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	PG_RETURN_INT32(refused);
}

/*
 * hce_test_sleep(milliseconds): trigger function.  As the last one before a
 * commit it makes a session that is told to end commit all the same, and late.
 */
PG_FUNCTION_INFO_V1(hce_test_sleep);

Datum
hce_test_sleep(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TimestampTz end = GetCurrentTimestamp() +
		(int64) atoi(trigdata->tg_trigger->tgargs[0]) * 1000;

	HOLD_INTERRUPTS();
	while (GetCurrentTimestamp() < end)
		pg_usleep(1000);
	RESUME_INTERRUPTS();
	return PointerGetDatum(NULL);
}

Datum
hce_test_excluded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hce_excluded_by(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								   text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/* A row trigger that does nothing: what the server itself takes for one. */
Datum
hce_test_noop(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}
