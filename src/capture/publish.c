/*-------------------------------------------------------------------------
 *
 * publish.c
 *		publish(): an event by hand, in the caller's transaction.
 *
 * The same buffer and the same journal as the trigger's, so the event is
 * published if and only if the transaction commits.  Unlike the trigger, an
 * explicit call gets errors: there is no write to protect.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "capture/spec.h"
#include "event/json_text.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(hce_publish);

#define MAX_TOPIC	249

/* Headers of an event besides our own; the relay passes on that many. */
#define MAX_HEADERS	32

/* What publish() was called with, checked and in UTF-8. */
typedef struct Draft
{
	char	   *event_type;
	HceBytes	data;
	char	   *key;			/* NULL = none */
	HceBytes	headers;
	bool		has_headers;
} Draft;

static void
check_can_publish(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot publish an event during recovery"),
				 errhint("Connect to the primary server.")));
	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot publish an event during a parallel operation")));
}

/* Copy a jsonb's text, in UTF-8. */
static void
utf8_of_jsonb(HceBytes *out, Jsonb *jsonb)
{
	char	   *json = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	hce_bytes_init(out, CurrentMemoryContext, strlen(json) + 1);
	hce_bytes_append(out, json, strlen(json));
	if (!hce_utf8_convert_tail(out, 0))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("the event cannot be converted to UTF-8")));
}

static char *
utf8_of_text(const char *str)
{
	char	   *result = hce_utf8_from_server(str);

	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("the event cannot be converted to UTF-8")));
	return result;
}

/* The headers of each message; publish() must not forge them. */
static const char *const own_headers[] = {
	"event_id", "event_type", "content-type", "source", "db", "table",
	"position"
};

static void
check_header_name(const char *name)
{
	for (int i = 0; i < (int) lengthof(own_headers); i++)
	{
		if (pg_strcasecmp(name, own_headers[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_RESERVED_NAME),
					 errmsg("header \"%s\" is set by hcevents itself", name),
					 errhint("Use another name for the header.")));
	}
}

static void
refuse_headers(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("headers must be a flat JSON object of strings"),
			 errhint("Write headers like {\"trace_id\": \"4bf92f35\"}.")));
}

/* The headers in the form of the journal: names and values in turn. */
static void
encode_headers(HceBytes *out, Jsonb *headers)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(headers))
		refuse_headers();
	if (JB_ROOT_COUNT(headers) > MAX_HEADERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an event has at most %d headers", MAX_HEADERS)));
	hce_bytes_init(out, CurrentMemoryContext, 256);
	it = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *str;

		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		if (value.type != jbvString)
			refuse_headers();
		str = utf8_of_text(pnstrdup(value.val.string.val, value.val.string.len));
		if (token == WJB_KEY)
			check_header_name(str);
		hce_bytes_put_string(out, str, strlen(str));
	}
}

/* data->>'<resource>_id'; NULL if there is none. */
static char *
key_of_data(Jsonb *data, const char *event_type)
{
	char	   *member = psprintf("%.*s_id", (int) strcspn(event_type, "."),
								  event_type);
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&data->root, member, (int) strlen(member),
									 &value) == NULL)
		return NULL;
	switch (value.type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value.val.string.val, value.val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value.val.numeric)));
		case jbvBool:
			return pstrdup(value.val.boolean ? "true" : "false");
		default:
			return JsonbToCString(NULL, value.val.binary.data,
								  value.val.binary.len);
	}
}

/* Check the arguments and bring them into the form of the journal. */
static void
read_arguments(FunctionCallInfo fcinfo, Draft *draft)
{
	Jsonb	   *data;
	char		topic[MAX_TOPIC + 1];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event_type and data must not be NULL")));
	draft->event_type = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hce_spec_check_event_type(draft->event_type);
	if (!hce_topic_name(draft->event_type, "", topic, sizeof(topic)))
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("the topic name of event type \"%s\" is longer than %d characters",
						draft->event_type, MAX_TOPIC)));

	data = PG_GETARG_JSONB_P(1);
	if (!JB_ROOT_IS_OBJECT(data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("data must be a JSON object"),
				 errhint("Write data like {\"patient_id\": 1}.")));
	utf8_of_jsonb(&draft->data, data);

	draft->key = PG_ARGISNULL(2) ?
		key_of_data(data, draft->event_type) :
		text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (draft->key != NULL)
		draft->key = utf8_of_text(draft->key);

	draft->has_headers = !PG_ARGISNULL(3);
	if (draft->has_headers)
		encode_headers(&draft->headers, PG_GETARG_JSONB_P(3));
}

static void
make_template(HceTemplate *skeleton, const Draft *draft)
{
	HceSkeletonParts parts = {0};

	parts.event_type = draft->event_type;
	parts.source = utf8_of_text(hce_source);
	parts.version = utf8_of_text(hce_schema_version);
	parts.schema = "";
	parts.table = "";
	parts.key_mode = HCE_KEY_NONE;
	parts.data_value = true;
	memset(skeleton, 0, sizeof(*skeleton));
	hce_template_make(skeleton, &parts, CurrentMemoryContext);
}

static void
check_size(const HceTemplate *skeleton, const Draft *draft)
{
	Size		size = skeleton->envelope_size + draft->data.used +
		(draft->key ? strlen(draft->key) : 0) +
		(draft->has_headers ? draft->headers.used : 0);

	if (size > (Size) hce_max_event_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the event is larger than hcevents.max_event_size (%d kB)",
						hce_max_event_size),
				 errhint("Publish less data, or raise hcevents.max_event_size.")));
}

/*
 * publish(event_type, data, key, headers) returns uuid: the event's id.
 *
 * NULL when hcevents.enabled is off.
 */
Datum
hce_publish(PG_FUNCTION_ARGS)
{
	Draft		draft = {0};
	HceTemplate skeleton;
	TimestampTz now;
	HceBytes   *out;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	int			flags = 0;

	check_can_publish();
	read_arguments(fcinfo, &draft);
	make_template(&skeleton, &draft);
	check_size(&skeleton, &draft);
	if (!hce_enabled)
		PG_RETURN_NULL();
	hce_capture_warn_unloaded();
	if (unlikely(hce_moved_pending()))
		hce_moved_release_done();

	now = GetCurrentTimestamp();
	out = hce_buffer_begin(&skeleton, now);
	hce_bytes_put_string(out, (char *) draft.data.data,
						 draft.data.used);
	if (draft.key != NULL)
	{
		flags |= HCE_EVENT_HAS_KEY;
		hce_bytes_put_string(out, draft.key, strlen(draft.key));
	}
	if (draft.has_headers)
	{
		flags |= HCE_EVENT_HAS_HEADERS;
		hce_bytes_put_string(out, (char *) draft.headers.data,
							 draft.headers.used);
	}
	hce_buffer_next_id(now, id->data);
	hce_buffer_finish(flags);
	PG_RETURN_UUID_P(id);
}
