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
 * A transaction that stays open does not hold the WAL for ever: its owner may
 * copy what it has captured to another place, and the assembler notes that
 * the record is to be found there.  Copied is by (sub)transaction, so that a
 * savepoint rolled back later takes its copies along and no others.
 *
 * Pure: knows neither tables nor shared memory nor Kafka, and reads no WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "event/journal_record.h"
#include "relay/assembler.h"

/* A (sub)transaction that has captured and has not ended. */
typedef struct OpenTransaction
{
	TransactionId xid;			/* hash key */
	bool		released;		/* record data was let go; keep none */
	bool		prepared;		/* PREPARE TRANSACTION has been read */
	Size		bytes;			/* of record data held for it */
	uint32		ncopied;		/* segments that were copied: the first ones */
	uint32		nsegments;
	uint32		capacity;
	HceSegment *segments;
} OpenTransaction;

struct HceAssembler
{
	MemoryContext context;
	HceResolve	resolve;
	void	   *resolve_arg;
	Size		limit;
	Size		bytes;			/* record data held, in all */
	HTAB	   *open;
	slist_head	committed;
	slist_node *committed_tail;
	HceCommitted *unseen;		/* the first that is not visible, or NULL */
	uint64		committed_events;
	Size		committed_bytes;
};

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

static void
free_segment(HceAssembler *assembler, HceSegment *segment)
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

/*
 * Take in a copy of what "xid" has in the record at "lsn", as it was made by
 * hce_journal_cut(), in a new life; copies come before what is read from the
 * WAL.  Returns false if it is malformed.
 */
bool
hce_assembler_restore(HceAssembler *assembler, XLogRecPtr lsn,
					  const char *data, uint32 len, TransactionId xid,
					  bool prepared)
{
	OpenTransaction *entry;

	if (!hce_assembler_add(assembler, lsn, data, len))
		return false;
	entry = hash_search(assembler->open, &xid, HASH_FIND, NULL);
	if (entry == NULL)
		return false;
	entry->prepared = prepared;
	while (entry->ncopied < entry->nsegments)
		entry->segments[entry->ncopied++].copied_as = xid;
	return true;
}

/* Copy the next record of an open transaction; returns what "copy" does. */
static bool
copy_next(OpenTransaction *entry, HceCopy copy, void *arg)
{
	const HceRecord *record = entry->segments[entry->ncopied].record;

	while (entry->ncopied < entry->nsegments &&
		   entry->segments[entry->ncopied].record == record)
		entry->segments[entry->ncopied++].copied_as = entry->xid;
	return copy(record, entry->xid, entry->prepared, arg);
}

/*
 * Have the records of open transactions copied that begin before "before" and
 * were not copied so far.  From then on they need no WAL.  Returns false when
 * "copy" wanted to stop; the next call goes on there.
 */
bool
hce_assembler_copy_open(HceAssembler *assembler, XLogRecPtr before,
						HceCopy copy, void *arg)
{
	HASH_SEQ_STATUS scan;
	OpenTransaction *entry;

	hash_seq_init(&scan, assembler->open);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		while (entry->ncopied < entry->nsegments &&
			   entry->segments[entry->ncopied].record->lsn < before)
		{
			if (copy_next(entry, copy, arg))
				continue;
			hash_seq_term(&scan);
			return false;
		}
	}
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

	if (slist_is_empty(&assembler->committed))
		slist_push_head(&assembler->committed, &committed->node);
	else
		slist_insert_after(assembler->committed_tail, &committed->node);
	assembler->committed_tail = &committed->node;
	if (assembler->unseen == NULL)
		assembler->unseen = committed;
	assembler->committed_events += committed->nevents;
	assembler->committed_bytes += committed->bytes;
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
		free_segment(assembler, &entry->segments[i]);
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

/* The oldest committed transaction, or NULL. */
HceCommitted *
hce_assembler_head(HceAssembler *assembler)
{
	if (slist_is_empty(&assembler->committed))
		return NULL;
	return slist_head_element(HceCommitted, node, &assembler->committed);
}

/* The head needs a segment's record no more. */
void
hce_assembler_release_segment(HceAssembler *assembler,
							  HceCommitted *committed, uint32 segment)
{
	assembler->committed_events -= committed->segments[segment].nevents;
	free_segment(assembler, &committed->segments[segment]);
}

/* Forget the head; segments not released yet are released. */
void
hce_assembler_pop(HceAssembler *assembler)
{
	HceCommitted *committed = hce_assembler_head(assembler);

	for (uint32 i = 0; i < committed->nsegments; i++)
	{
		if (committed->segments[i].record != NULL)
			hce_assembler_release_segment(assembler, committed, i);
	}
	if (assembler->unseen == committed)
		assembler->unseen = slist_has_next(&assembler->committed, &committed->node) ?
			slist_container(HceCommitted, node, committed->node.next) : NULL;
	slist_pop_head_node(&assembler->committed);
	assembler->committed_bytes -= committed->bytes;
	pfree(committed->segments);
	pfree(committed);
}

/*
 * The start of the oldest journal record that an open transaction needs and
 * that was not copied; InvalidXLogRecPtr if there is none.
 */
XLogRecPtr
hce_assembler_first_open(HceAssembler *assembler)
{
	XLogRecPtr	first = InvalidXLogRecPtr;
	HASH_SEQ_STATUS scan;
	OpenTransaction *entry;

	hash_seq_init(&scan, assembler->open);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		XLogRecPtr	lsn;

		if (entry->ncopied == entry->nsegments)
			continue;
		lsn = entry->segments[entry->ncopied].record->lsn;
		if (XLogRecPtrIsInvalid(first) || lsn < first)
			first = lsn;
	}
	return first;
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

/* Events of committed transactions that were not released yet. */
uint64
hce_assembler_committed_events(const HceAssembler *assembler)
{
	return assembler->committed_events;
}

/* Whether any transaction that captured has not ended. */
bool
hce_assembler_has_open(const HceAssembler *assembler)
{
	return hash_get_num_entries(assembler->open) > 0;
}

/*
 * Ask "visible" for each committed transaction that was not visible so far,
 * oldest first, up to the first that is not yet.  Returns whether all are.
 */
bool
hce_assembler_mark_visible(HceAssembler *assembler,
						   bool (*visible) (TransactionId, void *), void *arg)
{
	while (assembler->unseen != NULL)
	{
		HceCommitted *committed = assembler->unseen;

		if (!visible(committed->xid, arg))
			return false;
		committed->visible = true;
		assembler->unseen = slist_has_next(&assembler->committed, &committed->node) ?
			slist_container(HceCommitted, node, committed->node.next) : NULL;
	}
	return true;
}

bool
hce_assembler_all_visible(const HceAssembler *assembler)
{
	return assembler->unseen == NULL;
}

/* The commit of the oldest transaction not visible yet; there must be one. */
XLogRecPtr
hce_assembler_unseen_lsn(const HceAssembler *assembler)
{
	return assembler->unseen->commit_lsn;
}
