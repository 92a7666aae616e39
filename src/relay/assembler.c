/*-------------------------------------------------------------------------
 *
 * assembler.c
 *		From journal records to committed transactions.
 *
 * Journal records arrive in WAL order, mixed between transactions, and one
 * record may hold events of several subtransactions.  The assembler keeps a
 * list of segments per (sub)transaction id and, at a commit record, joins the
 * lists of the transaction and its committed children in the order of
 * capture.  What aborted, or was lost in a crash, is dropped.
 *
 * Memory is bounded: when more record data is held than the limit, that of
 * the largest open transaction is let go, and only the places of its records
 * are kept; they are read from the WAL again when they are sent.  The
 * alternative, spilling to a file as logical decoding does, would write what
 * the WAL holds already.
 *
 * What has committed waits in assembler_queue.c; how a transaction that stays
 * open does without its WAL is in assembler_copies.c.
 *
 * Pure: knows neither tables nor shared memory nor Kafka, and reads no WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/memutils.h"

#include "event/journal_record.h"
#include "relay/assembler_internal.h"

/*
 * Make an assembler in "context" that holds at most about "memory_limit"
 * bytes of record data.  "resolve" is asked once for each skeleton of each
 * record; its answers are found in the records.
 */
HceAssembler *
hce_assembler_create(MemoryContext context, Size memory_limit,
					 HceResolve resolve, void *arg)
{
	HceAssembler *assembler = MemoryContextAllocZero(context, sizeof(HceAssembler));
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(TransactionId);
	ctl.entrysize = sizeof(OpenTransaction);
	ctl.hcxt = context;
	assembler->open = hash_create("hcevents open transactions", 256, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	assembler->context = context;
	assembler->limit = memory_limit;
	assembler->resolve = resolve;
	assembler->resolve_arg = arg;
	slist_init(&assembler->committed);
	return assembler;
}

/* What a record costs while its data is held, its lists included. */
static inline Size
record_cost(const HceRecord *record)
{
	return record->len + sizeof(HceRecord) + sizeof(HceCommitted) +
		sizeof(HceSegment);
}

/* Let go of a record's data but keep its place. */
static void
release_data(HceAssembler *assembler, HceRecord *record)
{
	if (record->data == NULL)
		return;
	assembler->bytes -= record_cost(record);
	pfree(record->data);
	record->data = NULL;
}

static void
unreference(HceAssembler *assembler, HceRecord *record)
{
	if (--record->references > 0)
		return;
	release_data(assembler, record);
	pfree(record);
}

/* A list's element is no more; neither is a record that no other refers to. */
void
hce_assembler_free_segment(HceAssembler *assembler, HceSegment *segment)
{
	unreference(assembler, segment->record);
	segment->record = NULL;
	if (segment->counts != NULL)
		pfree(segment->counts);
}

/* The average of what the open transactions hold that hold any data. */
static Size
average_held(HceAssembler *assembler)
{
	HASH_SEQ_STATUS scan;
	OpenTransaction *entry;
	Size		sum = 0;
	Size		holders = 0;

	hash_seq_init(&scan, assembler->open);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		sum += entry->bytes;
		holders += entry->bytes > 0 ? 1 : 0;
	}
	return holders == 0 ? 0 : sum / holders;
}

/*
 * Make room: release the data of the open transactions that hold most, until
 * half of the limit is free.  Each pass releases all that hold the average or
 * more, hence at least one and of equal ones all: there are few passes
 * however many transactions there are.
 */
static void
release_largest(HceAssembler *assembler)
{
	Size		average;

	while (assembler->bytes > assembler->limit / 2 &&
		   (average = average_held(assembler)) > 0)
	{
		HASH_SEQ_STATUS scan;
		OpenTransaction *entry;

		hash_seq_init(&scan, assembler->open);
		while ((entry = hash_seq_search(&scan)) != NULL)
		{
			if (entry->bytes < average)
				continue;
			for (uint32 i = 0; i < entry->nsegments; i++)
				release_data(assembler, entry->segments[i].record);
			entry->bytes = 0;
			entry->released = true;
		}
	}
}

static OpenTransaction *
find_or_open(HceAssembler *assembler, TransactionId xid)
{
	bool		found;
	OpenTransaction *entry = hash_search(assembler->open, &xid, HASH_ENTER,
										 &found);

	if (!found)
	{
		entry->released = false;
		entry->prepared = false;
		entry->bytes = 0;
		entry->ncopied = 0;
		entry->nsegments = 0;
		entry->capacity = 1;
		entry->segments = MemoryContextAlloc(assembler->context,
											 sizeof(HceSegment));
	}
	return entry;
}

/*
 * Add the events of the reader's segment to the counts by skeleton; it is
 * walked over.  A malformed event ends the count: sending it will say so.
 */
static void
count_events(HceAssembler *assembler, HceJournalReader *reader,
			 HceSegment *segment)
{
	HceJournalEvent event;

	if (segment->counts == NULL)
		segment->counts = MemoryContextAllocZero(assembler->context,
												 reader->nskeletons * sizeof(uint32));
	while (hce_journal_next_event(reader, &event))
		segment->counts[event.skeleton]++;
}

/* The list's next element, for segment "number" of a record. */
static HceSegment *
add_segment(OpenTransaction *entry, HceRecord *record, uint32 number)
{
	HceSegment *segment;

	/* a savepoint that was rolled back in between cuts a run in two */
	if (entry->nsegments > 0)
	{
		segment = &entry->segments[entry->nsegments - 1];
		if (segment->record == record && segment->number + segment->span == number)
		{
			segment->span++;
			return segment;
		}
	}
	if (entry->nsegments == entry->capacity)
	{
		entry->capacity *= 4;
		entry->segments = repalloc_huge(entry->segments,
										entry->capacity * sizeof(HceSegment));
	}
	segment = &entry->segments[entry->nsegments++];
	memset(segment, 0, sizeof(HceSegment));
	segment->record = record;
	segment->number = number;
	segment->span = 1;
	record->references++;
	return segment;
}

static HceRecord *
make_record(HceAssembler *assembler, const HceJournalReader *reader,
			XLogRecPtr lsn, uint32 len)
{
	HceRecord  *record = MemoryContextAlloc(assembler->context,
											offsetof(HceRecord, skeletons) +
											reader->nskeletons * sizeof(void *));

	record->lsn = lsn;
	record->references = 1;		/* the caller's */
	record->len = len;
	record->data = NULL;
	record->nskeletons = reader->nskeletons;
	for (int i = 0; i < reader->nskeletons; i++)
		record->skeletons[i] = assembler->resolve(reader->skeletons[i],
												  assembler->resolve_arg);
	return record;
}

/*
 * Take in a journal record.  Returns false, with nothing kept, if it is
 * malformed: then it is not of our making, or not of this version.
 */
bool
hce_assembler_add(HceAssembler *assembler, XLogRecPtr lsn,
				  const char *data, uint32 len)
{
	HceJournalReader reader;
	HceRecord  *record;
	OpenTransaction *entry = NULL;
	TransactionId xid;
	uint32		nevents;
	uint32		number = 0;

	if (!hce_journal_open(&reader, data, len) ||
		!hce_journal_segments_valid(&reader))
	{
		if (reader.skeletons != NULL)
			pfree(reader.skeletons);
		return false;
	}
	record = make_record(assembler, &reader, lsn, len);
	while (hce_journal_next_segment(&reader, &xid, &nevents))
	{
		HceSegment *segment;

		number++;
		if (nevents == 0)
			continue;			/* cut out, see hce_journal_cut() */
		entry = find_or_open(assembler, xid);
		segment = add_segment(entry, record, number - 1);
		segment->nevents += nevents;
		if (reader.nskeletons > 1)
			count_events(assembler, &reader, segment);
	}
	if (reader.skeletons != NULL)
		pfree(reader.skeletons);

	if (entry != NULL && !entry->released)
	{
		record->data = MemoryContextAllocHuge(assembler->context, len);
		memcpy(record->data, data, len);
		entry->bytes += record_cost(record);
		assembler->bytes += record_cost(record);
	}
	unreference(assembler, record);

	if (assembler->bytes > assembler->limit)
		release_largest(assembler);
	return true;
}

static int
compare_segments(const void *a, const void *b)
{
	const HceSegment *x = a;
	const HceSegment *y = b;

	if (x->record->lsn != y->record->lsn)
		return x->record->lsn < y->record->lsn ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/*
 * Move the segments of one ended (sub)transaction to "committed"; the first
 * list is taken over as it is.
 */
static void
join_open(HceAssembler *assembler, TransactionId xid, HceCommitted *committed)
{
	OpenTransaction *entry = hash_search(assembler->open, &xid, HASH_FIND, NULL);

	if (entry == NULL)
		return;
	if (committed->nsegments == 0)
		committed->segments = entry->segments;
	else
	{
		committed->segments =
			repalloc_huge(committed->segments,
						  (committed->nsegments + (Size) entry->nsegments) *
						  sizeof(HceSegment));
		memcpy(committed->segments + committed->nsegments, entry->segments,
			   entry->nsegments * sizeof(HceSegment));
		pfree(entry->segments);
	}
	committed->nsegments += entry->nsegments;
	hash_search(assembler->open, &xid, HASH_REMOVE, NULL);
}

/*
 * A transaction has committed.  If it captured events, it is appended to the
 * list of committed transactions and returned, else NULL.
 */
HceCommitted *
hce_assembler_commit(HceAssembler *assembler, TransactionId xid,
					 int nsubxacts, const TransactionId *subxacts,
					 XLogRecPtr commit_lsn, TimestampTz commit_time)
{
	HceCommitted joined;
	HceCommitted *committed;
	uint32		top_segments;

	if (hash_get_num_entries(assembler->open) == 0)
		return NULL;
	memset(&joined, 0, sizeof(joined));
	join_open(assembler, xid, &joined);
	top_segments = joined.nsegments;
	for (int i = 0; i < nsubxacts; i++)
		join_open(assembler, subxacts[i], &joined);
	if (joined.nsegments == 0)
		return NULL;
	if (joined.nsegments > top_segments)
		qsort(joined.segments, joined.nsegments, sizeof(HceSegment),
			  compare_segments);

	committed = MemoryContextAlloc(assembler->context, sizeof(HceCommitted));
	*committed = joined;
	committed->xid = xid;
	committed->commit_lsn = commit_lsn;
	committed->commit_time = commit_time;
	/* of one that was copied the commit record is needed all the same */
	committed->first_lsn = commit_lsn;
	for (uint32 i = 0; i < committed->nsegments; i++)
	{
		HceRecord  *record = committed->segments[i].record;

		committed->nevents += committed->segments[i].nevents;
		if (!TransactionIdIsValid(committed->segments[i].copied_as))
			committed->first_lsn = Min(committed->first_lsn, record->lsn);
		if (record->data != NULL &&
			(i == 0 || committed->segments[i - 1].record != record))
			committed->bytes += record_cost(record);
	}

	hce_assembler_push(assembler, committed);
	return committed;
}

static void
drop_open(HceAssembler *assembler, TransactionId xid)
{
	OpenTransaction *entry = hash_search(assembler->open, &xid, HASH_FIND, NULL);

	if (entry == NULL)
		return;
	for (uint32 i = 0; i < entry->nsegments; i++)
	{
		HceRecord  *record = entry->segments[i].record;

		/*
		 * Data that another transaction needs as well may be charged to this
		 * one; nobody would find it when room is needed, so let it go.
		 */
		if (record->references > 1)
			release_data(assembler, record);
		hce_assembler_free_segment(assembler, &entry->segments[i]);
	}
	pfree(entry->segments);
	hash_search(assembler->open, &xid, HASH_REMOVE, NULL);
}

/* A transaction or a subtransaction, with its children, has rolled back. */
void
hce_assembler_abort(HceAssembler *assembler, TransactionId xid,
					int nsubxacts, const TransactionId *subxacts)
{
	if (hash_get_num_entries(assembler->open) == 0)
		return;
	drop_open(assembler, xid);
	for (int i = 0; i < nsubxacts; i++)
		drop_open(assembler, subxacts[i]);
}

static void
mark_prepared(HceAssembler *assembler, TransactionId xid)
{
	OpenTransaction *entry = hash_search(assembler->open, &xid, HASH_FIND, NULL);

	if (entry != NULL)
		entry->prepared = true;
}

/* PREPARE TRANSACTION: this one survives a restart of the server. */
void
hce_assembler_prepare(HceAssembler *assembler, TransactionId xid,
					  int nsubxacts, const TransactionId *subxacts)
{
	mark_prepared(assembler, xid);
	for (int i = 0; i < nsubxacts; i++)
		mark_prepared(assembler, subxacts[i]);
}

/*
 * The server was shut down, has recovered from a crash or was promoted.
 *
 * A transaction lost in a crash has no abort record, and its id may be given
 * to another one at once, so all that was open here is gone, but for what was
 * prepared.  The alternative, asking for each id whether it is still running,
 * would take the new owner of an id for the old one.
 */
void
hce_assembler_server_restarted(HceAssembler *assembler)
{
	HASH_SEQ_STATUS scan;
	OpenTransaction *entry;

	hash_seq_init(&scan, assembler->open);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->prepared)
			drop_open(assembler, entry->xid);
	}
}

/*
 * The start of the oldest WAL that an open or a committed, not yet forgotten
 * transaction needs; InvalidXLogRecPtr if there is none.
 */
XLogRecPtr
hce_assembler_first_lsn(HceAssembler *assembler)
{
	XLogRecPtr	first = hce_assembler_first_open(assembler);
	slist_iter	iter;

	slist_foreach(iter, &assembler->committed)
	{
		HceCommitted *committed = slist_container(HceCommitted, node, iter.cur);

		if (XLogRecPtrIsInvalid(first) || committed->first_lsn < first)
			first = committed->first_lsn;
	}
	return first;
}

/*
 * Whether reading on should wait until some of the committed transactions
 * are sent.
 */
bool
hce_assembler_full(const HceAssembler *assembler)
{
	return assembler->committed_bytes > assembler->limit / 2 ||
		(assembler->bytes > assembler->limit && assembler->committed_bytes > 0);
}

/* Whether any transaction that captured has not ended. */
bool
hce_assembler_has_open(const HceAssembler *assembler)
{
	return hash_get_num_entries(assembler->open) > 0;
}
