/*-------------------------------------------------------------------------
 *
 * transactions.h
 *		Random transactions that capture events: what they leave in the WAL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_UNIT_TRANSACTIONS_H
#define HCE_UNIT_TRANSACTIONS_H

#include "capture/capture.h"

#define MOST_XIDS		64		/* of one transaction */
#define MOST_EVENTS		4000	/* of one transaction */
#define MOST_ITEMS		400
#define TYPES			3

typedef enum ItemKind
{
	ITEM_RECORD,
	ITEM_ABORT,					/* of a subtransaction */
	ITEM_PREPARE,
	ITEM_COMMIT,
	ITEM_ROLLBACK
} ItemKind;

/* A piece of WAL of one transaction. */
typedef struct Item
{
	ItemKind	kind;
	char	   *data;			/* a record's */
	Size		len;
	TransactionId xid;
	int			nsubxacts;
	TransactionId subxacts[MOST_XIDS];
} Item;

/* A transaction: made at once, then played back item by item. */
typedef struct Transaction
{
	int			nitems;
	int			played;
	Item		items[MOST_ITEMS];
	int			nevents;		/* of those that count, if it commits */
	uint32		events[MOST_EVENTS];
	bool		prepared;		/* PREPARE was played */
	XLogRecPtr	first_lsn;		/* of its first record played */
	TransactionId xids[MOST_XIDS];	/* all that it used */
	int			nxids;
} Transaction;

/* The skeletons of the events, by type. */
extern HceTemplate transactions_templates[TYPES];

extern void transactions_begin_round(void);
extern Transaction *transactions_make(void);
extern void transactions_lose_ids(void);
extern void transactions_lose(const Transaction *transaction);

#endif							/* HCE_UNIT_TRANSACTIONS_H */
