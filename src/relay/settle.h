/*-------------------------------------------------------------------------
 *
 * settle.h
 *		Which events need the journal no more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_SETTLE_H
#define HCE_SETTLE_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

/*
 * A place in the journal, in commit order: every event of a commit before
 * "lsn" is settled, and the first "index" events of the commit at "lsn".
 */
typedef struct HcePosition
{
	XLogRecPtr	lsn;
	uint32		index;
} HcePosition;

static inline bool
hce_position_before(HcePosition a, HcePosition b)
{
	return a.lsn < b.lsn || (a.lsn == b.lsn && a.index < b.index);
}

/* How an event was settled. */
typedef enum HceSettled
{
	HCE_UNSETTLED = 0,
	HCE_DELIVERED,
	HCE_DEAD,
	HCE_PARKED,
	HCE_LOST					/* could not even be parked: in a gap */
} HceSettled;

/* An event between its first sending and the position that covers it. */
typedef struct HceInFlight
{
	HcePosition position;		/* of the event itself */
	TimestampTz commit_time;
	TimestampTz settled_time;
	void	   *skeleton;		/* the relay's, see relay_send.c */
	uint32		bytes;			/* of key and envelope */
	uint8		settled;		/* HceSettled */
	bool		resent;			/* may have been delivered before */
} HceInFlight;

typedef struct HceSettle HceSettle;

extern HceSettle *hce_settle_create(MemoryContext context);
extern void hce_settle_begin(HceSettle *settle, XLogRecPtr first_lsn);
extern uint64 hce_settle_add(HceSettle *settle, const HceInFlight *event);
extern HceInFlight *hce_settle_event(HceSettle *settle, uint64 number);
extern void hce_settle_done(HceSettle *settle, uint64 number,
							HceSettled how);
extern HceInFlight *hce_settle_oldest(HceSettle *settle);
extern HceInFlight *hce_settle_pop(HceSettle *settle);
extern uint64 hce_settle_next(const HceSettle *settle);
extern uint64 hce_settle_count(const HceSettle *settle);
extern void hce_settle_visit_oldest(HceSettle *settle,
									void (*visit) (HceInFlight *, void *),
									void *arg);
extern XLogRecPtr hce_settle_first_lsn(HceSettle *settle);

#endif							/* HCE_SETTLE_H */
