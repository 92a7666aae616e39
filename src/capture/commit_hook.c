/*-------------------------------------------------------------------------
 *
 * commit_hook.c
 *		What capture does when transactions and savepoints end.
 *
 * The callbacks are registered when the library is loaded, so that a
 * preloaded library's backends inherit them.  In PRE_COMMIT an error still
 * aborts the transaction; in the events after it none may be raised.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/kept.h"
#include "capture/spec.h"
#include "stats/shared.h"

/* Transactions that ended in this session; tells them apart. */
static uint64 transactions = 1;

/*
 * Events that were still in the buffer at commit: a bug, as they are lost.
 * Kept for a debugger; nothing can be raised where it is found.
 */
static uint64 lost_at_commit = 0;

/* A number for the current transaction, unique in the session. */
uint64
hce_capture_transaction(void)
{
	return transactions;
}

/*
 * Once per session, tell that nobody delivers what is captured.
 */
void
hce_capture_warn_unloaded(void)
{
	static bool warned = false;

	if (likely(warned || hce_shared_available()))
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("events are captured, but not delivered: hcevents is not preloaded"),
			 errhint("Add hcevents to shared_preload_libraries and restart the server; what is captured until then is delivered as far as its WAL is kept.")));
}

/* The transaction has ended, one way or the other. */
static void
forget_transaction(void)
{
	hce_buffer_reset();
	hce_kept_forget();
	hce_moved_forget();
	hce_spec_end_transaction();
	transactions++;
}

static void
end_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			hce_moved_release_all();
			hce_buffer_write_through();
			break;
		case XACT_EVENT_COMMIT:
			if (!hce_buffer_is_empty())
				lost_at_commit++;
			if (hce_buffer_wrote())
				hce_shared_wake_relay();
			forget_transaction();
			break;
		case XACT_EVENT_PREPARE:
			if (!hce_buffer_is_empty())
				lost_at_commit++;
			forget_transaction();
			break;
		case XACT_EVENT_ABORT:
			forget_transaction();
			break;
		default:
			break;				/* parallel workers capture nothing */
	}
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId subid,
				   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		hce_moved_release_sub(subid, parent);
		hce_buffer_commit_sub(subid, parent);
		hce_kept_commit_sub(subid, parent);
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		hce_moved_abort_sub(subid);
		hce_buffer_abort_sub(subid);
		hce_kept_abort_sub(subid);
	}
}

/* What _PG_init calls. */
void
hce_capture_init(void)
{
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
	hce_moved_init();
	hce_trigger_check_init();
	hce_ddl_init();
}
