/*-------------------------------------------------------------------------
 *
 * buffer.c
 *		The events of this backend that are not in the WAL yet.
 *
 * Events are rendered straight into the form that they have in a journal
 * record (event/journal_record.h), so that writing the record is one
 * XLogInsert over three pieces of memory.  The buffer goes out when it is
 * full and before the transaction commits or is prepared.
 *
 * Each event belongs to the (sub)transaction that captured it.  A run of
 * events of one sub-transaction is a segment, labelled with its xid; a
 * savepoint rolled back drops the segments at the end that belong to it or to
 * a child of it.  Nothing is written at sub-transaction boundaries: at
 * START_SUB the current xid is already the child's.  A released child keeps
 * its label, for the commit record lists its xid.
 *
 * "events" and "skeletons" are allocated in TopMemoryContext at first use;
 * an unfinished event lies behind events.used of the last finished one and
 * is forgotten when an error ends its rendering.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "capture/capture.h"
#include "capture/kept.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "settings.h"
#include "utils/memutils.h"

#define BUFFER_SIZE			(32 * 1024)
#define FLUSH_SIZE			(24 * 1024)
#define KEEP_SIZE			(256 * 1024)	/* a larger buffer is given back */
#define MAX_SKELETONS		256
#define MAX_SEGMENTS		512

/* Varints of a fixed width, filled in when the record is written. */
#define COUNT_WIDTH			3
#define NBYTES_WIDTH		4

typedef struct Segment
{
	TransactionId xid;
	SubTransactionId subid;
	Size		offset;			/* of its head in events */
	Size		counts;			/* of the two varints of fixed width */
	uint32		first_number;
	uint32		nevents;
} Segment;

typedef struct EventBuffer
{
	HceBytes	events;
	HceBytes	skeletons;		/* each with its length before it */
	Size		skeleton_at[MAX_SKELETONS];
	Segment		segments[MAX_SEGMENTS];
	int			nskeletons;
	int			nsegments;
	Size		finished;		/* end of the last finished event */
	uint32		next_number;
	bool		open;			/* seed and base_time are set */
	unsigned char seed[HCE_SEED_SIZE];
	TimestampTz base_time;

	/* the event being rendered */
	bool		new_segment;
	Segment		segment;
	Size		tag;			/* its offset */
	Size		body;			/* of the body's length byte */
} EventBuffer;

static EventBuffer *buffer = NULL;

/* Number of the record being filled; never used again in this process. */
static uint64 record_number = 1;

/* The current transaction: is each event written at once, was one written? */
static bool write_through = false;
static bool wrote_record = false;

/* A varint of exactly "width" bytes: continuation bits pad it. */
static void
put_fixed_varint(uint8 *p, uint32 value, int width)
{
	for (int i = 0; i < width - 1; i++, value >>= 7)
		*p++ = (uint8) (value | 0x80);
	Assert(value < 0x80);
	*p = (uint8) value;
}

static void
create_buffer(void)
{
	EventBuffer *made = MemoryContextAllocZero(TopMemoryContext, sizeof(EventBuffer));

	hce_bytes_init(&made->events, TopMemoryContext, BUFFER_SIZE);
	hce_bytes_init(&made->skeletons, TopMemoryContext, 1024);
	buffer = made;
}

/* Start over with an empty record.  Must not fail: runs at commit. */
static void
start_record(void)
{
	buffer->events.used = buffer->finished = 0;
	buffer->skeletons.used = 0;
	buffer->nskeletons = buffer->nsegments = 0;
	buffer->next_number = 0;
	buffer->open = false;
	record_number++;
}

/* The first event of a record: give the record its seed and its time. */
static void
open_record(TimestampTz now)
{
	hce_event_id_new_seed(buffer->seed);
	buffer->base_time = now;
	buffer->open = true;
}

/*
 * Find or add a skeleton; leaves its index in the template.
 *
 * Partitions of one table have templates of their own with the same bytes,
 * and so has each call of publish(): hence the comparison.
 */
static void
use_skeleton(HceTemplate *skeleton)
{
	HceBytes   *all = &buffer->skeletons;
	int			i;

	for (i = 0; i < buffer->nskeletons; i++)
	{
		const uint8 *pos = all->data + buffer->skeleton_at[i];
		HceSlice	known;

		if (hce_get_string(&pos, all->data + all->used, &known) &&
			known.len == skeleton->len &&
			memcmp(known.data, skeleton->bytes, known.len) == 0)
			break;
	}
	if (i == buffer->nskeletons)
	{
		Size		at = all->used;

		/* all the room first: an error in between would leave half of it */
		hce_bytes_reserve(all, skeleton->len + 10);
		hce_bytes_put_string(all, (const char *) skeleton->bytes, skeleton->len);
		buffer->skeleton_at[i] = at;
		buffer->nskeletons++;
	}
	skeleton->index = (uint32) i;
	skeleton->record = record_number;
}

/*
 * Write the head of a segment for the current (sub)transaction, unless the
 * last segment goes on.
 *
 * A segment whose numbers do not follow on cannot go on: a rolled-back
 * savepoint used some up, and publish() may have returned their ids.
 */
static void
continue_or_open_segment(void)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	HceBytes   *out = &buffer->events;
	Segment    *segment = &buffer->segment;

	if (buffer->nsegments > 0)
	{
		const Segment *last = &buffer->segments[buffer->nsegments - 1];

		buffer->new_segment = last->subid != subid ||
			last->first_number + last->nevents != buffer->next_number;
		if (!buffer->new_segment)
			return;
	}
	buffer->new_segment = true;
	segment->xid = GetCurrentTransactionId();
	segment->subid = subid;
	segment->offset = out->used;
	segment->first_number = buffer->next_number;
	segment->nevents = 0;
	hce_bytes_append(out, &segment->xid, sizeof(segment->xid));
	hce_bytes_append_varint(out, segment->first_number);
	hce_bytes_reserve(out, COUNT_WIDTH + NBYTES_WIDTH);
	segment->counts = out->used;
	out->used += COUNT_WIDTH + NBYTES_WIDTH;
}

/*
 * Begin an event; the caller appends its body to what is returned and calls
 * hce_buffer_finish(), or forgets about it.
 */
HceBytes *
hce_buffer_begin(HceTemplate *skeleton, TimestampTz now)
{
	HceBytes   *out;

	if (unlikely(buffer == NULL))
		create_buffer();
	if (unlikely(buffer->nskeletons == MAX_SKELETONS ||
				 buffer->nsegments == MAX_SEGMENTS))
		hce_buffer_flush();
	Assert(buffer->nskeletons < MAX_SKELETONS);
	if (!buffer->open)
		open_record(now);
	if (skeleton->record != record_number)
		use_skeleton(skeleton);

	out = &buffer->events;
	out->used = buffer->finished;
	hce_bytes_reserve(out, 64);
	continue_or_open_segment();
	buffer->tag = out->used;
	hce_bytes_append_varint(out, (uint64) skeleton->index << 2);
	hce_bytes_append_varint(out, hce_zigzag(now - buffer->base_time));
	buffer->body = hce_bytes_open_string(out);
	return out;
}

/*
 * Keep the event that was finished last, for captured_events().  Not inlined:
 * its stack frame would cost every row.
 */
static pg_noinline void
keep_event(void)
{
	const uint8 *pos = buffer->events.data + buffer->tag;
	const uint8 *end = buffer->events.data + buffer->finished;
	const uint8 *skeletons_end = buffer->skeletons.data + buffer->skeletons.used;
	unsigned char id[HCE_UUID_SIZE];
	HceJournalEvent event = {0};
	HceSlice	skeleton = {0};
	uint64		tag = 0;
	uint64		delta = 0;

	(void) hce_get_varint(&pos, end, &tag);
	(void) hce_get_varint(&pos, end, &delta);
	(void) hce_get_string(&pos, end, &event.body);
	event.flags = (int) (tag & 3);
	event.captured_at = buffer->base_time + hce_unzigzag(delta);
	pos = buffer->skeletons.data + buffer->skeleton_at[tag >> 2];
	(void) hce_get_string(&pos, skeletons_end, &skeleton);
	hce_event_id_derive(buffer->seed, buffer->next_number - 1,
						event.captured_at, id);
	hce_kept_add(skeleton, &event, id);
}

/*
 * The event begun last is complete.
 *
 * The flags are the lowest bits of the tag, hence of its first byte.
 */
void
hce_buffer_finish(int flags)
{
	hce_bytes_close_string(&buffer->events, buffer->body);
	buffer->events.data[buffer->tag] |= (uint8) flags;
	if (buffer->new_segment)
		buffer->segments[buffer->nsegments++] = buffer->segment;
	buffer->segments[buffer->nsegments - 1].nevents++;
	buffer->next_number++;
	buffer->finished = buffer->events.used;

	if (unlikely(hce_keep_captured))
		keep_event();
	if (buffer->finished > FLUSH_SIZE || write_through)
		hce_buffer_flush();
}

/*
 * The id that the event begun last will have.
 */
void
hce_buffer_next_id(TimestampTz now, unsigned char id[HCE_UUID_SIZE])
{
	hce_event_id_derive(buffer->seed, buffer->next_number, now, id);
}

/* Fill in the lengths of the segments, which were not known before. */
static void
close_segments(void)
{
	for (int i = 0; i < buffer->nsegments; i++)
	{
		const Segment *segment = &buffer->segments[i];
		uint8	   *counts = buffer->events.data + segment->counts;
		Size		begin = segment->counts + COUNT_WIDTH + NBYTES_WIDTH;
		Size		end = i + 1 < buffer->nsegments ?
			buffer->segments[i + 1].offset : buffer->finished;

		put_fixed_varint(counts, segment->nevents, COUNT_WIDTH);
		put_fixed_varint(counts + COUNT_WIDTH, (uint32) (end - begin),
						 NBYTES_WIDTH);
	}
}

/* What XLogRegisterData wants, for memory that it only reads. */
static void
register_data(const void *data, Size len)
{
	XLogRegisterData(unconstify(char *, (const char *) data), (uint32) len);
}

/*
 * Write the buffer as one journal record.
 *
 * The record is a logical message in all but its prefix, which holds NUL
 * bytes: pg_logical_emit_message() cannot make one.  Nothing is allocated
 * here, for it runs before commit, where only XLogInsert itself may fail.
 * The record survives a crash if and only if the transaction does: both are
 * WAL, and the commit record follows.
 */
void
hce_buffer_flush(void)
{
	static const char prefix[] = HCE_JOURNAL_PREFIX;
	xl_logical_message message;
	uint8		head[HCE_SEED_SIZE + sizeof(TimestampTz) + 10];
	uint8		nsegments[10];
	uint8	   *head_end;
	Size		nsegments_len;

	if (buffer == NULL || buffer->nsegments == 0)
		return;
	(void) GetCurrentTransactionId();
	close_segments();
	memcpy(head, buffer->seed, HCE_SEED_SIZE);
	memcpy(head + HCE_SEED_SIZE, &buffer->base_time, sizeof(TimestampTz));
	head_end = hce_put_varint(head + HCE_SEED_SIZE + sizeof(TimestampTz),
							  (uint64) buffer->nskeletons);
	nsegments_len = hce_put_varint(nsegments, (uint64) buffer->nsegments) - nsegments;

	memset(&message, 0, sizeof(message));
	message.dbId = MyDatabaseId;
	message.transactional = true;
	message.prefix_size = HCE_JOURNAL_PREFIX_SIZE;
	message.message_size = (head_end - head) + buffer->skeletons.used +
		nsegments_len + buffer->finished;

	XLogBeginInsert();
	register_data(&message, SizeOfLogicalMessage);
	register_data(prefix, HCE_JOURNAL_PREFIX_SIZE);
	register_data(head, head_end - head);
	register_data(buffer->skeletons.data, buffer->skeletons.used);
	register_data(nsegments, nsegments_len);
	register_data(buffer->events.data, buffer->finished);
	XLogSetRecordFlags(XLOG_INCLUDE_ORIGIN);
	(void) XLogInsert(RM_LOGICALMSG_ID, XLOG_LOGICAL_MESSAGE);

	wrote_record = true;
	start_record();
}

/*
 * A sub-transaction aborts: forget what it and its children captured.
 *
 * Sub-transaction ids grow, and nesting is a stack, so these are exactly the
 * segments at the end with this id or a higher one.  Runs in a callback that
 * must not fail.
 */
void
hce_buffer_abort_sub(SubTransactionId subid)
{
	if (buffer == NULL)
		return;
	while (buffer->nsegments > 0 &&
		   buffer->segments[buffer->nsegments - 1].subid >= subid)
	{
		buffer->nsegments--;
		buffer->finished = buffer->segments[buffer->nsegments].offset;
	}
	/* skeletons of what is gone take room, which a flush would not give back */
	if (buffer->nsegments == 0 && buffer->nskeletons > 0)
		start_record();
}

/*
 * The last segment joins the one before it, when that has the same labels and
 * the numbers follow on: its events move over its head.
 */
static void
merge_last_segment(void)
{
	Segment    *last = &buffer->segments[buffer->nsegments - 1];
	Segment    *before = last - 1;
	Size		begin = last->counts + COUNT_WIDTH + NBYTES_WIDTH;

	if (buffer->nsegments < 2 || before->xid != last->xid ||
		before->subid != last->subid ||
		before->first_number + before->nevents != last->first_number)
		return;
	memmove(buffer->events.data + last->offset, buffer->events.data + begin,
			buffer->finished - begin);
	buffer->finished -= begin - last->offset;
	before->nevents += last->nevents;
	buffer->nsegments--;
}

/*
 * A sub-transaction has committed into its parent: so have its events.
 *
 * The child's own label would do as well, since the commit record lists it;
 * but a loop with an EXCEPTION block for each row would leave the relay a
 * list for each.  What the child's children captured has its label by now.
 * Runs in a callback that must not fail: that the parent of a transaction
 * id of ours is known is what PostgreSQL itself relies on.
 */
void
hce_buffer_commit_sub(SubTransactionId subid, SubTransactionId parent)
{
	TransactionId xid = InvalidTransactionId;
	int			first;

	if (buffer == NULL)
		return;
	for (first = buffer->nsegments; first > 0; first--)
	{
		if (buffer->segments[first - 1].subid < subid)
			break;
	}
	if (first == buffer->nsegments)
		return;
	xid = SubTransGetParent(buffer->segments[first].xid);
	for (int i = first; i < buffer->nsegments; i++)
	{
		Segment    *segment = &buffer->segments[i];

		segment->xid = xid;
		segment->subid = parent;
		memcpy(buffer->events.data + segment->offset, &xid, sizeof(xid));
	}
	if (first == buffer->nsegments - 1)
		merge_last_segment();
}

/* The transaction has ended: be as new.  Must not fail. */
void
hce_buffer_reset(void)
{
	write_through = false;
	wrote_record = false;
	if (buffer == NULL)
		return;
	start_record();
	if (buffer->events.size > KEEP_SIZE)
	{
		hce_bytes_free(&buffer->events);
		hce_bytes_free(&buffer->skeletons);
		pfree(buffer);
		buffer = NULL;
	}
}

/*
 * From now to the end of the transaction each event is written at once.
 *
 * Another module's PRE_COMMIT callback may change rows after ours has run.
 */
void
hce_buffer_write_through(void)
{
	hce_buffer_flush();
	write_through = true;
}

bool
hce_buffer_is_write_through(void)
{
	return write_through;
}

/* Did this transaction write a journal record? */
bool
hce_buffer_wrote(void)
{
	return wrote_record;
}

bool
hce_buffer_is_empty(void)
{
	return buffer == NULL || buffer->nsegments == 0;
}
