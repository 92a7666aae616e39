/*-------------------------------------------------------------------------
 *
 * moved.c
 *		A row that an UPDATE moves to another partition is one event.
 *
 * PostgreSQL carries such an update out as a DELETE on one partition and an
 * INSERT on another, and fires the row triggers of both, one after the other.
 * The DELETE is held here until its INSERT comes; the two are then one update.
 * Where no INSERT follows (a BEFORE trigger of the new partition swallowed the
 * row) the held half is a delete after all.
 *
 * The halves belong together when they come from the same trigger of the same
 * partitioned table, at the same trigger depth, carry the same command id, and
 * have the same key, but for columns of it that say where the row lies.  One
 * command may move a row that is swallowed and insert another one (MERGE, WITH,
 * a partition that publishes nothing), so a row that gets another key while it
 * moves is deleted and created.
 *
 * At the end of the statement that fired the triggers no INSERT follows any
 * more.  Deferred triggers and the apply workers of logical replication have
 * no such end; there it is what fires next that says so.
 *
 * That may be in a later savepoint, and what is published there is gone if the
 * savepoint is rolled back, though the DELETE is not.  So the row stays on the
 * list, marked, until that sub-transaction has ended.
 *
 * Held rows are copies in TopTransactionContext.  Their specs outlive them
 * (spec_cache.c frees nothing before the transaction ends).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "capture/spec.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct HeldRow
{
	HceSpec    *spec;
	HeapTuple	tuple;
	int			depth;
	CommandId	command;
	SubTransactionId subid;		/* of the DELETE, or what that was released into */
	bool		over;			/* no INSERT follows any more */
	SubTransactionId published; /* in this later one, if valid */
} HeldRow;

static List *held_rows = NIL;

static ExecutorFinish_hook_type next_ExecutorFinish = NULL;

/* Is any row held?  Asked on the hot path. */
bool
hce_moved_pending(void)
{
	return held_rows != NIL;
}

static int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/* Hold the DELETE half of a moved row. */
void
hce_moved_hold(HceSpec *spec, HeapTuple tuple)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	HeldRow    *held = palloc(sizeof(HeldRow));

	held->spec = spec;
	held->tuple = heap_copytuple(tuple);
	held->depth = trigger_depth();
	held->command = HeapTupleHeaderGetCmax(tuple->t_data);
	held->subid = GetCurrentSubTransactionId();
	held->over = false;
	held->published = InvalidSubTransactionId;
	held_rows = lappend(held_rows, held);
	MemoryContextSwitchTo(old);
}

/* The held row's columns, numbered as in its own partition. */
static HceRow
deform(const HeldRow *held)
{
	TupleDesc	tupdesc = held->spec->tupdesc;
	Datum	   *values = palloc(sizeof(Datum) * tupdesc->natts);
	bool	   *isnull = palloc(sizeof(bool) * tupdesc->natts);
	HceRow		row = {values, isnull};

	heap_deform_tuple(held->tuple, tupdesc, values, isnull);
	return row;
}

/* Publish a held row as a delete. */
static void
publish_delete(HeldRow *held)
{
	bool		push = !ActiveSnapshotSet();

	if (held->spec->on_delete == NULL)
		return;

	/* before commit there is no snapshot, and TOAST is read under one */
	if (push)
		PushActiveSnapshot(GetTransactionSnapshot());
	hce_render_event(held->spec, held->spec->on_delete, deform(held));
	if (push)
		PopActiveSnapshot();
}

/*
 * No other half of the i-th held row comes any more: publish it, if that was
 * not done.  Returns where the next one is: this one leaves the list, unless
 * a sub-transaction that is open may still take the event back.
 */
static int
release(int i)
{
	HeldRow    *held = list_nth(held_rows, i);
	SubTransactionId current = GetCurrentSubTransactionId();

	if (held->published != InvalidSubTransactionId)
		return i + 1;
	if (held->subid >= current)
		held_rows = list_delete_nth_cell(held_rows, i);
	else
		held->published = current;
	publish_delete(held);
	return held->published != InvalidSubTransactionId ? i + 1 : i;
}

static bool
same_trigger(const HceSpec *a, const HceSpec *b)
{
	return a->root == b->root && strcmp(a->trigger_name, b->trigger_name) == 0;
}

/*
 * Was the row change that fires a trigger now made by the command that moved
 * the held row?  Rows of foreign tables do not say.
 */
static bool
same_command(const HeldRow *held, const TriggerData *trigdata)
{
	HeapTupleHeader header = trigdata->tg_trigtuple->t_data;

	if (trigdata->tg_relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		return true;
	return held->command ==
		(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ?
		 HeapTupleHeaderGetCmin(header) : HeapTupleHeaderGetCmax(header));
}

/* Does the trigger fire for the row that is held? */
static bool
same_row(const HeldRow *held, const TriggerData *trigdata)
{
	HeapTuple	tuple = trigdata->tg_trigtuple;

	return held->tuple->t_tableOid == tuple->t_tableOid &&
		ItemPointerEquals(&held->tuple->t_self, &tuple->t_self);
}

/*
 * Can the INSERT half of "held" still come, now that this trigger fires?
 * Triggers fire for row after row: an UPDATE or DELETE of another row says
 * that it did not come.
 */
static bool
may_follow(const HeldRow *held, const HceSpec *spec,
		   const TriggerData *trigdata, int depth)
{
	if (held->over)
		return false;
	if (held->depth < depth)
		return true;
	return held->depth == depth && held->spec->tree == spec->tree &&
		same_command(held, trigdata) &&
		!same_trigger(held->spec, spec) &&
		(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ||
		 same_row(held, trigdata));
}

/*
 * Publish the held rows whose other half cannot come any more.
 */
void
hce_moved_settle(HceSpec *spec, const TriggerData *trigdata)
{
	int			depth = trigger_depth();

	for (int i = 0; i < list_length(held_rows);)
	{
		if (may_follow(list_nth(held_rows, i), spec, trigdata, depth))
			i++;
		else
			i = release(i);
	}
}

/*
 * The held row with the columns numbered as in "spec", as far as transitions
 * look at it.
 */
static HceRow
renumber(const HeldRow *held, const HceSpec *spec)
{
	HceRow		from = deform(held);
	Datum	   *values = palloc0(sizeof(Datum) * spec->last_attnum);
	bool	   *isnull = palloc(sizeof(bool) * spec->last_attnum);
	HceRow		row = {values, isnull};

	memset(isnull, true, spec->last_attnum);
	for (int i = 0; i < spec->ntransitions; i++)
	{
		const HceColumn *column = &spec->transitions[i].column;
		char	   *published;
		AttrNumber	source = hce_spec_find_column(held->spec->tupdesc,
												  column->name, &published);

		if (source == InvalidAttrNumber)
			continue;
		values[column->attnum - 1] = from.values[source - 1];
		isnull[column->attnum - 1] = from.isnull[source - 1];
	}
	return row;
}

/* Has the held row the value of a column of the new row's key? */
static bool
same_value(const HeldRow *held, HceRow old_row, const HceColumn *column,
		   Form_pg_attribute att, HceRow new_row)
{
	AttrNumber	source = hce_spec_column_number(held->spec->tupdesc,
												column->name);
	int			i = column->attnum - 1;

	if (source == InvalidAttrNumber ||
		old_row.isnull[source - 1] != new_row.isnull[i])
		return false;
	return new_row.isnull[i] ||
		datum_image_eq(old_row.values[source - 1], new_row.values[i],
					   att->attbyval, att->attlen);
}

/* Have both halves the same key, but for columns that a move may change? */
static bool
same_key(const HeldRow *held, const HceSpec *spec, HceRow new_row)
{
	HceRow		old_row = deform(held);

	for (int i = 0; i < spec->nkeys; i++)
	{
		const HceColumn *column = &spec->keys[i];

		if (!column->routes &&
			!same_value(held, old_row, column,
						TupleDescAttr(spec->tupdesc, column->attnum - 1),
						new_row))
			return false;
	}
	return true;
}

/*
 * Is this INSERT of "new_row" the other half of a held row?
 *
 * Then that row is no longer held and is returned in "old_row".  Held rows
 * that this INSERT shows to be without their half are published.
 */
bool
hce_moved_match(HceSpec *spec, const TriggerData *trigdata, HceRow new_row,
				HceRow *old_row)
{
	int			depth = trigger_depth();

	for (int i = 0; i < list_length(held_rows); i++)
	{
		HeldRow    *held = list_nth(held_rows, i);

		if (held->published == InvalidSubTransactionId && !held->over &&
			held->depth == depth && same_trigger(held->spec, spec) &&
			same_command(held, trigdata) && same_key(held, spec, new_row))
		{
			held_rows = list_delete_nth_cell(held_rows, i);
			*old_row = renumber(held, spec);
			return true;
		}
	}
	hce_moved_settle(spec, trigdata);
	return false;
}

/*
 * A sub-transaction is released: no other half comes any more.  What it holds
 * is its parent's, and published when something else is, or at the end: not
 * here, since a value of a user's type is rendered in a sub-transaction, and
 * none can begin while one ends.  What was published in it for an outer one is
 * now as safe as its parent.
 */
void
hce_moved_release_sub(SubTransactionId subid, SubTransactionId parent)
{
	for (int i = 0; i < list_length(held_rows);)
	{
		HeldRow    *held = list_nth(held_rows, i);

		if (held->subid >= subid)
		{
			held->subid = parent;
			held->over = true;
		}
		if (held->published == InvalidSubTransactionId ||
			held->published < subid)
			i++;
		else if (held->subid < parent)
		{
			held->published = parent;
			i++;
		}
		else
			held_rows = list_delete_nth_cell(held_rows, i);
	}
}

/*
 * A sub-transaction aborts: its rows were never deleted, and what was published
 * in it for an outer one was not.  Must not fail.
 */
void
hce_moved_abort_sub(SubTransactionId subid)
{
	for (int i = list_length(held_rows) - 1; i >= 0; i--)
	{
		HeldRow    *held = list_nth(held_rows, i);

		if (held->subid >= subid)
			held_rows = list_delete_nth_cell(held_rows, i);
		else if (held->published >= subid)
			held->published = InvalidSubTransactionId;
	}
}

/* The transaction is about to commit: no other half comes any more. */
void
hce_moved_release_all(void)
{
	for (int i = 0; i < list_length(held_rows);)
		i = release(i);
}

/*
 * A statement has ended, somebody asks for what was captured
 * (captured_events.c) or publishes by hand (publish.c): rows that were held by
 * statements which are over are deletes.
 */
void
hce_moved_release_done(void)
{
	int			depth = trigger_depth();

	for (int i = 0; i < list_length(held_rows);)
	{
		const HeldRow *held = list_nth(held_rows, i);

		if (!held->over && held->depth <= depth)
			i++;
		else
			i = release(i);
	}
}

/* The transaction has ended; its memory goes by itself. */
void
hce_moved_forget(void)
{
	held_rows = NIL;
}

/* A statement's triggers have fired, those of the queries in it before. */
static void
finish_executor(QueryDesc *query)
{
	if (next_ExecutorFinish != NULL)
		next_ExecutorFinish(query);
	else
		standard_ExecutorFinish(query);
	if (unlikely(held_rows != NIL))
		hce_moved_release_done();
}

/* What hce_capture_init calls. */
void
hce_moved_init(void)
{
	next_ExecutorFinish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
}
