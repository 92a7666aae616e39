/*-------------------------------------------------------------------------
 *
 * watched.c
 *		Captures that no relay has taken over yet.
 *
 * A relay that ends with the server may leave a position row that says that
 * nothing is missing (relay/relay_end.c).  That is over with the next event
 * that is captured, and the next relay writes so; but the first event may be
 * captured before that relay starts, or in a server that starts none.  So who
 * captures and does not find "watched" set, by a relay, leaves a mark in
 * hcevents.captured_in.  It need not be left twice in a session, since a relay
 * that clears "watched" waits until all sessions are gone.
 *
 * The mark tells the data directory, so that a copy, whose relay reads the
 * copy's own WAL, is not taken for its original.  The first mark stays.
 *
 * The mark is a sequence's value: it is in the WAL before the commit of what
 * was captured, stays when a transaction is rolled back, holds up nobody, and
 * goes the way of the tables to a new cluster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/capture.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "replication/walsender.h"
#include "stats/shared.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* Nothing needs to be done any more in this session. */
static bool looked = false;

/*
 * Once per session, tell that nobody delivers what is captured.
 */
static void
warn_unloaded(void)
{
	static bool warned = false;

	if (warned)
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("events are captured, but not delivered: hcevents is not preloaded"),
			 errhint("Add hcevents to shared_preload_libraries and restart the server; what is captured until then is delivered as far as its WAL is kept.")));
}

static bool
is_watched(void)
{
	HceDatabase *db;
	bool		watched;

	LWLockAcquire(hce_shared->lock, LW_SHARED);
	db = hce_shared_find(MyDatabaseId);
	watched = db != NULL && db->watched;
	LWLockRelease(hce_shared->lock);
	return watched;
}

/* The sequence's value; 0 when it has none. */
static int64
read_mark(Oid sequence)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		value;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(sequence);
	fcinfo->args[0].isnull = false;
	value = pg_sequence_last_value(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetInt64(value);
}

/* Leave the mark, unless there is one. */
static void
leave_mark(void)
{
	Oid			sequence = get_relname_relid("captured_in",
											 get_namespace_oid("hcevents", false));
	int64		mark = HCE_CAPTURED_SOMEWHERE;
	bool		read_only = XactReadOnly;
	Oid			user;
	int			context;

	if (hce_shared_available() && hce_shared->home.id != 0)
		mark = hce_shared->home.id;
	/* the writer has no right on the sequence, and calls nothing of others */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE);
	/* a temporary table can be written in a read-only transaction */
	XactReadOnly = false;
	if (read_mark(sequence) == HCE_CAPTURED_NOWHERE)
		(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
								   Int64GetDatum(mark));
	XactReadOnly = read_only;
	SetUserIdAndSecContext(user, context);
}

/*
 * Called before each capture: see to it that whoever reads the position row
 * knows of it.  Costs a test but for the first event of a session.
 */
void
hce_capture_be_seen(void)
{
	if (likely(looked))
		return;
	if (!hce_shared_available())
		warn_unloaded();
	if (!hce_shared_available() || !is_watched())
		leave_mark();
	/* a relay does not wait for walsenders, which may run any statement */
	looked = !am_walsender;
}
