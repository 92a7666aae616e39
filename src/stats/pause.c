/*-------------------------------------------------------------------------
 *
 * pause.c
 *		hcevents.pause() and resume(): who stops delivery, and why.
 *
 * Writes hcevents.pauses, which the relay reads when it starts and when it is
 * told that the table has changed.  It is told at commit, so a rollback needs
 * nothing, and one to a savepoint takes along what was noted behind it; hence
 * neither function may be part of a prepared transaction, whose commit nobody
 * here would see.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "stats/shared.h"

/*
 * The outermost level of nested transactions at which hcevents.pauses was
 * changed, at which anything was resumed, and at which all was; 0 = at none.
 */
static int	changed = 0;
static int	resumed = 0;
static int	resumed_all = 0;

/* At commit: tell the relay.  Takes no lock that can fail, raises nothing. */
static void
tell_relay(void)
{
	HceDatabase *db;

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db = hce_shared_find(MyDatabaseId);
	if (db != NULL)
	{
		db->pauses_changed = true;
		db->resumed |= resumed > 0;
		/* an excluded one has no relay: a later life must not find this */
		db->adopt_requested |= resumed_all > 0 && !db->excluded;
		if (db->relay_latch != NULL)
			SetLatch(db->relay_latch);
	}
	LWLockRelease(hce_shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (changed > 0)
				ereport(ERROR,
						errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot PREPARE a transaction that has paused or resumed the delivery of events"),
						errhint("Call hcevents.pause() and hcevents.resume() in a transaction of their own."));
			return;
		case XACT_EVENT_COMMIT:
			if (changed > 0)
				tell_relay();
			break;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	changed = resumed = resumed_all = 0;
}

static void
note_level(int *level)
{
	int			current = GetCurrentTransactionNestLevel();

	*level = *level == 0 ? current : Min(*level, current);
}

/* What was noted in a sub-transaction is its parent's, or is nothing. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id,
					  SubTransactionId parent, void *arg)
{
	int			current = GetCurrentTransactionNestLevel();
	int			left = event == SUBXACT_EVENT_COMMIT_SUB ? current - 1 : 0;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	if (changed >= current)
		changed = left;
	if (resumed >= current)
		resumed = left;
	if (resumed_all >= current)
		resumed_all = left;
}

static void
note_change(bool resume, bool all)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
	}
	registered = true;
	note_level(&changed);
	if (resume)
		note_level(&resumed);
	if (resume && all)
		note_level(&resumed_all);
}

/* The event type argument; NULL stands for all. */
static Datum
event_type_argument(FunctionCallInfo fcinfo)
{
	text	   *event_type;

	if (hce_shared == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents was not loaded when the server started"),
				errhint("Add this line to postgresql.conf and restart the server: shared_preload_libraries = 'hcevents' (after a comma if there are others)."));
	if (PG_ARGISNULL(0))
		return CStringGetTextDatum("*");
	event_type = PG_GETARG_TEXT_PP(0);
	if (VARSIZE_ANY_EXHDR(event_type) == 0 ||
		VARSIZE_ANY_EXHDR(event_type) > HCE_MAX_EVENT_TYPE)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("an event type has between 1 and %d characters", HCE_MAX_EVENT_TYPE),
				errhint("Name a type like patient.created, or NULL for all."));
	return PointerGetDatum(event_type);
}

/*
 * hcevents.pause(event_type text, reason text): delivery of a type, or with
 * NULL of all, stops at commit and stays stopped until hcevents.resume(),
 * also over restarts.  SECURITY DEFINER: who may call it needs no right on
 * the table.  Locks a row of hcevents.pauses.
 */
PG_FUNCTION_INFO_V1(hcevents_pause);

Datum
hcevents_pause(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, NAMEOID};
	char		nulls[] = "   ";
	NameData	role;
	Datum		values[3];

	values[0] = event_type_argument(fcinfo);
	if (PG_ARGISNULL(1))
		nulls[1] = 'n';
	else
		values[1] = PG_GETARG_DATUM(1);
	/* GetUserId() is the function's owner here */
	namestrcpy(&role, GetUserNameFromId(GetOuterUserId(), false));
	values[2] = NameGetDatum(&role);

	note_change(false, false);
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO hcevents.pauses VALUES ($1, $2, $3, pg_catalog.now())"
							  " ON CONFLICT (event_type) DO UPDATE SET reason = $2,"
							  " paused_by = $3, since = pg_catalog.now()",
							  3, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write hcevents.pauses");
	SPI_finish();
	ereport(LOG,
			errmsg("role \"%s\" paused the delivery of %s: %s", NameStr(role),
				   PG_ARGISNULL(0) ? "all events" :
				   quote_literal_cstr(TextDatumGetCString(values[0])),
				   PG_ARGISNULL(1) ? "no reason given" : TextDatumGetCString(values[1])));
	PG_RETURN_VOID();
}

/*
 * hcevents.resume(event_type text): ends the pause of a type, or with NULL
 * all pauses, at commit.  NOTICE when there was none.  Has the relay try all
 * topics at once that it left alone since they failed.  With NULL, a copied
 * database is made one of its own.  Otherwise like pause().
 */
PG_FUNCTION_INFO_V1(hcevents_resume);

Datum
hcevents_resume(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID};
	Datum		value = event_type_argument(fcinfo);
	bool		all = PG_ARGISNULL(0);
	HceDatabase *db = hce_shared_find(MyDatabaseId);
	uint64		count;

	note_change(true, all);
	SPI_connect();
	if (SPI_execute_with_args(all ? "DELETE FROM hcevents.pauses" :
							  "DELETE FROM hcevents.pauses WHERE event_type OPERATOR(pg_catalog.=) $1",
							  all ? 0 : 1, types, &value, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write hcevents.pauses");
	count = SPI_processed;
	SPI_finish();
	if (count == 0 && !(all && db != NULL && db->state == HCE_PAUSED))
		ereport(NOTICE,
				errmsg("%s", all ? "nothing is paused" : "this event type is not paused"));
	ereport(LOG,
			errmsg("role \"%s\" resumed the delivery of %s",
				   GetUserNameFromId(GetOuterUserId(), false),
				   all ? "all events" : quote_literal_cstr(TextDatumGetCString(value))));
	PG_RETURN_VOID();
}
