/*-------------------------------------------------------------------------
 *
 * captured_events.c
 *		captured_events(): what this transaction has captured so far.
 *
 * For tests of applications, which need no Kafka then.  The envelope is made
 * by the code that the relay uses, out of the same bytes, so an event that is
 * shown is the one that a consumer receives if the transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/kept.h"
#include "capture/spec.h"
#include "event/event_text.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(hce_captured_events);

#define MAX_TOPIC	249
#define DATA_NAME	"\"data\":"

enum
{
	EVENT_ID,
	EVENT_TYPE,
	KEY,
	DATA,
	ENVELOPE,
	HEADERS,
	TOPIC,
	SOURCE_TABLE,
	ERROR_TEXT,
	NCOLUMNS
};

/* A row of the result. */
typedef struct Row
{
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];
} Row;

static void
put(Row *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static Datum
text_of(HceSlice slice)
{
	return hce_capture_text(slice.data, slice.len);
}

static char *
string_of(HceSlice slice)
{
	return TextDatumGetCString(text_of(slice));
}

/* The headers given to publish(), names and values in turn, as an object. */
static Datum
headers_of(HceSlice headers)
{
	const uint8 *pos = (const uint8 *) headers.data;
	const uint8 *end = pos + headers.len;
	StringInfoData json;
	HceSlice	name;
	HceSlice	value;

	initStringInfo(&json);
	while (hce_get_string(&pos, end, &name) && hce_get_string(&pos, end, &value))
	{
		appendStringInfoChar(&json, json.len == 0 ? '{' : ',');
		escape_json(&json, string_of(name));
		appendStringInfoChar(&json, ':');
		escape_json(&json, string_of(value));
	}
	if (json.len == 0)
		appendStringInfoChar(&json, '{');
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* The topic under the settings of this session; NULL when there is no name. */
static void
put_topic(Row *row, const HceSkeleton *skeleton)
{
	char		topic[MAX_TOPIC + 1];

	if (hce_topic_name(string_of(skeleton->event_type),
					   string_of(skeleton->schema), topic, sizeof(topic)))
		put(row, TOPIC, CStringGetTextDatum(topic));
}

/* An event that could not be captured: a dead letter would take its place. */
static void
put_failure(Row *row, const HceEventParts *parts)
{
	const uint8 *pos = parts->values;
	HceSlice	reason;
	HceSlice	error;

	if (!hce_get_string(&pos, parts->values_end, &reason) ||
		!hce_get_string(&pos, parts->values_end, &error))
		elog(ERROR, "malformed event");
	put(row, ERROR_TEXT,
		CStringGetTextDatum(psprintf("%s: %s", string_of(reason), string_of(error))));
}

/*
 * The end of the JSON value that begins at "pos", in an object.  By hand,
 * since the server's functions refuse what json columns may hold (\u0000,
 * numbers out of range), with the text in the message.
 */
static const char *
value_end(const char *pos)
{
	int			depth = 0;
	bool		in_string = false;

	for (;; pos++)
	{
		if (in_string)
		{
			if (*pos == '\\')
				pos++;
			else if (*pos == '"')
				in_string = false;
		}
		else if (*pos == '"')
			in_string = true;
		else if (*pos == '{' || *pos == '[')
			depth++;
		else if (depth == 0 && (*pos == ',' || *pos == '}'))
			return pos;
		else if (*pos == '}' || *pos == ']')
			depth--;
	}
}

static void
put_envelope(Row *row, const HceSkeleton *skeleton,
			 const HceJournalEvent *event, const HceEventParts *parts,
			 const unsigned char *id)
{
	char		id_text[HCE_UUID_TEXT];
	char	   *envelope = MemoryContextAllocHuge(CurrentMemoryContext,
												  hce_event_envelope_bound(skeleton, event) + 1);
	char	   *end;
	const char *data;

	hce_event_id_format(id, id_text);
	end = hce_event_envelope(envelope, skeleton, event, parts, id_text);
	put(row, ENVELOPE, hce_capture_text(envelope, end - envelope));
	/* nothing before it holds a quote of its own */
	*end = '\0';
	data = strstr(envelope, DATA_NAME) + strlen(DATA_NAME);
	put(row, DATA, hce_capture_text(data, value_end(data) - data));
}

static void
make_row(Row *row, int number)
{
	HceSlice	bytes;
	HceSkeleton skeleton;
	HceJournalEvent event;
	HceEventParts parts;
	const unsigned char *id;

	memset(row->nulls, true, sizeof(row->nulls));
	hce_kept_get(number, &bytes, &event, &id);
	if (!hce_skeleton_parse(bytes, &skeleton) ||
		!hce_event_parts(&skeleton, &event, &parts))
		elog(ERROR, "malformed event");

	put(row, EVENT_ID, UUIDPGetDatum((const pg_uuid_t *) id));
	put(row, EVENT_TYPE, text_of(skeleton.event_type));
	if (parts.key.data != NULL)
		put(row, KEY, text_of(parts.key));
	if (parts.headers.data != NULL)
		put(row, HEADERS, headers_of(parts.headers));
	put_topic(row, &skeleton);
	if (skeleton.table.len > 0)
		put(row, SOURCE_TABLE,
			CStringGetTextDatum(psprintf("%s.%s", string_of(skeleton.schema),
										 string_of(skeleton.table))));
	if (skeleton.key_mode == HCE_KEY_FAILED)
		put_failure(row, &parts);
	else
		put_envelope(row, &skeleton, &event, &parts, id);
}

/*
 * captured_events() returns setof (event_id, event_type, key, data, envelope,
 * headers, topic, source_table, error)
 *
 * The events that this transaction has captured since hcevents.keep_captured
 * was switched on, in their order, without those of savepoints that were
 * rolled back.  Takes no lock.  Errors:
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE while hcevents.keep_captured is
 * off (an empty answer would let a test pass that expects no event),
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED when not all could be kept.
 *
 * Who may call it sees values that he may not be allowed to read: an UPDATE
 * needs no right on the columns that its event publishes, and what a SECURITY
 * DEFINER function or a trigger writes, or row security hides, is in the list
 * as well, whatever role was set when.  To compare the rights of the current
 * role with those of every event would be a second system of rights that must
 * never be wrong; so EXECUTE is for nobody, and the DBA of a test database
 * grants it: hcevents.grant_access(role, 'test').
 */
Datum
hce_captured_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext scratch;
	MemoryContext old;
	int			count;

	if (!hce_keep_captured)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events are not kept: hcevents.keep_captured is off"),
				 errhint("SET hcevents.keep_captured = on in this session, before what captures the events.")));
	if (!hce_enabled)
		ereport(WARNING,
				(errmsg("nothing is captured: hcevents.enabled is off"),
				 errhint("It may come from KAFKA_ENABLED in the server's environment; ALTER DATABASE ... SET hcevents.enabled = on captures in a test database all the same.")));
	InitMaterializedSRF(fcinfo, 0);
	hce_moved_release_done();
	count = hce_kept_count();

	scratch = AllocSetContextCreate(CurrentMemoryContext,
									"hcevents captured events",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	for (int i = 0; i < count; i++)
	{
		Row			row;

		make_row(&row, i);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values,
							 row.nulls);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return (Datum) 0;
}
