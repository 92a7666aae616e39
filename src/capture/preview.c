/*-------------------------------------------------------------------------
 *
 * preview.c
 *		preview(): what a table's rows would publish, without publishing.
 *
 * Rows are read by a query of the caller, so that the caller's privileges and
 * row security apply, and rendered by the code that captures them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "capture/attach.h"
#include "event/event_text.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(hce_preview);

/* What each row is rendered with. */
typedef struct Preview
{
	HceSpec    *spec;
	HceAction  *action;
	ReturnSetInfo *result;
} Preview;

/* Text of the journal in the database's encoding. */
Datum
hce_capture_text(const char *data, Size len)
{
	char	   *converted = pg_any_to_server(pnstrdup(data, len), (int) len, PG_UTF8);

	return CStringGetTextDatum(converted);
}

/* The first event that an INSERT, or else another change, makes. */
static HceAction *
action_to_preview(HceSpec *spec)
{
	if (spec->always != NULL)
		return spec->always;
	if (spec->on_insert != NULL)
		return spec->on_insert;
	if (spec->on_update != NULL)
		return spec->on_update;
	return spec->on_delete ? spec->on_delete : spec->transitions[0].action;
}

/* The values of the event of one row; an error where capture would fail. */
static int
render_row(HceSpec *spec, HceRow row, const HceTemplate *skeleton, HceBytes *body)
{
	HceSlice   *prepared = palloc0(sizeof(HceSlice) * (spec->nkeys + spec->ncolumns));
	HceFault	fault = {spec->problem_reason, spec->problem};
	int			flags = 0;

	if (spec->problem != NULL ||
		(spec->user_code && !hce_guard_prepare(spec, row, prepared, &fault)) ||
		!hce_render_body(spec, row, prepared, body, skeleton->envelope_size,
						 &flags, &fault))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("an event of table \"%s\" cannot be captured: %s",
						spec->table_label, fault.error),
				 errhint("Writing such a row would leave a dead letter.")));
	return flags;
}

/* Put an event that was rendered into the result. */
static void
add_event(Preview *preview, const HceSkeleton *skeleton,
		  const HceJournalEvent *event)
{
	unsigned char seed[HCE_SEED_SIZE];
	unsigned char id[HCE_UUID_SIZE];
	char		id_text[HCE_UUID_TEXT];
	HceEventParts parts;
	char	   *envelope;
	char	   *end;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	hce_event_id_new_seed(seed);
	hce_event_id_derive(seed, 0, event->captured_at, id);
	hce_event_id_format(id, id_text);
	if (!hce_event_parts(skeleton, event, &parts))
		elog(ERROR, "malformed event");
	envelope = palloc(hce_event_envelope_bound(skeleton, event));
	end = hce_event_envelope(envelope, skeleton, event, &parts, id_text);

	values[0] = CStringGetTextDatum(preview->action->event_type);
	nulls[1] = parts.key.data == NULL;
	values[1] = nulls[1] ? (Datum) 0 :
		hce_capture_text(parts.key.data, parts.key.len);
	values[2] = hce_capture_text(envelope, end - envelope);
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc,
						 values, nulls);
}

/* Render one row as capture does, and put it into the result. */
static void
add_row(Preview *preview, HceRow row)
{
	HceTemplate *known = hce_render_template(preview->spec, preview->action, row);
	HceSlice	bytes = {(const char *) known->bytes, (uint32) known->len};
	HceJournalEvent event = {0};
	HceSkeleton skeleton;
	HceBytes	body;

	hce_bytes_init(&body, CurrentMemoryContext, 1024);
	event.flags = render_row(preview->spec, row, known, &body);
	event.captured_at = GetCurrentTimestamp();
	event.body.data = (const char *) body.data;
	event.body.len = (uint32) body.used;
	if (!hce_skeleton_parse(bytes, &skeleton))
		elog(ERROR, "malformed skeleton");
	add_event(preview, &skeleton, &event);
}

/* Render the whole rows that SPI has read. */
static void
add_rows(Preview **previews, int npreviews)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "hcevents preview",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		whole = SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull);
		HeapTupleHeader header = DatumGetHeapTupleHeader(whole);
		TupleDesc	tupdesc = previews[0]->spec->tupdesc;
		Datum	   *values = palloc(sizeof(Datum) * tupdesc->natts);
		bool	   *nulls = palloc(sizeof(bool) * tupdesc->natts);
		HceRow		row = {values, nulls};
		HeapTupleData tuple;

		tuple.t_len = HeapTupleHeaderGetDatumLength(header);
		ItemPointerSetInvalid(&tuple.t_self);
		tuple.t_tableOid = InvalidOid;
		tuple.t_data = header;
		heap_deform_tuple(&tuple, tupdesc, values, nulls);
		for (int j = 0; j < npreviews; j++)
			add_row(previews[j], row);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

/* A preview for each attachment of the table. */
static Preview **
make_previews(Relation rel, ReturnSetInfo *result, int *count)
{
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);
	Preview   **previews = palloc(sizeof(Preview *) * (desc ? desc->numtriggers : 1));

	*count = 0;
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		Preview    *preview = palloc(sizeof(Preview));

		if (desc->triggers[i].tgisinternal ||
			!hce_trigger_is_emit(desc->triggers[i].tgfoid))
			continue;
		preview->spec = hce_spec_build(rel, &desc->triggers[i], false);
		preview->action = action_to_preview(preview->spec);
		preview->result = result;
		previews[(*count)++] = preview;
	}
	if (*count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" publishes no events",
						RelationGetRelationName(rel)),
				 errhint("Attach it first: SELECT hcevents.attach('%s', 'resource', '{column}').",
						 RelationGetRelationName(rel))));
	return previews;
}

/*
 * preview(target, max_rows) returns setof (event_type, key, envelope)
 */
Datum
hce_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel;
	Preview   **previews;
	int			count;
	char	   *query;

	InitMaterializedSRF(fcinfo, 0);
	rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	previews = make_previews(rel, result, &count);
	query = psprintf("SELECT t FROM %s AS t",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	SPI_connect();
	if (SPI_execute(query, true, Max(PG_GETARG_INT32(1), 1)) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query);
	add_rows(previews, count);
	SPI_finish();
	relation_close(rel, AccessShareLock);
	return (Datum) 0;
}
