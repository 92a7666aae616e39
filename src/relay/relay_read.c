/*-------------------------------------------------------------------------
 *
 * relay_read.c
 *		The relay's first half: from WAL to visible, committed transactions.
 *
 * Looks at journal records, at ends of transactions and at restarts of the
 * server, and feeds the assembler.  Knows nothing of Kafka.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "relay/relay.h"
#include "settings.h"

/* WAL read in one turn of the loop, so that reports are served in between. */
#define READ_PER_TURN	(4 * 1024 * 1024)

/* An entry of the table of skeletons; the key points to memory of ours. */
typedef struct SkeletonEntry
{
	HceSlice	bytes;			/* hash key */
	HceRelaySkeleton *skeleton;
} SkeletonEntry;

static uint32
hash_skeleton(const void *key, Size size)
{
	const HceSlice *slice = key;

	return hash_bytes((const unsigned char *) slice->data, (int) slice->len);
}

static int
compare_skeletons(const void *a, const void *b, Size size)
{
	const HceSlice *x = a;
	const HceSlice *y = b;

	return x->len != y->len || memcmp(x->data, y->data, x->len) != 0;
}

static char *
copy_slice(MemoryContext context, HceSlice slice)
{
	char	   *copy = MemoryContextAlloc(context, slice.len + 1);

	memcpy(copy, slice.data, slice.len);
	copy[slice.len] = '\0';
	return copy;
}

/* Prepare all that depends on a skeleton alone. */
static HceRelaySkeleton *
make_skeleton(HceRelay *relay, HceSlice bytes)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	HceRelaySkeleton *made = palloc0(sizeof(HceRelaySkeleton));
	HceSkeleton *skeleton = &made->skeleton;
	char	   *schema;
	char		topic[HCE_MAX_TOPIC];
	bool		valid;

	if (!hce_skeleton_parse(bytes, skeleton))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("malformed skeleton in a journal record"));
	made->event_type = copy_slice(relay->context, skeleton->event_type);
	made->source = copy_slice(relay->context, skeleton->source);
	schema = copy_slice(relay->context, skeleton->schema);
	made->schema = schema;
	made->table = skeleton->table.len == 0 ? pstrdup("") :
		psprintf("%s.%.*s", schema, (int) skeleton->table.len,
				 skeleton->table.data);

	valid = hce_topic_name(made->event_type, schema, topic, sizeof(topic));
	made->topic_name = pstrdup(topic);
	if (valid && relay->producer != NULL)
		made->topic = hce_producer_topic(relay->producer, topic);
	made->type = hce_relay_type(relay, made->event_type, topic);
	hce_relay_set_topic(relay, made->type, topic);
	if (valid)
	{
		made->park = hce_parking_topic(relay, made->topic_name);
		hce_parking_note_type(relay, made->park, made->type);
	}
	MemoryContextSwitchTo(old);
	return made;
}

/*
 * The assembler's question: the HceRelaySkeleton of a skeleton's bytes.  Made
 * at first sight and kept for the life of the process: there are about as
 * many as there are attachments and event types.
 */
void *
hce_relay_resolve(HceSlice bytes, void *arg)
{
	HceRelay   *relay = arg;
	SkeletonEntry *entry;
	bool		found;

	if (relay->skeletons == NULL)
	{
		HASHCTL		ctl;

		memset(&ctl, 0, sizeof(ctl));
		ctl.keysize = sizeof(HceSlice);
		ctl.entrysize = sizeof(SkeletonEntry);
		ctl.hash = hash_skeleton;
		ctl.match = compare_skeletons;
		ctl.hcxt = relay->context;
		relay->skeletons = hash_create("hcevents skeletons", 64, &ctl,
									   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE |
									   HASH_CONTEXT);
	}
	entry = hash_search(relay->skeletons, &bytes, HASH_FIND, &found);
	if (!found)
	{
		HceSlice	kept = {copy_slice(relay->context, bytes), bytes.len};
		HceRelaySkeleton *made = make_skeleton(relay, kept);

		entry = hash_search(relay->skeletons, &kept, HASH_ENTER, &found);
		entry->skeleton = made;
	}
	return entry->skeleton;
}

/*
 * A logical message.  Only ours has a prefix with NUL bytes in it, which SQL
 * text cannot hold; any role can write others, so they are counted, not
 * parsed, and pin nothing.
 */
static void
take_message(HceRelay *relay, XLogReaderState *xlog)
{
	xl_logical_message *message = (xl_logical_message *) XLogRecGetData(xlog);

	if (message->dbId != MyDatabaseId)
		return;
	if (message->prefix_size != HCE_JOURNAL_PREFIX_SIZE ||
		!message->transactional ||
		memcmp(message->message, HCE_JOURNAL_PREFIX, sizeof("hcevents")) != 0)
	{
		relay->foreign_messages++;
		return;
	}
	if (memcmp(message->message, HCE_JOURNAL_PREFIX, HCE_JOURNAL_PREFIX_SIZE) != 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("the journal at %X/%X was written by another version of hcevents",
					   LSN_FORMAT_ARGS(xlog->ReadRecPtr)),
				errhint("Install the library that wrote it, or a newer one; nothing is lost."));
	if (!hce_assembler_add(relay->assembler, xlog->ReadRecPtr,
						   message->message + message->prefix_size,
						   (uint32) message->message_size))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("malformed journal record at %X/%X",
					   LSN_FORMAT_ARGS(xlog->ReadRecPtr)));
}

/*
 * Read a journal record again, by a second reader.  The data is the reader's:
 * valid until the next call.
 */
HceSlice
hce_relay_read_again(HceRelay *relay, XLogRecPtr lsn)
{
	XLogReaderState *xlog;
	xl_logical_message *message;

	if (relay->reread == NULL)
		relay->reread = hce_wal_reader_create(relay->context);
	hce_wal_reader_seek(relay->reread, lsn);
	xlog = hce_wal_reader_next(relay->reread);
	if (xlog == NULL || XLogRecGetRmid(xlog) != RM_LOGICALMSG_ID)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("the journal record at %X/%X cannot be read again",
					   LSN_FORMAT_ARGS(lsn)));
	message = (xl_logical_message *) XLogRecGetData(xlog);
	return (HceSlice) {message->message + message->prefix_size,
		(uint32) message->message_size};
}

/* Count a committed transaction's events as captured. */
static void
count_captured(HceRelay *relay, const HceCommitted *committed)
{
	for (uint32 i = 0; i < committed->nsegments; i++)
	{
		const HceSegment *segment = &committed->segments[i];

		for (int s = 0; s < segment->record->nskeletons; s++)
		{
			HceRelaySkeleton *skeleton = segment->record->skeletons[s];
			HceRelayType *type = &relay->types[skeleton->type];
			uint32		count = segment->counts != NULL ? segment->counts[s] :
				segment->nevents;

			if (count == 0)
				continue;
			type->captured += count;
			type->settled.last_captured = committed->commit_time;
			type->to_publish = true;
		}
	}
}

static void
take_commit(HceRelay *relay, XLogReaderState *xlog, bool prepared)
{
	xl_xact_parsed_commit parsed;
	TransactionId xid;
	HceCommitted *committed;

	ParseCommitRecord(XLogRecGetInfo(xlog),
					  (xl_xact_commit *) XLogRecGetData(xlog), &parsed);
	/* the header of COMMIT PREPARED has no xid */
	xid = prepared ? parsed.twophase_xid : XLogRecGetXid(xlog);

	/* settled in an earlier life: only its being over matters */
	if (xlog->ReadRecPtr < relay->stored_at_start.lsn)
	{
		hce_assembler_abort(relay->assembler, xid, parsed.nsubxacts,
							parsed.subxacts);
		hce_open_records_end(relay, xid, parsed.nsubxacts, parsed.subxacts,
							 InvalidXLogRecPtr);
		return;
	}
	hce_open_records_end(relay, xid, parsed.nsubxacts, parsed.subxacts,
						 xlog->ReadRecPtr);
	committed = hce_assembler_commit(relay->assembler, xid, parsed.nsubxacts,
									 parsed.subxacts, xlog->ReadRecPtr,
									 parsed.xact_time);
	if (committed != NULL)
	{
		count_captured(relay, committed);
		relay->commits_read++;
	}
}

static void
take_abort(HceRelay *relay, XLogReaderState *xlog, bool prepared)
{
	xl_xact_parsed_abort parsed;
	TransactionId xid;

	ParseAbortRecord(XLogRecGetInfo(xlog),
					 (xl_xact_abort *) XLogRecGetData(xlog), &parsed);
	xid = prepared ? parsed.twophase_xid : XLogRecGetXid(xlog);
	hce_assembler_abort(relay->assembler, xid, parsed.nsubxacts, parsed.subxacts);
	hce_open_records_end(relay, xid, parsed.nsubxacts, parsed.subxacts,
						 InvalidXLogRecPtr);
}

static void
take_prepare(HceRelay *relay, XLogReaderState *xlog)
{
	xl_xact_parsed_prepare parsed;

	ParsePrepareRecord(XLogRecGetInfo(xlog),
					   (xl_xact_prepare *) XLogRecGetData(xlog), &parsed);
	hce_assembler_prepare(relay->assembler, parsed.twophase_xid,
						  parsed.nsubxacts, parsed.subxacts);
	hce_open_records_prepare(relay, parsed.twophase_xid, parsed.nsubxacts,
							 parsed.subxacts);
}

static void
take_xact(HceRelay *relay, XLogReaderState *xlog)
{
	if (!hce_assembler_has_open(relay->assembler))
		return;
	switch (XLogRecGetInfo(xlog) & XLOG_XACT_OPMASK)
	{
		case XLOG_XACT_COMMIT:
			take_commit(relay, xlog, false);
			break;
		case XLOG_XACT_COMMIT_PREPARED:
			take_commit(relay, xlog, true);
			break;
		case XLOG_XACT_ABORT:
			take_abort(relay, xlog, false);
			break;
		case XLOG_XACT_ABORT_PREPARED:
			take_abort(relay, xlog, true);
			break;
		case XLOG_XACT_PREPARE:
			take_prepare(relay, xlog);
			break;
		default:
			break;
	}
}

/* Records that say that the server has come up anew, see the assembler. */
static void
take_server(HceRelay *relay, XLogReaderState *xlog)
{
	uint8		info = XLogRecGetInfo(xlog) & ~XLR_INFO_MASK;

	if (info == XLOG_CHECKPOINT_SHUTDOWN || info == XLOG_END_OF_RECOVERY)
	{
		hce_assembler_server_restarted(relay->assembler);
		hce_open_records_server_restarted(relay);
	}
	/* a standby made of this backup has no older WAL than the backup's */
	else if (info == XLOG_BACKUP_END)
		relay->backup_seen = true;
}

/*
 * Read WAL into the assembler, up to the flush pointer, the assembler's limit
 * or a turn's share.  Returns whether there may be more to read at once.
 */
bool
hce_relay_read(HceRelay *relay)
{
	XLogRecPtr	stop = hce_wal_reader_end(relay->wal) + READ_PER_TURN;
	XLogReaderState *xlog;

	hce_wal_reader_refresh(relay->wal);
	while (!hce_assembler_full(relay->assembler))
	{
		if (hce_wal_reader_end(relay->wal) >= stop)
			return true;
		xlog = hce_wal_reader_next(relay->wal);
		if (xlog == NULL)
			return false;
		switch (XLogRecGetRmid(xlog))
		{
			case RM_LOGICALMSG_ID:
				take_message(relay, xlog);
				break;
			case RM_XACT_ID:
				take_xact(relay, xlog);
				break;
			case RM_XLOG_ID:
				take_server(relay, xlog);
				break;
			default:
				break;
		}
	}
	return false;
}

/* Bytes of WAL that were not read yet; flushed or not. */
uint64
hce_relay_unread(const HceRelay *relay)
{
	XLogRecPtr	written = GetXLogInsertRecPtr();
	XLogRecPtr	end = hce_wal_reader_end(relay->wal);

	return written > end ? written - end : 0;
}

static bool
xid_visible(TransactionId xid, void *snapshot)
{
	return !XidInMVCCSnapshot(xid, snapshot);
}

/*
 * Find out which committed transactions are visible to every new snapshot.
 * A commit record can be read before its transaction leaves the process
 * array, and with synchronous standbys long before.  One snapshot serves all
 * that were read; it is taken after they were.  Returns whether all are.
 *
 * Commits that were recovered are visible at once, so they are held here
 * until the synchronous standbys have them (sync_wait.c).
 */
bool
hce_relay_look_visible(HceRelay *relay)
{
	bool		all;

	relay->waits_for_sync = false;
	if (hce_assembler_all_visible(relay->assembler))
		return true;
	relay->waits_for_sync =
		hce_sync_wait_needed(relay, hce_assembler_unseen_lsn(relay->assembler));
	if (relay->waits_for_sync)
		return false;
	StartTransactionCommand();
	all = hce_assembler_mark_visible(relay->assembler, xid_visible,
									 GetTransactionSnapshot());
	CommitTransactionCommand();
	return all;
}
