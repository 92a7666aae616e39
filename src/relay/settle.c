/*-------------------------------------------------------------------------
 *
 * settle.c
 *		Which events need the journal no more.
 *
 * Kafka acknowledges events in any order, but the position can only move over
 * a contiguous prefix: everything before it is settled, nothing after it is
 * promised.  This module keeps the events in flight in commit order; the
 * relay adds at one end, marks in the middle, and pops what is settled from
 * the other end to count it and to move its position.  It knows nothing of
 * Kafka, tables or slots.
 *
 * Beside the events stands the list of their transactions, because the WAL
 * that must be kept begins at the first journal record of the oldest
 * transaction with an unsettled event, and transactions that commit later may
 * have begun earlier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "relay/settle.h"

typedef struct SettleTransaction
{
	XLogRecPtr	first_lsn;
	uint64		end;			/* number of the event after its last one so
								 * far */
} SettleTransaction;

/*
 * Both rings have sizes that are powers of two and grow when full.  Numbers
 * grow for ever; entry n lives at n & (size - 1).
 */
struct HceSettle
{
	MemoryContext context;
	HceInFlight *events;
	uint64		event_size;
	uint64		oldest;
	uint64		next;
	SettleTransaction *transactions;
	uint64		transaction_size;
	uint64		transaction_oldest;
	uint64		transaction_next;
};

HceSettle *
hce_settle_create(MemoryContext context)
{
	HceSettle  *settle = MemoryContextAllocZero(context, sizeof(HceSettle));

	settle->context = context;
	settle->event_size = 1024;
	settle->events = MemoryContextAlloc(context,
										settle->event_size * sizeof(HceInFlight));
	settle->transaction_size = 1024;
	settle->transactions =
		MemoryContextAlloc(context,
						   settle->transaction_size * sizeof(SettleTransaction));
	return settle;
}

/* Double a ring; old entries keep their numbers. */
static void *
grow_ring(MemoryContext context, void *old, uint64 *size, Size entry,
		  uint64 oldest, uint64 next)
{
	uint64		new_size = *size * 2;
	char	   *ring = MemoryContextAllocHuge(context, new_size * entry);

	for (uint64 n = oldest; n < next; n++)
		memcpy(ring + (n & (new_size - 1)) * entry,
			   (char *) old + (n & (*size - 1)) * entry, entry);
	pfree(old);
	*size = new_size;
	return ring;
}

/*
 * Begin a transaction whose events follow by hce_settle_add().  "first_lsn"
 * is the start of its first journal record.
 */
void
hce_settle_begin(HceSettle *settle, XLogRecPtr first_lsn)
{
	SettleTransaction *entry;

	if (settle->transaction_next - settle->transaction_oldest ==
		settle->transaction_size)
		settle->transactions = grow_ring(settle->context, settle->transactions,
										 &settle->transaction_size,
										 sizeof(SettleTransaction),
										 settle->transaction_oldest,
										 settle->transaction_next);
	entry = &settle->transactions[settle->transaction_next &
								  (settle->transaction_size - 1)];
	entry->first_lsn = first_lsn;
	entry->end = settle->next;
	settle->transaction_next++;
}

/* Add the next event of the transaction begun last; returns its number. */
uint64
hce_settle_add(HceSettle *settle, const HceInFlight *event)
{
	Assert(settle->transaction_next > settle->transaction_oldest);

	if (settle->next - settle->oldest == settle->event_size)
		settle->events = grow_ring(settle->context, settle->events,
								   &settle->event_size, sizeof(HceInFlight),
								   settle->oldest, settle->next);
	settle->events[settle->next & (settle->event_size - 1)] = *event;
	settle->next++;
	settle->transactions[(settle->transaction_next - 1) &
						 (settle->transaction_size - 1)].end = settle->next;
	return settle->next - 1;
}

/* An event in flight by its number; valid until the next hce_settle_add. */
HceInFlight *
hce_settle_event(HceSettle *settle, uint64 number)
{
	Assert(number >= settle->oldest && number < settle->next);
	return &settle->events[number & (settle->event_size - 1)];
}

/* Mark one event as settled. */
void
hce_settle_done(HceSettle *settle, uint64 number, HceSettled how)
{
	HceInFlight *event = hce_settle_event(settle, number);

	Assert(event->settled == HCE_UNSETTLED);
	event->settled = (uint8) how;
}

/* The oldest event, settled or not; NULL when none is in flight. */
HceInFlight *
hce_settle_oldest(HceSettle *settle)
{
	if (settle->oldest == settle->next)
		return NULL;
	return hce_settle_event(settle, settle->oldest);
}

/*
 * Take the oldest event if it is settled, else NULL.  The result is valid
 * until the next hce_settle_add.
 */
HceInFlight *
hce_settle_pop(HceSettle *settle)
{
	HceInFlight *event = hce_settle_oldest(settle);

	if (event == NULL || event->settled == HCE_UNSETTLED)
		return NULL;
	settle->oldest++;
	return event;
}

/* The number that the next event will get. */
uint64
hce_settle_next(const HceSettle *settle)
{
	return settle->next;
}

uint64
hce_settle_count(const HceSettle *settle)
{
	return settle->next - settle->oldest;
}

/*
 * The start of the oldest journal record that an unsettled event needs, or
 * InvalidXLogRecPtr.  Walks over the transactions in flight.
 *
 * Of the transaction begun last only the events added so far count; the
 * caller keeps its first_lsn as long as it has more to send.
 */
XLogRecPtr
hce_settle_first_lsn(HceSettle *settle)
{
	XLogRecPtr	first = InvalidXLogRecPtr;
	uint64		mask = settle->transaction_size - 1;

	/* the last one stays: it may get more events */
	while (settle->transaction_oldest + 1 < settle->transaction_next &&
		   settle->transactions[settle->transaction_oldest & mask].end <= settle->oldest)
		settle->transaction_oldest++;

	for (uint64 n = settle->transaction_oldest; n < settle->transaction_next; n++)
	{
		SettleTransaction *entry = &settle->transactions[n & mask];

		if (entry->end > settle->oldest &&
			(XLogRecPtrIsInvalid(first) || entry->first_lsn < first))
			first = entry->first_lsn;
	}
	return first;
}

/* Call "visit" for each unsettled event in flight, oldest first. */
void
hce_settle_visit_oldest(HceSettle *settle, void (*visit) (HceInFlight *, void *),
						void *arg)
{
	for (uint64 n = settle->oldest; n < settle->next; n++)
	{
		HceInFlight *event = hce_settle_event(settle, n);

		if (event->settled == HCE_UNSETTLED)
			visit(event, arg);
	}
}
