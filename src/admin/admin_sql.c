/*-------------------------------------------------------------------------
 *
 * admin_sql.c
 *		The SQL functions behind topics(), create_topics() and check().
 *
 * Which topics there should be is found in SQL, from the attachments and the
 * counters; here is only what SQL cannot do: make a topic's name, look into
 * shared memory, and have the admin worker ask Kafka.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "admin/admin.h"
#include "settings.h"
#include "stats/shared.h"

/* The limits of librdkafka's requests. */
#define MAX_PARTITIONS			100000
#define MAX_REPLICATION_FACTOR	10000

PG_FUNCTION_INFO_V1(hcevents_topic_name);
PG_FUNCTION_INFO_V1(hcevents_process_state);
PG_FUNCTION_INFO_V1(hcevents_describe_topics);
PG_FUNCTION_INFO_V1(hcevents_make_topics);

/*
 * topic_name(event_type text, schema_name text) returns text
 *
 * NULL when the settings make no valid topic's name of it.
 */
Datum
hcevents_topic_name(PG_FUNCTION_ARGS)
{
	char	   *event_type = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *schema = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char		topic[HCE_MAX_TOPIC];

	if (!hce_topic_name(event_type, schema, topic, sizeof(topic)))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(topic));
}

/*
 * process_state(OUT preloaded boolean, OUT launcher_pid integer)
 *
 * The pid only of a process that is there: shared memory may hold that of
 * one which was killed.
 */
Datum
hcevents_process_state(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[2] = {0};
	bool		nulls[2] = {false, true};
	pid_t		pid = 0;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record")));

	if (hce_shared_available())
	{
		LWLockAcquire(hce_shared->lock, LW_SHARED);
		pid = hce_shared->launcher_pid;
		LWLockRelease(hce_shared->lock);
	}
	values[0] = BoolGetDatum(hce_shared_available());
	if (pid != 0 && (kill(pid, 0) == 0 || errno == EPERM))
	{
		values[1] = Int32GetDatum(pid);
		nulls[1] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}

/* The elements of a text[] as a list of char *. */
static List *
list_from_array(ArrayType *array)
{
	List	   *list = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *topic;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a topic must not be NULL")));
		topic = TextDatumGetCString(elements[i]);
		if (*topic == '\0' || strlen(topic) >= HCE_MAX_TOPIC)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a valid topic name", topic)));
		list = lappend(list, topic);
	}
	return list;
}

static void
put_described(ReturnSetInfo *rsinfo, const char *name,
			  const HceAdminTopic *topic, int brokers)
{
	Datum		values[6] = {0};
	bool		nulls[6] = {true, false, true, true, true, true};

	values[1] = Int32GetDatum(brokers);
	if (topic != NULL)
	{
		values[0] = CStringGetTextDatum(name);
		values[2] = BoolGetDatum(topic->exists);
		nulls[0] = nulls[2] = false;
		if (topic->partitions > 0)
		{
			values[3] = Int32GetDatum(topic->partitions);
			values[4] = Int32GetDatum(topic->replication_factor);
			nulls[3] = nulls[4] = false;
		}
		if (topic->message[0] != '\0')
		{
			values[5] = CStringGetTextDatum(topic->message);
			nulls[5] = false;
		}
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * describe_topics(topics text[]) returns table(topic text, brokers integer,
 * "exists" boolean, partitions integer, replication_factor integer,
 * error text)
 *
 * Without topics one row that holds the number of brokers.
 */
Datum
hcevents_describe_topics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HceAdminCall call = {.op = HCE_ADMIN_DESCRIBE};
	HceAdminAnswer *answer;

	InitMaterializedSRF(fcinfo, 0);
	call.topics = list_from_array(PG_GETARG_ARRAYTYPE_P(0));
	answer = hce_admin_call(&call);

	if (answer->ntopics == 0)
		put_described(rsinfo, NULL, NULL, answer->brokers);
	for (int i = 0; i < answer->ntopics; i++)
		put_described(rsinfo, list_nth(call.topics, i), &answer->topics[i],
					  answer->brokers);
	return (Datum) 0;
}

/* An integer argument, or an error that names it. */
static int
get_integer(FunctionCallInfo fcinfo, int number, const char *name, int max)
{
	int			value;

	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
	value = PG_GETARG_INT32(number);
	if (value < 1 || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between 1 and %d, not %d", name, max,
						value)));
	return value;
}

/* A scalar of the configuration as Kafka wants it. */
static char *
config_value(const char *name, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the value of \"%s\" in config is neither a string nor a number nor a boolean",
							name),
					 errhint("Example: '{\"retention.ms\": 604800000, \"cleanup.policy\": \"delete\"}'.")));
	}
	return NULL;				/* keep compiler quiet */
}

/* The entries of a flat JSON object: name, value, name, value ... */
static List *
list_from_config(Jsonb *config)
{
	List	   *list = NIL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(config))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config must be a JSON object"),
				 errhint("Example: '{\"retention.ms\": 604800000}'.")));

	iterator = JsonbIteratorInit(&config->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			if (value.val.string.len == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("a name in config is empty")));
			list = lappend(list, pnstrdup(value.val.string.val,
										  value.val.string.len));
		}
		else if (token == WJB_VALUE)
			list = lappend(list, config_value(llast(list), &value));
	}
	return list;
}

/*
 * make_topics(topics text[], partitions integer, replication_factor integer,
 * config jsonb) returns table(topic text, result text)
 *
 * The arguments are checked before the topics are looked at, and without
 * topics Kafka is not asked.
 */
Datum
hcevents_make_topics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HceAdminCall call = {.op = HCE_ADMIN_CREATE};
	HceAdminAnswer *answer;

	InitMaterializedSRF(fcinfo, 0);
	call.partitions = get_integer(fcinfo, 1, "partitions", MAX_PARTITIONS);
	call.replication_factor = get_integer(fcinfo, 2, "replication_factor",
										  MAX_REPLICATION_FACTOR);
	if (PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("config must not be NULL")));
	call.config = list_from_config(PG_GETARG_JSONB_P(3));
	if (!PG_ARGISNULL(0))
		call.topics = list_from_array(PG_GETARG_ARRAYTYPE_P(0));
	if (call.topics == NIL)
		return (Datum) 0;

	answer = hce_admin_call(&call);
	for (int i = 0; i < answer->ntopics; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = CStringGetTextDatum((char *) list_nth(call.topics, i));
		values[1] = CStringGetTextDatum(answer->topics[i].message);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
