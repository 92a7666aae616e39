/*
 * Random transactions: capture/buffer.c writes their journal records, between
 * savepoints, errors and PREPARE, as in a server.
 */
#include "postgres.h"

#include "access/transam.h"
#include "capture/capture.h"
#include "event/skeleton.h"

#include "transactions.h"
#include "unit.h"

#define MOST_LEVELS		8

typedef struct Level
{
	SubTransactionId subid;
	TransactionId xid;			/* 0: none yet */
	int			first_event;
	int			nchildren;		/* committed children */
	TransactionId children[MOST_XIDS];
} Level;

static Transaction *making;
static Level levels[MOST_LEVELS];
static int	nlevels;
static SubTransactionId next_subid;
static TransactionId next_xid;
static TransactionId lost_xids[1000];	/* of a crash, given out again */
static int	nlost;
static uint32 next_event;

HceTemplate transactions_templates[TYPES];

/* What buffer.c asks for.  Parents get their ids before their children. */
static TransactionId
current_xid(void)
{
	for (int i = 0; i < nlevels; i++)
	{
		if (levels[i].xid == InvalidTransactionId)
		{
			/* after a crash the ids that were lost are used again */
			levels[i].xid = nlost > 0 && i == 0 ? lost_xids[--nlost] : next_xid++;
			making->xids[making->nxids++] = levels[i].xid;
		}
	}
	return levels[nlevels - 1].xid;
}

static SubTransactionId
current_subid(void)
{
	return levels[nlevels - 1].subid;
}

static TransactionId
parent_of(TransactionId xid)
{
	for (int i = nlevels - 1; i > 0; i--)
	{
		if (levels[i].xid == xid)
			return levels[i - 1].xid;
	}
	CHECK(!"a parent is asked for that no open level has");
	return InvalidTransactionId;
}

static Item *
add_item(ItemKind kind, TransactionId xid)
{
	Item	   *item = &making->items[making->nitems++];

	memset(item, 0, sizeof(Item));
	item->kind = kind;
	item->xid = xid;
	return item;
}

static void
record_written(const char *data, Size len)
{
	Item	   *item = add_item(ITEM_RECORD, InvalidTransactionId);

	item->data = palloc(len);
	item->len = len;
	memcpy(item->data, data, len);
}

static void
capture(void)
{
	HceBytes   *out;
	char		text[16];
	Size		padding = unit_chance(2) ? unit_below(40000) : unit_below(100);
	TimestampTz now = (TimestampTz) unit_below(1000000);

	if (making->nevents == MOST_EVENTS)
		return;
	out = hce_buffer_begin(&transactions_templates[unit_below(TYPES)], now);

	/* an error in the middle of rendering: the event is forgotten */
	if (unit_chance(5))
	{
		hce_bytes_append(out, "half an event", 13);
		return;
	}
	snprintf(text, sizeof(text), "%u", next_event);
	hce_bytes_put_string(out, text, strlen(text));
	hce_bytes_append_varint(out, padding);
	hce_bytes_reserve(out, padding);
	memset(out->data + out->used, 'x', padding);
	out->used += padding;
	hce_buffer_finish(0);
	making->events[making->nevents++] = next_event++;
}

static void
push_level(void)
{
	Level	   *level = &levels[nlevels++];

	memset(level, 0, sizeof(Level));
	level->subid = next_subid++;
	level->first_event = making->nevents;
}

/* RELEASE: as xact.c, the callback first, then the ids go to the parent. */
static void
commit_level(void)
{
	Level	   *child = &levels[nlevels - 1];
	Level	   *parent = child - 1;

	hce_buffer_commit_sub(child->subid, parent->subid);
	if (child->xid != InvalidTransactionId)
	{
		parent->children[parent->nchildren++] = child->xid;
		for (int i = 0; i < child->nchildren; i++)
			parent->children[parent->nchildren++] = child->children[i];
	}
	nlevels--;
}

/* ROLLBACK TO: an abort record only if the child had an id. */
static void
abort_level(void)
{
	Level	   *child = &levels[nlevels - 1];

	if (child->xid != InvalidTransactionId)
	{
		Item	   *item = add_item(ITEM_ABORT, child->xid);

		item->nsubxacts = child->nchildren;
		memcpy(item->subxacts, child->children, sizeof(item->subxacts));
	}
	making->nevents = child->first_event;
	hce_buffer_abort_sub(child->subid);
	nlevels--;
}

static void
end_item(ItemKind kind)
{
	Item	   *item;

	if (levels[0].xid == InvalidTransactionId)
		return;
	item = add_item(kind, levels[0].xid);
	item->nsubxacts = levels[0].nchildren;
	memcpy(item->subxacts, levels[0].children, sizeof(item->subxacts));
}

/* A random transaction, from BEGIN to its end. */
Transaction *
transactions_make(void)
{
	int			steps = (int) unit_below(unit_chance(10) ? 600 : 30);
	bool		prepare = unit_chance(15);
	ItemKind	end = unit_chance(75) ? ITEM_COMMIT : ITEM_ROLLBACK;

	making = palloc0(sizeof(Transaction));
	nlevels = 0;
	next_subid = 1;
	push_level();
	while (steps-- > 0 && making->nitems < MOST_ITEMS - 30 && making->nxids < MOST_XIDS - MOST_LEVELS)
	{
		if (unit_chance(70))
			capture();
		else if (unit_chance(40) && nlevels < MOST_LEVELS)
			push_level();
		else if (nlevels > 1 && unit_chance(60))
			commit_level();
		else if (nlevels > 1)
			abort_level();
		else if (unit_chance(10))
			hce_buffer_flush();
	}
	while (nlevels > 1)
	{
		if (end == ITEM_ROLLBACK || unit_chance(30))
			abort_level();
		else
			commit_level();
	}
	if (prepare || end == ITEM_COMMIT)
	{
		hce_buffer_write_through();
		if (unit_chance(20))
			capture();			/* another module's PRE_COMMIT callback */
		CHECK(hce_buffer_is_empty());
	}
	if (prepare)
		end_item(ITEM_PREPARE);
	end_item(end);
	hce_buffer_reset();
	return making;
}

/* The server crashes: from now on the ids that were lost are used again. */
void
transactions_lose_ids(void)
{
	nlost = 0;
}

/* The crash has ended this one without a record. */
void
transactions_lose(const Transaction *transaction)
{
	for (int x = 0; x < transaction->nxids; x++)
		lost_xids[nlost++] = transaction->xids[x];
}

/* Begin anew, with the ids and events that a server begins with. */
void
transactions_begin_round(void)
{
	static const char *const types[TYPES] = {"a.created", "a.updated", "b.created"};

	stub_transaction = (StubTransaction)
	{
		current_xid, current_subid, parent_of, record_written
	};
	for (int i = 0; i < TYPES; i++)
	{
		HceTemplate *made = &transactions_templates[i];
		HceSkeletonParts parts = {types[i], "s", "1", "public", "t",
		HCE_KEY_NONE, 0, NULL, true};
		HceBytes	bytes;

		hce_bytes_init(&bytes, CurrentMemoryContext, 64);
		made->envelope_size = hce_skeleton_write(&bytes, &parts);
		made->bytes = bytes.data;
		made->len = bytes.used;
		made->record = 0;
	}
	next_xid = FirstNormalTransactionId;
	next_event = 0;
	nlost = 0;
}
