/*-------------------------------------------------------------------------
 *
 * relay_end.c
 *		How a relay ends, and whether it leaves nothing behind.
 *
 * A relay that is told to end gives up the slot, gives Kafka a second to
 * acknowledge, and writes how far that came.  When the server stops in order
 * it does more: it waits for those who may still commit, takes in what they
 * have committed, and if all of it is settled says so in the position row
 * ("complete").  A copy of the stopped server, above all one that pg_upgrade
 * makes, goes on from such a row without a gap.
 *
 * What makes that true: a server that stops lets nobody in any more.  So first
 * nobody else may be left in the database, and then the WAL is read to its
 * end.  Events of prepared transactions need no session to be committed, so
 * there must be none.  The next relay writes a row that is not complete before
 * anything else.  (A server that is started again and captures without any
 * relay, before it is copied, is not noticed; the README says so.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "postmaster/postmaster.h"
#include "replication/slot.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/parking.h"

/* What all of this may take, beside Kafka's second. */
#define FINISH_US	USECS_PER_SEC

/*
 * A lock of ours that somebody holds against the rules is waited for no
 * longer; then the relay ends with an error, and the next one sends again what
 * is in no row.
 */
#define LOCK_TIMEOUT_MS	"500"

/* How long a look at the others, or at reports, is put off. */
#define POLL_MS		5

/* After which time SIGTERM comes again, for as long as we are there. */
#define REPEAT_S	1

static volatile sig_atomic_t server_stops = false;
static timer_t repeat;

/*
 * SIGTERM: end in order.  A transaction is finished first: what was delivered
 * and is not in the position row yet would be sent again.  But a wait for a
 * lock, which may last, is given up at once.  A signal that comes just before
 * such a wait cannot end it, and the holder of the lock may be one that the
 * server ends after us (a walsender), so the signal is repeated.
 */
static void
handle_sigterm(int signo, siginfo_t *info, void *context)
{
	static const struct itimerspec interval = {{REPEAT_S, 0}, {REPEAT_S, 0}};
	int			save_errno = errno;

	if (!ShutdownRequestPending)
		(void) timer_settime(repeat, 0, &interval, NULL);
	ShutdownRequestPending = true;
	if (info->si_code == SI_USER && info->si_pid == PostmasterPid)
		server_stops = true;
	if (IsTransactionState() && MyProc != NULL && MyProc->waitLock != NULL)
		die(signo);
	SetLatch(MyLatch);
	errno = save_errno;
}

/* Not by pqsignal(): who sends the signal is told by SA_SIGINFO only. */
void
hce_relay_catch_sigterm(void)
{
	struct sigaction action;
	struct sigevent again;

	memset(&again, 0, sizeof(again));
	again.sigev_notify = SIGEV_SIGNAL;
	again.sigev_signo = SIGTERM;
	if (timer_create(CLOCK_MONOTONIC, &again, &repeat) != 0)
		elog(ERROR, "could not create a timer: %m");
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handle_sigterm;
	sigemptyset(&action.sa_mask);
	action.sa_flags = SA_RESTART | SA_SIGINFO;
	if (sigaction(SIGTERM, &action, NULL) != 0)
		elog(ERROR, "could not set the handler of SIGTERM: %m");
}

/* Events were read, and are not settled yet. */
static bool
is_pending(HceRelay *relay)
{
	return hce_assembler_head(relay->assembler) != NULL ||
		hce_settle_count(relay->settle) > 0;
}

/* Whether Kafka, or the table of parked events, may take them. */
static bool
can_settle(HceRelay *relay)
{
	return relay->parking->backlog ||
		(!hce_parking_stopped(relay) && hce_producer_connected(relay->producer));
}

static void
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 POLL_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/*
 * Wait until no other process is in the database that could still commit what
 * it has captured; false if one stays.  A walsender that is connected to this
 * database is one, since it may run any statement, and it always stays: the
 * server ends it after us.
 */
static bool
wait_for_others(TimestampTz end)
{
	while (CountDBBackends(MyDatabaseId) > 1)
	{
		if (GetCurrentTimestamp() >= end)
			return false;
		nap();
	}
	return true;
}

/* The end of all WAL that was inserted so far; flushed. */
static XLogRecPtr
flush_all(void)
{
	XLogRecPtr	end;

	/* a commit of our own: the insert pointer may be no end of a record */
	StartTransactionCommand();
	(void) GetTopTransactionId();
	CommitTransactionCommand();
	end = XactLastCommitEnd;
	XLogFlush(end);
	return end;
}

/* One turn of reading and sending; parked events stay in their table. */
static void
work(HceRelay *relay)
{
	MemoryContextSwitchTo(relay->turn);
	relay->poll_time = GetCurrentTimestamp();
	if (relay->producer != NULL)
		hce_producer_poll(relay->producer);
	(void) hce_relay_read(relay);
	(void) hce_relay_look_visible(relay);
	MemoryContextSwitchTo(relay->turn);
	(void) hce_relay_send(relay);
	hce_relay_settle(relay);
	if (hce_relay_store_due(relay, relay->poll_time) && !hce_relay_store(relay))
		hce_relay_end(HCE_EXIT_GONE);
	MemoryContextReset(relay->turn);
}

/*
 * The server stops: settle all that was committed in this database.  Returns
 * whether that has come about.  Does not wait for a Kafka that is away.
 */
static bool
settle_all(HceRelay *relay)
{
	TimestampTz end = GetCurrentTimestamp() + FINISH_US;
	XLogRecPtr	goal;

	if ((is_pending(relay) && !can_settle(relay)) || !wait_for_others(end))
		return false;
	goal = flush_all();
	hce_parking_open_all(relay);
	for (;;)
	{
		work(relay);
		if (hce_wal_reader_end(relay->wal) >= goal && !is_pending(relay))
			return !hce_assembler_has_open(relay->assembler);
		if (GetCurrentTimestamp() >= end ||
			(is_pending(relay) && !can_settle(relay)))
			return false;
		if (is_pending(relay))
			nap();
	}
}

/*
 * End in order: give up the slot first, since others may wait for it, then
 * give Kafka a second to acknowledge, then write how far that came.
 */
void
hce_relay_stop(HceRelay *relay, HceExit reason)
{
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	if (relay->wal != NULL && server_stops)
	{
		/* a walsender's lock would last until after our end, hence for ever */
		SetConfigOption("lock_timeout", LOCK_TIMEOUT_MS, PGC_SUSET, PGC_S_OVERRIDE);
		relay->stored.complete = settle_all(relay);
	}
	if (relay->producer != NULL)
		hce_producer_stop(relay->producer);
	if (relay->wal != NULL)
	{
		hce_relay_settle(relay);
		if (relay->unstored > 0 || relay->dead != NIL || relay->stored.complete ||
			hce_parking_store_due(relay, PG_INT64_MAX))
			(void) hce_relay_store(relay);
	}
	hce_relay_end(reason);
}
