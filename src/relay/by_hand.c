/*-------------------------------------------------------------------------
 *
 * by_hand.c
 *		Telling the relay, and the log, what DBAs do to its tables.
 *
 * Statement triggers on the tables call hcevents.tell_relay(): also deleting
 * rows by hand is seen.  Nothing is said before the transaction has
 * committed, so that a rollback needs nothing, and the relay never looks too
 * early.  A sub-transaction that rolls back may leave a request behind it,
 * which makes the relay look in vain.  So does every COMMIT PREPARED: it may
 * come from any session, also after a restart of the server, and shared memory
 * does not remember what was prepared before that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"

#include "relay/by_hand.h"
#include "stats/shared.h"

static bool tell_at_commit = false;

/* Set the relay's request flags and wake it. */
static void
tell_relay(void)
{
	HceDatabase *db;

	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	db = hce_shared_find(MyDatabaseId);
	if (db != NULL)
	{
		db->recount_requested = true;
		db->parked_requested = true;
		if (db->relay_latch != NULL)
			SetLatch(db->relay_latch);
	}
	LWLockRelease(hce_shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (tell_at_commit && event == XACT_EVENT_COMMIT && hce_shared != NULL)
		tell_relay();
	tell_at_commit = false;
}

/* COMMIT PREPARED has run in this database; it may have been one of ours. */
void
hce_by_hand_commit_prepared(void)
{
	if (hce_shared != NULL)
		tell_relay();
}

/* hcevents.tell_relay(): trigger function, AFTER, FOR EACH STATEMENT. */
PG_FUNCTION_INFO_V1(hcevents_tell_relay);

Datum
hcevents_tell_relay(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("hcevents.tell_relay() is called by triggers of the extension only"));
	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
	tell_at_commit = true;
	return PointerGetDatum(NULL);
}

/*
 * hcevents.audit(message text): a line in the server log.  Not RAISE LOG,
 * which has the server add the statement, and a statement holds keys.
 */
PG_FUNCTION_INFO_V1(hcevents_audit);

Datum
hcevents_audit(PG_FUNCTION_ARGS)
{
	ereport(LOG,
			errmsg_internal("%s", text_to_cstring(PG_GETARG_TEXT_PP(0))),
			errhidestmt(true), errhidecontext(true));
	PG_RETURN_VOID();
}
