/*-------------------------------------------------------------------------
 *
 * kept.c
 *		The current transaction's events, kept for who tests an application.
 *
 * With hcevents.keep_captured = on each event that goes into the buffer is
 * also kept here, as it is in the journal, until the transaction ends;
 * captured_events() (captured_events.c) makes envelopes of them by the code
 * that the relay uses.  An event's id is derived from its record's seed, its
 * number and its time, all of which are final when it is captured.
 *
 * A savepoint rolled back takes its events along: they are at the end, since
 * sub-transaction ids grow and nesting is a stack, so that giving them back
 * is a truncation.  To keep copies of journal records instead would need
 * nothing per event, but a record may hold events from before the setting was
 * switched on, and of savepoints that are rolled back after it was written.
 *
 * Memory is TopTransactionContext's and bounded by KEEP_LIMIT.  What comes
 * beyond is written and published like any other event, and only not kept:
 * a write must not fail for the sake of a test.  captured_events() then
 * raises an error, because a list that lacks events would make tests pass
 * that should fail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/kept.h"
#include "utils/memutils.h"

/* What a transaction may keep. */
#define KEEP_LIMIT_MB	64
#define KEEP_LIMIT		((Size) KEEP_LIMIT_MB * 1024 * 1024)

/* Offsets are into "bytes". */
typedef struct KeptEvent
{
	SubTransactionId subid;
	Size		begin;			/* where the memory of this event begins */
	Size		skeleton;		/* its own, or shared with the event before */
	uint32		skeleton_len;
	Size		body;
	uint32		body_len;
	int			flags;
	TimestampTz captured_at;
	unsigned char id[HCE_UUID_SIZE];
} KeptEvent;

static struct
{
	char	   *bytes;
	Size		used;
	Size		size;
	char	   *events;			/* an array of KeptEvent */
	Size		events_size;	/* in bytes */
	int			nevents;
	SubTransactionId overflow;	/* the first that had an event which was not
								 * kept; InvalidSubTransactionId: none */
} kept;

static KeptEvent *
kept_event(int number)
{
	return (KeptEvent *) kept.events + number;
}

/*
 * Have "needed" bytes at *memory.  Returns false, and changes nothing, when
 * there is no memory: the write that captures goes on.
 */
static bool
have_room(char **memory, Size *size, Size used, Size needed)
{
	Size		wanted = Max(Max(*size * 2, needed), 8192);
	char	   *made;

	if (needed <= *size)
		return true;
	made = MemoryContextAllocExtended(TopTransactionContext, wanted,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (made == NULL)
		return false;
	if (*memory != NULL)
	{
		memcpy(made, *memory, used);
		pfree(*memory);
	}
	*memory = made;
	*size = wanted;
	return true;
}

/* Room for an event of "more" bytes, within the limit. */
static bool
have_room_for(Size more)
{
	Size		events_used = kept.nevents * sizeof(KeptEvent);

	return kept.used + events_used + more + sizeof(KeptEvent) <= KEEP_LIMIT &&
		have_room(&kept.bytes, &kept.size, kept.used, kept.used + more) &&
		have_room(&kept.events, &kept.events_size, events_used,
				  events_used + sizeof(KeptEvent));
}

/* Whether an event's skeleton is that of the last one that is kept. */
static bool
same_skeleton(HceSlice skeleton)
{
	const KeptEvent *last;

	if (kept.nevents == 0)
		return false;
	last = kept_event(kept.nevents - 1);
	return last->skeleton_len == skeleton.len &&
		memcmp(kept.bytes + last->skeleton, skeleton.data, skeleton.len) == 0;
}

static Size
put_bytes(HceSlice slice)
{
	Size		at = kept.used;

	memcpy(kept.bytes + at, slice.data, slice.len);
	kept.used += slice.len;
	return at;
}

/* The limit is reached.  Said once, since there may be millions of rows. */
static void
overflow(void)
{
	if (kept.overflow != InvalidSubTransactionId)
		return;
	kept.overflow = GetCurrentSubTransactionId();
	ereport(WARNING,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("hcevents.captured_events() cannot show all events of this transaction: more than %d MB",
					KEEP_LIMIT_MB),
			 errdetail("The events themselves are captured."),
			 errhint("Write fewer or smaller rows in one transaction, or set hcevents.keep_captured to off.")));
}

/*
 * Keep an event that has just been put into the buffer; "event" has its time,
 * flags and body, as they are in the journal.  Raises no error.
 */
void
hce_kept_add(HceSlice skeleton, const HceJournalEvent *event,
			 const unsigned char *id)
{
	bool		shared = same_skeleton(skeleton);
	KeptEvent  *made;

	if (kept.overflow != InvalidSubTransactionId ||
		!have_room_for((shared ? 0 : skeleton.len) + event->body.len))
	{
		overflow();
		return;
	}
	made = kept_event(kept.nevents);
	made->subid = GetCurrentSubTransactionId();
	made->begin = kept.used;
	made->skeleton = shared ? kept_event(kept.nevents - 1)->skeleton :
		put_bytes(skeleton);
	made->skeleton_len = skeleton.len;
	made->body = put_bytes(event->body);
	made->body_len = event->body.len;
	made->flags = event->flags;
	made->captured_at = event->captured_at;
	memcpy(made->id, id, HCE_UUID_SIZE);
	kept.nevents++;
}

/* A sub-transaction aborts: so do its events.  Must not fail. */
void
hce_kept_abort_sub(SubTransactionId subid)
{
	while (kept.nevents > 0 && kept_event(kept.nevents - 1)->subid >= subid)
		kept.used = kept_event(--kept.nevents)->begin;
	if (kept.overflow >= subid)
		kept.overflow = InvalidSubTransactionId;
}

/* A sub-transaction has committed into its parent.  Must not fail. */
void
hce_kept_commit_sub(SubTransactionId subid, SubTransactionId parent)
{
	for (int i = kept.nevents - 1; i >= 0 && kept_event(i)->subid >= subid; i--)
		kept_event(i)->subid = parent;
	if (kept.overflow >= subid)
		kept.overflow = parent;
}

/* The transaction has ended, and its memory with it.  Must not fail. */
void
hce_kept_forget(void)
{
	memset(&kept, 0, sizeof(kept));
}

/*
 * How many events are kept.  Raises ERRCODE_PROGRAM_LIMIT_EXCEEDED when they
 * are not all that this transaction captured.
 */
int
hce_kept_count(void)
{
	if (kept.overflow != InvalidSubTransactionId)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the events of this transaction take more than the %d MB that are kept of them",
						KEEP_LIMIT_MB),
				 errhint("Write fewer or smaller rows in one transaction.")));
	return kept.nevents;
}

/*
 * An event, by its number from 0 on; what is returned stays where it is until
 * the next event is captured.
 */
void
hce_kept_get(int number, HceSlice *skeleton, HceJournalEvent *event,
			 const unsigned char **id)
{
	const KeptEvent *from = kept_event(number);

	Assert(number < kept.nevents);
	skeleton->data = kept.bytes + from->skeleton;
	skeleton->len = from->skeleton_len;
	memset(event, 0, sizeof(*event));
	event->captured_at = from->captured_at;
	event->flags = from->flags;
	event->body.data = kept.bytes + from->body;
	event->body.len = from->body_len;
	*id = from->id;
}
