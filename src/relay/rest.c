/*-------------------------------------------------------------------------
 *
 * rest.c
 *		The journal of an excluded database: put to rest, and begun anew.
 *
 * A database that hcevents.excluded_databases matches has no relay and no
 * slot, so its journal is kept by nobody.  That must be known later: when the
 * setting or the name changes, a relay that went on at the position row would
 * publish stale events, or report as lost what nobody wanted.  So a short
 * relay, which makes no producer, puts the journal to rest first: it reads the
 * WAL to its end, records what is not delivered as a gap, moves the position
 * there and labels the database "excluded", all in one transaction; then it
 * drops the slot and ends.  CREATE EXTENSION in an excluded database sets the
 * label itself, and no process ever starts there.
 *
 * The label is what the launcher, which reads no table, goes by, and what a
 * relay finds when the database is excluded no more: it then begins with what
 * is committed from now on.  That is no gap, for nothing was to be delivered.
 *
 * While the journal rests sessions write no journal records; shared memory
 * tells them (journal_rests).  They do not go by the setting themselves: each
 * session reads the configuration file at a time of its own, so there would be
 * events that one wrote no record for and no gap told of.  The order is what
 * makes that sound: the label is committed before sessions stop, and a new
 * position before they begin.  A transaction writes all of its records or,
 * from some moment on, none (commit_hook.c), so of one that was under way when
 * the position was moved nothing is behind it.  (Except where the setting was
 * changed while the server was down: a transaction that captures within the
 * moment before the launcher's first look may be published in part.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "commands/seclabel.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "relay/databases.h"
#include "relay/parking.h"
#include "relay/rest.h"
#include "relay/slot.h"
#include "relay/statement.h"

#define CAUSE	"the database is excluded by hcevents.excluded_databases"

static HceStatement insert_gap = {
	"INSERT INTO hcevents.gap_log (from_lsn, to_lsn, from_time, to_time, cause, events)"
	" VALUES ($1, $2, $3, pg_catalog.now(), $4, $5)",
	NULL, 5, {LSNOID, LSNOID, TIMESTAMPTZOID, TEXTOID, JSONBOID}
};

/* What a place in the journal beyond the position holds, by event type. */
typedef struct Undelivered
{
	int64	   *counts;			/* by the relay's number of the type */
	int			ncounts;
	int64		total;
} Undelivered;

/* Whether this database is labelled as at rest; inside a transaction. */
bool
hce_rest_labelled(void)
{
	ObjectAddress database;
	char	   *label;

	ObjectAddressSet(database, DatabaseRelationId, MyDatabaseId);
	label = GetSecurityLabel(&database, HCE_LABEL_PROVIDER);
	return label != NULL && strcmp(label, HCE_LABEL_EXCLUDED) == 0;
}

/* Label it; inside a transaction begun by hce_position_begin(). */
void
hce_rest_set_label(bool rests)
{
	ObjectAddress database;

	ObjectAddressSet(database, DatabaseRelationId, MyDatabaseId);
	SetSecurityLabel(&database, HCE_LABEL_PROVIDER,
					 rests ? HCE_LABEL_EXCLUDED : HCE_LABEL_ON);
}

/*
 * Whether the relay should have a slot.  One that is here to put the journal
 * to rest uses the slot that there is, but makes none: all may be in use.
 */
bool
hce_rest_needs_slot(HceRelay *relay)
{
	XLogRecPtr	unused;

	return !relay->excluded ||
		hce_slot_look(MyDatabaseId, &unused) != HCE_SLOT_NONE;
}

/* The count of an event type; the array grows with the relay's types. */
static int64 *
count_of(Undelivered *undelivered, HceRelay *relay, int type)
{
	if (type >= undelivered->ncounts)
	{
		int			wanted = relay->ntypes;
		Size		size = wanted * sizeof(int64);

		undelivered->counts = undelivered->counts == NULL ?
			MemoryContextAllocHuge(relay->context, size) :
			repalloc_huge(undelivered->counts, size);
		memset(undelivered->counts + undelivered->ncounts, 0,
			   (wanted - undelivered->ncounts) * sizeof(int64));
		undelivered->ncounts = wanted;
	}
	return &undelivered->counts[type];
}

/* What reading has counted as captured and no earlier life has settled. */
static void
count_pending(Undelivered *undelivered, HceRelay *relay)
{
	for (int i = 0; i < relay->ntypes; i++)
	{
		int64		pending = hce_relay_pending(&relay->types[i]);

		if (pending <= 0)
			continue;
		*count_of(undelivered, relay, i) += pending;
		undelivered->total += pending;
	}
}

/* And what was parked: it stays in its table until the journal begins anew. */
static void
count_parked(Undelivered *undelivered, HceRelay *relay)
{
	hce_statement_query("SELECT event_type, topic, pg_catalog.count(*)"
						" FROM hcevents.parked_store GROUP BY event_type, topic",
						SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int			type = hce_relay_type(relay, hce_text_string(hce_result(i, 1, NULL)),
										  hce_text_string(hce_result(i, 2, NULL)));
		int64		count = DatumGetInt64(hce_result(i, 3, NULL));

		*count_of(undelivered, relay, type) += count;
		undelivered->total += count;
	}
}

/*
 * Read the WAL to where it ended when we began, so that busy writers cannot
 * keep us; returns where it ends now.  Nothing is sent: what is read is
 * counted, and let go.  Hence who is told to end here must not store the
 * position, as hce_relay_stop() would: the next one reads it all again.
 */
static XLogRecPtr
read_all(HceRelay *relay)
{
	XLogRecPtr	goal = relay->stored_commit;
	bool		more = true;

	XLogFlush(goal);
	while (more && hce_wal_reader_end(relay->wal) < goal)
	{
		CHECK_FOR_INTERRUPTS();
		if (ShutdownRequestPending || relay->shared->hold_pid != 0)
			hce_relay_end(HCE_EXIT_RESTART);
		MemoryContextSwitchTo(relay->turn);
		more = hce_relay_read(relay);
		while (hce_assembler_head(relay->assembler) != NULL)
		{
			hce_assembler_pop(relay->assembler);
			more = true;		/* it may have been full */
		}
		MemoryContextReset(relay->turn);
	}
	return GetXLogInsertRecPtr();
}

static Datum
counts_as_jsonb(const Undelivered *undelivered, const HceRelay *relay)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < undelivered->ncounts; i++)
	{
		if (undelivered->counts[i] == 0)
			continue;
		appendStringInfoChar(&json, json.len == 0 ? '{' : ',');
		escape_json(&json, relay->types[i].event_type);
		appendStringInfo(&json, ": " INT64_FORMAT, undelivered->counts[i]);
	}
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static void
put_gap(HceRelay *relay, XLogRecPtr from, XLogRecPtr to,
		const Undelivered *undelivered)
{
	Datum		values[] = {
		LSNGetDatum(from),
		LSNGetDatum(to),
		TimestampTzGetDatum(relay->stored.written),
		CStringGetTextDatum(CAUSE),
		counts_as_jsonb(undelivered, relay)
	};

	hce_statement_run(&insert_gap, values, NULL);
}

/* Begin behind "to": nothing before it is of interest any more. */
static void
move_position(HceRelay *relay, XLogRecPtr to)
{
	relay->stored.settled = relay->stored.sent = (HcePosition) {to, 0};
	relay->stored.restart_lsn = to;
	relay->stored.complete = false;
	(void) hce_open_records_forget_all();
	hce_position_put(&relay->stored);
}

/* The label says that the journal rests: act accordingly, and end. */
void
hce_rest_leave(HceRelay *relay)
{
	hce_shared_rest_journal(relay->shared, true);
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	(void) hce_slot_drop_orphan(MyDatabaseId);
	ereport(LOG,
			errmsg("the relay of database \"%s\" ends: the database is excluded by hcevents.excluded_databases",
				   relay->database));
	hce_relay_end(HCE_EXIT_RESTART);
}

/*
 * Put the journal to rest, and end the process.  The relay was made by
 * hce_relay_start() and has sent nothing.
 *
 * A copy has no journal of its own, and its row goes on saying that it is
 * one.
 */
void
hce_rest_begin(HceRelay *relay)
{
	Undelivered undelivered = {0};
	XLogRecPtr	from = relay->stored.restart_lsn;
	XLogRecPtr	to = InvalidXLogRecPtr;

	if (relay->wal != NULL)
		to = read_all(relay);
	count_pending(&undelivered, relay);
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	if (relay->wal != NULL)
	{
		count_parked(&undelivered, relay);
		if (undelivered.total > 0)
			put_gap(relay, from, to, &undelivered);
		move_position(relay, to);
	}
	hce_rest_set_label(true);
	XLogFlush(hce_position_commit());
	if (undelivered.total > 0)
		ereport(WARNING,
				errmsg("database \"%s\" is excluded by hcevents.excluded_databases: %lld events that were captured are not delivered",
					   relay->database, (long long) undelivered.total),
				errhint("See hcevents.gaps. What is captured from now on is not delivered either."));
	hce_rest_leave(relay);
}

/*
 * The database is excluded no more: begin its journal anew, with what is
 * committed from now on.  What was parked before is in the gap that was
 * recorded then, and is removed, as are dead letters that were to be retried.
 */
void
hce_rest_end(HceRelay *relay)
{
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	hce_statement_query("DELETE FROM hcevents.parked_store", SPI_OK_DELETE);
	hce_statement_query("DELETE FROM hcevents.topic_modes", SPI_OK_DELETE);
	hce_statement_query("DELETE FROM hcevents.counter_changes", SPI_OK_DELETE);
	hce_statement_query("DELETE FROM hcevents.dead_letter_store"
						" WHERE retried_time IS NOT NULL", SPI_OK_DELETE);
	hce_statement_query("UPDATE hcevents.counters SET parked = 0"
						" WHERE parked <> 0", SPI_OK_UPDATE);
	hce_rest_set_label(false);
	move_position(relay, GetXLogInsertRecPtr());
	XLogFlush(hce_position_commit());

	/* from here on sessions write records, all of them behind the position */
	hce_shared_rest_journal(relay->shared, false);
	ereport(LOG,
			errmsg("database \"%s\" is not excluded any more: what is committed from %X/%X on is delivered",
				   relay->database, LSN_FORMAT_ARGS(relay->stored.restart_lsn)));
}
