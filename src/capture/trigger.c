/*-------------------------------------------------------------------------
 *
 * trigger.c
 *		hcevents.emit(), the trigger function.
 *
 * It takes no lock, opens no table and talks to nobody: it decides which
 * event the row change is, and renders it into the backend's buffer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "executor/tuptable.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(hce_emit);

/* Raise an error unless we are fired AFTER, FOR EACH ROW. */
static void
check_protocol(FunctionCallInfo fcinfo)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hcevents.emit() can only be called as a trigger"),
				 errhint("Use hcevents.attach() to make a table publish, or hcevents.publish() to publish by hand.")));
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hcevents.emit() must be fired AFTER, FOR EACH ROW"),
				 errhint("Create the trigger with AFTER INSERT OR UPDATE OR DELETE ... FOR EACH ROW.")));
}

/* The columns that the spec needs, out of a trigger's slot. */
static HceRow
row_of(const HceSpec *spec, TupleTableSlot *slot)
{
	HceRow		row;

	slot_getsomeattrs(slot, spec->last_attnum);
	row.values = slot->tts_values;
	row.isnull = slot->tts_isnull;
	return row;
}

/*
 * A row was updated: choose between the transitions and the plain event.
 */
static void
emit_update(HceSpec *spec, HceRow old_row, HceRow new_row)
{
	HceAction  *action = spec->on_update;
	HceFault	fault;

	if (spec->ntransitions > 0 && !spec->user_code)
		action = hce_transition_choose(spec, old_row, new_row);
	else if (spec->ntransitions > 0 &&
			 !hce_guard_choose_update(spec, old_row, new_row, &action, &fault))
	{
		hce_failure_capture(spec, spec->on_update ? spec->on_update :
							spec->transitions[0].action, new_row, &fault);
		return;
	}
	if (action != NULL)
		hce_render_event(spec, action, new_row);
}

/* An INSERT on a partition: perhaps the second half of a moved row. */
static void
emit_insert(HceSpec *spec, TriggerData *trigdata, HceRow row)
{
	HceRow		old_row;

	if (unlikely(hce_moved_pending()) &&
		hce_moved_match(spec, trigdata, row, &old_row))
		emit_update(spec, old_row, row);
	else if (spec->on_insert != NULL)
		hce_render_event(spec, spec->on_insert, row);
}

static void
emit_delete(HceSpec *spec, TriggerData *trigdata, HceRow row)
{
	if (trigdata->tg_trigger->tgisclone && !hce_buffer_is_write_through() &&
		HeapTupleHeaderIndicatesMovedPartitions(trigdata->tg_trigtuple->t_data))
		hce_moved_hold(spec, trigdata->tg_trigtuple);
	else if (spec->on_delete != NULL)
		hce_render_event(spec, spec->on_delete, row);
}

/*
 * The trigger function.  Its return value is ignored: it fires AFTER.
 */
Datum
hce_emit(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	HceSpec    *spec;
	HceRow		row;

	check_protocol(fcinfo);
	if (!hce_enabled)
		return PointerGetDatum(NULL);
	hce_capture_warn_unloaded();
	spec = hce_spec_get(trigdata->tg_relation, trigdata->tg_trigger);
	row = row_of(spec, trigdata->tg_trigslot);

	/* what is over comes first; emit_insert() looks for its match before */
	if (unlikely(hce_moved_pending()) &&
		(spec->always != NULL || !TRIGGER_FIRED_BY_INSERT(trigdata->tg_event)))
		hce_moved_settle(spec, trigdata);

	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		HceRow		new_row = row_of(spec, trigdata->tg_newslot);

		if (spec->always != NULL)
			hce_render_event(spec, spec->always, new_row);
		else
			emit_update(spec, row, new_row);
	}
	else if (spec->always != NULL)
		hce_render_event(spec, spec->always, row);
	else if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		emit_insert(spec, trigdata, row);
	else
		emit_delete(spec, trigdata, row);
	return PointerGetDatum(NULL);
}
