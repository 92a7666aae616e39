/*-------------------------------------------------------------------------
 *
 * guard.c
 *		Calling what may be a user's function while capturing.
 *
 * Rendering a value of a user's type runs that type's output function or its
 * cast to json.  An error in it must not fail the write that is being
 * captured, so it runs in a sub-transaction of its own.  Only attachments
 * with such columns pay for that.
 *
 * Nothing of the event is in the buffer yet: the function may change rows and
 * so capture events, which come before the one that is being made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/spec.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

typedef struct GuardedCall
{
	HceSpec    *spec;
	HceRow		row;
	HceRow		old_row;		/* choose_update only */
	HceSlice   *prepared;
	HceAction  *action;
	const char *column;			/* what is being rendered */
} GuardedCall;

/* These end the statement or the session, and not only the rendering. */
static bool
must_propagate(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_QUERY_CANCELED ||
		sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/*
 * Run "function" in a sub-transaction, in the current memory context; its
 * error, or NULL if there was none.
 *
 * What ends the statement or the session is raised again.
 */
ErrorData *
hce_guard_call(void (*function) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		bool		push = !ActiveSnapshotSet();

		/* a row held until the commit is rendered without a snapshot */
		if (push)
			PushActiveSnapshot(GetTransactionSnapshot());
		function(arg);
		if (push)
			PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (error != NULL && must_propagate(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

/*
 * Run "function" in a sub-transaction; false if it failed.
 *
 * The error's message may hold values of the row, so only its SQLSTATE goes
 * into "fault".
 */
static bool
run_guarded(void (*function) (void *arg), GuardedCall *call, HceFault *fault)
{
	ErrorData  *error;

	error = hce_guard_call(function, call);
	if (error == NULL)
		return true;
	fault->reason = "encoder_error";
	fault->error = psprintf("rendering column \"%s\" failed with SQLSTATE %s",
							call->column, unpack_sql_state(error->sqlerrcode));
	return false;
}

/* Render a column's value to memory of its own. */
static void
prepare_column(GuardedCall *call, const HceColumn *column, HceSlice *slice)
{
	HceBytes	bytes;

	if (!column->encoder.user_code || call->row.isnull[column->attnum - 1])
		return;
	call->column = column->name;
	hce_bytes_init(&bytes, CurrentMemoryContext, 128);
	hce_encoder_append(&column->encoder, &bytes,
					   call->row.values[column->attnum - 1]);
	if (bytes.used > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value is too large")));
	slice->data = (const char *) bytes.data;
	slice->len = (uint32) bytes.used;
}

static void
prepare_columns(void *arg)
{
	GuardedCall *call = arg;
	HceSpec    *spec = call->spec;

	for (int i = 0; i < spec->nkeys; i++)
		prepare_column(call, &spec->keys[i], &call->prepared[i]);
	for (int i = 0; i < spec->ncolumns; i++)
		prepare_column(call, &spec->columns[i],
					   &call->prepared[spec->nkeys + i]);
}

/*
 * Render the columns that may run a user's function; "prepared" has an
 * element for each key and each column, all zero.
 */
bool
hce_guard_prepare(HceSpec *spec, HceRow row, HceSlice *prepared,
				  HceFault *fault)
{
	GuardedCall call = {0};

	call.spec = spec;
	call.row = row;
	call.prepared = prepared;
	return run_guarded(prepare_columns, &call, fault);
}

static void
choose_update(void *arg)
{
	GuardedCall *call = arg;

	call->column = call->spec->transitions[0].column.name;
	call->action = hce_transition_choose(call->spec, call->old_row, call->row);
}

/* hce_transition_choose() where a transition's column has a user's type. */
bool
hce_guard_choose_update(HceSpec *spec, HceRow old_row, HceRow new_row,
						HceAction **action, HceFault *fault)
{
	GuardedCall call = {0};

	call.spec = spec;
	call.old_row = old_row;
	call.row = new_row;
	if (!run_guarded(choose_update, &call, fault))
		return false;
	*action = call.action;
	return true;
}

typedef struct ParseCall
{
	int			nargs;
	char	  **args;
	HceSpecArgs *result;
} ParseCall;

static void
parse_guarded(void *arg)
{
	ParseCall  *call = arg;

	call->result = hce_spec_args_parse(call->nargs, call->args);
}

/*
 * hce_spec_args_parse() for arguments that nobody may have checked: they were
 * written while the library was not loaded, or by another version of it.
 *
 * NULL where they make no sense; "problem", if given, is set to why.  The
 * parsers of literals raise errors, so this takes a sub-transaction, which a
 * parallel worker cannot have.
 */
HceSpecArgs *
hce_spec_args_try(int nargs, char **args, char **problem)
{
	ParseCall	call = {nargs, args, NULL};
	ErrorData  *error = hce_guard_call(parse_guarded, &call);

	if (error == NULL)
		return call.result;
	if (problem != NULL)
		*problem = error->message;
	return NULL;
}
