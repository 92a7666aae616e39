/*-------------------------------------------------------------------------
 *
 * relay_start.c
 *		How a relay begins: the position row, the slot, and what is missing.
 *
 * Holds the row against the cluster and the database it was written in, the
 * slot against the row, and the WAL files against both.  What is lost is
 * recorded as a gap before the first event is read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "kafka_options.h"
#include "relay/databases.h"
#include "relay/identity.h"
#include "relay/parking.h"
#include "relay/relay.h"
#include "relay/relay_settings.h"
#include "relay/slot.h"
#include "settings.h"

/*
 * Record a stretch of journal that is lost, and begin behind it.  The gap is
 * durable before the relay goes on.  Copies of open transactions are part of
 * it: in the lost WAL may be the end of a transaction or of a savepoint, so
 * nobody can tell any more what of them was committed.
 *
 * A transaction that was settled in part may have lost its first events: what
 * is left of it would be numbered anew, and as many skipped as were settled.
 * So the gap takes all of it.
 */
static void
record_gap(HceRelay *relay, XLogRecPtr to, const char *cause)
{
	HcePosition *settled = &relay->stored.settled;
	XLogRecPtr	from = relay->stored.restart_lsn;
	HcePosition before = relay->stored.settled;
	XLogRecPtr	behind = to;
	XLogRecPtr	copies;
	XLogRecPtr	end;

	if (settled->index > 0 && settled->lsn >= to)
		behind = settled->lsn + 1;
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	copies = hce_open_records_forget_all();
	if (!XLogRecPtrIsInvalid(copies))
		from = Min(from, copies);
	ereport(WARNING,
			errmsg("journal of database \"%s\" between %X/%X and %X/%X is lost: %s",
				   relay->database, LSN_FORMAT_ARGS(from), LSN_FORMAT_ARGS(behind), cause),
			errhint("Events committed there were not delivered; see hcevents.gaps."));
	relay->stored.restart_lsn = to;
	if (settled->lsn < behind)
		*settled = (HcePosition) {behind, 0};
	hce_position_put_gap(from, behind, relay->stored.written, cause);
	hce_parked_count_kept(relay->stored.epoch, before, &relay->stored);
	hce_position_put(&relay->stored);
	end = hce_position_commit();
	XLogFlush(end);
}

/*
 * Acquire the slot and hold it against the row, which is the authority: WAL
 * that the row needs and that is gone is a gap.  Whether it is gone is asked
 * of the files: the server forgets at a restart what it has removed.
 */
static void
open_journal(HceRelay *relay)
{
	bool		created;
	const char *cause = "the replication slot was moved";
	XLogRecPtr	kept = hce_slot_acquire(MyDatabaseId, &created);
	XLogRecPtr	there;

	if (created)
		cause = "the replication slot was missing";
	if (XLogRecPtrIsInvalid(kept))
	{
		cause = "the replication slot was invalidated (max_slot_wal_keep_size)";
		kept = hce_slot_renew(MyDatabaseId);
	}
	relay->wal = hce_wal_reader_create(relay->context);

	/* keep what the row needs, then look whether it is there */
	if (kept > relay->stored.restart_lsn)
		hce_slot_advance(relay->stored.restart_lsn);
	else
		cause = "the WAL was removed";
	there = hce_wal_reader_kept(relay->stored.restart_lsn);
	if (there > relay->stored.restart_lsn)
	{
		/* a segment begins in the middle of a record as a rule */
		there = hce_wal_reader_find(relay->wal, there);
		record_gap(relay, there, cause);
		hce_slot_advance(there);
	}
	hce_slot_drop_former(MyDatabaseId);
	relay->slot_lsn = hce_slot_restart_lsn();
	hce_wal_reader_seek(relay->wal, relay->stored.restart_lsn);
}

/*
 * Whether the row was written by another database or in another data
 * directory than ours, and not by the primary that we followed.
 */
static bool
is_copy(const HceStoredPosition *stored, TimeLineID timeline)
{
	const HceHome *home = &hce_shared->home;
	XLogRecPtr	point;

	if (stored->system_identifier != GetSystemIdentifier() ||
		stored->database_oid != MyDatabaseId)
		return true;
	if (!hce_detect_copies || home->id == 0 || stored->home == 0 ||
		stored->home == home->id || home->origin == HCE_ORIGIN_STANDBY)
		return false;

	/* promoted without our library: the timeline has changed all the same */
	return home->origin == HCE_ORIGIN_RESTORED || stored->timeline == timeline ||
		hce_restored_since(stored->timeline, timeline, &point);
}

/*
 * The next epoch.  It must be above that of any server that has published for
 * this database, also of one whose row never reached us before it was lost;
 * hence the clock, in seconds since 2000, and not the next number.
 */
static int
next_epoch(int epoch)
{
	return Max(epoch + 1, (int) (GetCurrentTimestamp() / USECS_PER_SEC));
}

/*
 * Make the row ours: a new timeline or directory begins a new epoch.  Durable
 * before anything is sent with it.  A restore to an earlier point is recorded
 * as a gap: what was committed after it may be in Kafka and is here no more.
 */
static void
adopt_row(HceRelay *relay, TimeLineID timeline)
{
	HceStoredPosition *stored = &relay->stored;
	XLogRecPtr	point;
	int			former = stored->epoch;
	bool		restored = stored->timeline != timeline &&
		hce_restored_since(stored->timeline, timeline, &point);

	if (stored->timeline != timeline ||
		(stored->home != 0 && stored->home != hce_shared->home.id))
		stored->epoch = next_epoch(stored->epoch);
	stored->timeline = timeline;
	stored->home = hce_shared->home.id;
	stored->complete = false;
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	if (restored)
		hce_position_put_gap(point, point, stored->written,
							 "the database was restored to an earlier point");
	if (stored->epoch != former)
		hce_parked_begin_epoch(former, stored);
	hce_position_put(stored);
	XLogFlush(hce_position_commit());
	if (restored)
		ereport(WARNING,
				errmsg("database \"%s\" was restored to an earlier point, %X/%X",
					   relay->database, LSN_FORMAT_ARGS(point)),
				errhint("Consumers may hold events of what was committed after it and does not exist here; see hcevents.gaps."));
}

/*
 * Where a copy may go on so that nothing is missing: the row says that its
 * original had nothing left when it stopped.  A copy of the files goes on at
 * the row.  A cluster that pg_upgrade made has WAL from its beginning on only.
 * InvalidXLogRecPtr: something is missing.
 */
static XLogRecPtr
complete_from(const HceStoredPosition *stored)
{
	const HceHome *home = &hce_shared->home;

	if (!stored->complete || stored->database_oid != MyDatabaseId)
		return InvalidXLogRecPtr;
	if (stored->system_identifier == GetSystemIdentifier())
		return stored->restart_lsn;
	return home->birth > stored->settled.lsn ? home->birth : InvalidXLogRecPtr;
}

/*
 * Compare the row with where we are.  A database that was copied stays
 * paused, so that a clone never publishes to production.
 */
static void
check_identity(HceRelay *relay)
{
	TimeLineID	timeline = GetWALInsertionTimeLine();

	if (is_copy(&relay->stored, timeline))
	{
		relay->paused = "copied database";
		ereport(WARNING,
				errmsg("database \"%s\" is a copy: its relay stays paused",
					   relay->database),
				errdetail("%s", XLogRecPtrIsInvalid(complete_from(&relay->stored)) ?
						  "Its original may not have delivered all that was committed before the copy was made." :
						  "Its original had delivered all that was committed."),
				errhint("See hcevents.check() for how to make it publish."));
	}
	else if (relay->stored.timeline != timeline ||
			 relay->stored.home != hce_shared->home.id)
		adopt_row(relay, timeline);
}

/* What hcevents.gaps says when a copy is resumed, and what the log adds. */
#define COPIED_WITHIN \
	"a copied database was resumed; its copied journal is not delivered"
#define COPIED_INCOMPLETE \
	"the cluster was upgraded or copied before everything was delivered"
#define COPIED_HINT \
	"If the old server can still be started, what it has not delivered is delivered there: let hcevents.flush() return true, stop it and make the copy anew. See the README, \"Upgrading the cluster\"."

/*
 * resume() of a copied database: make the row this database's own, and begin
 * where nothing is missing.  Is there no such place, begin with what is
 * committed from now on, and record a gap: the journal of the original is not
 * here.  Its parked events are: in another cluster (pg_upgrade, a restored
 * copy that takes over) they stay, since nobody else may have them; a copy
 * within the cluster leaves them to the original.
 */
void
hce_relay_adopt(HceRelay *relay)
{
	HceStoredPosition *row = &relay->stored;
	XLogRecPtr	from = row->restart_lsn;
	HcePosition settled = row->settled;
	int			former = row->epoch;
	XLogRecPtr	to = complete_from(row);
	bool		gap = XLogRecPtrIsInvalid(to);
	bool		same_cluster = row->system_identifier == GetSystemIdentifier();
	bool		within_cluster = same_cluster && row->database_oid != MyDatabaseId;

	row->complete = false;
	if (!gap && same_cluster)
	{
		adopt_row(relay, GetWALInsertionTimeLine());
		ereport(LOG,
				errmsg("database \"%s\", a copy, was resumed and goes on at %X/%X",
					   relay->database, LSN_FORMAT_ARGS(to)),
				errdetail("Consumers may hold events of what its original committed after %s.",
						  timestamptz_to_str(row->written)));
		hce_relay_end(HCE_EXIT_RESTART);
	}
	if (gap)
		to = GetXLogInsertRecPtr();
	row->system_identifier = GetSystemIdentifier();
	row->database_oid = MyDatabaseId;
	row->timeline = GetWALInsertionTimeLine();
	row->home = hce_shared->home.id;
	row->epoch = next_epoch(row->epoch);
	row->settled = row->sent = (HcePosition) {to, 0};
	row->restart_lsn = to;
	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	(void) hce_open_records_forget_all();
	if (within_cluster)
		hce_parked_forget_all();
	else
		hce_parked_count_kept(former, settled, row);
	if (gap)
		hce_position_put_gap(from, to, row->written,
							 within_cluster ? COPIED_WITHIN : COPIED_INCOMPLETE);
	hce_position_put(row);
	XLogFlush(hce_position_commit());
	if (gap)
		ereport(WARNING,
				errmsg("journal of database \"%s\" between %X/%X and %X/%X is lost: %s",
					   relay->database, LSN_FORMAT_ARGS(from), LSN_FORMAT_ARGS(to),
					   within_cluster ? COPIED_WITHIN : COPIED_INCOMPLETE),
				within_cluster ? 0 : errhint(COPIED_HINT));
	ereport(LOG,
			errmsg("database \"%s\", a copy, was resumed and delivers what is committed from %X/%X on",
				   relay->database, LSN_FORMAT_ARGS(to)));
	hce_relay_end(HCE_EXIT_RESTART);
}

/* Patient data that everybody on the way can read is worth a warning. */
static void
warn_of_clear_text(HceRelay *relay)
{
	HceKafkaOptions options;
	HceOptionsError error;
	char		host[256];

	if (hce_options_load(&options, hce_kafka_config, hce_kafka_config_file,
						 &error) &&
		hce_options_in_the_clear(&options, hce_bootstrap_servers, host,
								 sizeof(host)))
		ereport(WARNING,
				errmsg("the relay of database \"%s\" sends events to \"%s\" unencrypted",
					   relay->database, host),
				errhint("Set security.protocol in hcevents.kafka_config to ssl or sasl_ssl."));
	hce_options_wipe(&options);
}

static HceProducer *
make_producer(HceRelay *relay)
{
	HceProducerEvents events = {
		.delivered = hce_relay_delivered,
		.refused = hce_relay_refused,
		.resent = hce_relay_resent,
		.timestamp_ms = hce_relay_timestamp_ms,
		.returned = hce_relay_returned,
		.arg = relay
	};

	return hce_producer_create(relay->context, &events, relay->nheaders);
}

/*
 * Make the state of a relay from the position row.  The caller has connected
 * to the database.  Ends the process when the extension is gone.
 */
HceRelay *
hce_relay_start(HceDatabase *shared)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "hcevents relay",
												  ALLOCSET_DEFAULT_SIZES);
	HceRelay   *relay = MemoryContextAllocZero(context, sizeof(HceRelay));
	char	   *name;
	const char *unknown;

	relay->context = context;
	relay->turn = AllocSetContextCreate(context, "hcevents relay turn",
										ALLOCSET_DEFAULT_SIZES);
	relay->shared = shared;
	LWLockAcquire(hce_shared->lock, LW_EXCLUSIVE);
	shared->max_retained_wal = hce_max_retained_wal;
	shared->limit_known = true;
	LWLockRelease(hce_shared->lock);
	if (!XLogIsNeeded())
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("hcevents needs wal_level = replica or logical"),
				errhint("Set wal_level = replica in postgresql.conf and restart the server."));
	StartTransactionCommand();
	name = get_database_name(MyDatabaseId);
	strlcpy(relay->database, name != NULL ? name : "?", NAMEDATALEN);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);

	if (hce_position_load(&relay->stored) == HCE_NO_EXTENSION)
		hce_relay_end(HCE_EXIT_GONE);
	/* what was committed while it was excluded, no row tells of */
	relay->stored.complete &= hce_database_label_is_on();
	relay->parking = MemoryContextAllocZero(context, sizeof(HceParking));
	hce_relay_settings_remember();
	check_identity(relay);
	if (relay->paused == NULL)
	{
		/* until the server stops; each row that is written from here says so */
		relay->stored.complete = false;
		open_journal(relay);
	}
	relay->stored_at_start = relay->stored.settled;
	relay->resend_to = relay->stored.sent;
	relay->sent = relay->stored.sent;
	/* the row may be the unflushed work of the relay before */
	relay->stored_commit = GetXLogInsertRecPtr();
	relay->stored_time = GetCurrentTimestamp();
	relay->poll_time = relay->stored_time;

	(void) hce_headers_parse(hce_headers, relay->headers, &unknown);
	for (int i = 0; i < HCE_HEADERS; i++)
		relay->nheaders += relay->headers[i] ? 1 : 0;
	if (hce_enabled && relay->paused == NULL)
	{
		warn_of_clear_text(relay);
		relay->producer = make_producer(relay);
	}
	relay->settle = hce_settle_create(context);
	relay->assembler = hce_assembler_create(context, (Size) hce_relay_memory * 1024,
											hce_relay_resolve, relay);
	hce_relay_restore_counters(relay);
	hce_open_records_start(relay);
	hce_parking_start(relay);

	/*
	 * What cannot be written must be found before anything is sent, else each
	 * life of a relay that fails at its row sends the same events again.
	 */
	if (relay->wal != NULL && !hce_relay_store(relay))
		hce_relay_end(HCE_EXIT_GONE);
	/* not before a row that is not complete */
	if (relay->wal != NULL && !hce_database_label_set(HCE_LABEL_ON))
		hce_relay_end(HCE_EXIT_GONE);
	return relay;
}
