/*
 * The whole way of an event without server and Kafka: capture/buffer.c writes
 * the journal records of random transactions (transactions.c), their WAL is
 * mixed, and relay/assembler.c puts it together again.  The model knows which events
 * belong to what committed, in the order of capture.  The relay's life may end
 * at any time: then a new assembler begins with what was copied of open
 * transactions, and the WAL from where the old one needed it.
 */
#include "postgres.h"

#include "access/transam.h"
#include "event/skeleton.h"
#include "relay/assembler.h"
#include "utils/memutils.h"

#include "transactions.h"
#include "unit.h"

#define CLIENTS			6
#define MOST_PLAYED		100000	/* items of a round, and copies */

/* A record as WAL keeps it. */
typedef struct Kept
{
	XLogRecPtr	lsn;
	char	   *data;
	Size		len;
} Kept;

/* What was played, as a new life reads it again. */
typedef struct Played
{
	XLogRecPtr	lsn;
	Item	   *item;			/* NULL: the server came up after a crash */
} Played;

/* A copy of what an open (sub)transaction has in a record. */
typedef struct Copy
{
	TransactionId xid;
	XLogRecPtr	lsn;
	bool		prepared;
	XLogRecPtr	commit_lsn;		/* when it has committed */
	char	   *data;
	Size		len;
} Copy;

/* A committed transaction that the assembler has not been asked for yet. */
typedef struct Expected
{
	XLogRecPtr	commit_lsn;
	XLogRecPtr	first_lsn;
	int			nevents;
	uint32	   *events;
	bool		visible;
} Expected;

static XLogRecPtr lsn;
static Kept *wal;
static int	nwal;
static int	wal_capacity;
static XLogRecPtr wal_start;	/* what lies before it was given back */
static Played *played;
static int	nplayed;
static Copy *copies;
static int	ncopies;
static Expected *expected;
static int	nexpected;
static int	first_expected;
static bool visible_now;

/* The assembler's question; an answer that can be told from others. */
static void *
resolve(HceSlice bytes, void *arg)
{
	for (int i = 0; i < TYPES; i++)
	{
		if (transactions_templates[i].len == bytes.len &&
			memcmp(transactions_templates[i].bytes, bytes.data, bytes.len) == 0)
			return &transactions_templates[i];
	}
	CHECK(!"an unknown skeleton");
	return NULL;
}

static void
keep_record(const Item *item)
{
	if (nwal == wal_capacity)
	{
		wal_capacity = Max(1024, wal_capacity * 2);
		wal = wal == NULL ? palloc(wal_capacity * sizeof(Kept)) :
			repalloc(wal, wal_capacity * sizeof(Kept));
	}
	wal[nwal++] = (Kept) {lsn, item->data, item->len};
}

/* The data of a record that belongs to "xid", or to nobody who copied it. */
static HceSlice
record_data(const HceRecord *record, TransactionId copied_as)
{
	if (record->data != NULL)
		return (HceSlice) {record->data, record->len};
	for (int i = 0; i < ncopies && copied_as != InvalidTransactionId; i++)
	{
		if (copies[i].lsn == record->lsn && copies[i].xid == copied_as)
			return (HceSlice) {copies[i].data, (uint32) copies[i].len};
	}
	CHECK(copied_as == InvalidTransactionId);
	CHECK(record->lsn >= wal_start);
	for (int i = nwal - 1; i >= 0; i--)
	{
		if (wal[i].lsn == record->lsn)
			return (HceSlice) {wal[i].data, (uint32) wal[i].len};
	}
	CHECK(!"a record that was never written");
	return (HceSlice) {"", 0};
}

/* The assembler's callback. */
static bool
copy_record(const HceRecord *record, TransactionId xid, bool prepared, void *arg)
{
	HceSlice	data = record_data(record, InvalidTransactionId);
	Copy	   *copy = &copies[ncopies++];

	*copy = (Copy) {xid, record->lsn, prepared, InvalidXLogRecPtr,
		palloc(data.len), 0};
	copy->len = hce_journal_cut(copy->data, data.data, data.len, xid);
	CHECK(copy->len > 0);
	return unit_chance(80);
}

static bool
concerns(const Item *item, TransactionId xid)
{
	bool		found = item->xid == xid;

	for (int i = 0; i < item->nsubxacts && !found; i++)
		found = item->subxacts[i] == xid;
	return found;
}

/* What an item does to the copies. */
static void
end_copies(const Item *item)
{
	int			kept = 0;

	for (int i = 0; i < ncopies; i++)
	{
		if (concerns(item, copies[i].xid))
		{
			if (item->kind == ITEM_ABORT || item->kind == ITEM_ROLLBACK)
				continue;
			if (item->kind == ITEM_PREPARE)
				copies[i].prepared = true;
			if (item->kind == ITEM_COMMIT)
				copies[i].commit_lsn = lsn;
		}
		copies[kept++] = copies[i];
	}
	ncopies = kept;
}

static void
commit_expected(const Transaction *transaction, const HceCommitted *committed)
{
	Expected   *entry;

	CHECK_INT(committed != NULL, transaction->nevents > 0);
	if (committed == NULL || transaction->nevents == 0)
		return;
	CHECK_INT(committed->nevents, transaction->nevents);
	CHECK_INT(committed->commit_lsn, lsn);
	entry = &expected[nexpected++];
	entry->commit_lsn = lsn;
	entry->first_lsn = transaction->first_lsn;
	entry->nevents = transaction->nevents;
	entry->events = palloc(transaction->nevents * sizeof(uint32));
	entry->visible = false;
	memcpy(entry->events, transaction->events, transaction->nevents * sizeof(uint32));
}

/* Play one item; false when the transaction is over. */
static bool
play(HceAssembler *assembler, Transaction *transaction)
{
	Item	   *item = &transaction->items[transaction->played++];

	lsn += 8 + item->len;
	played[nplayed++] = (Played) {lsn, item};
	if (item->kind != ITEM_RECORD)
		end_copies(item);
	switch (item->kind)
	{
		case ITEM_RECORD:
			keep_record(item);
			if (transaction->first_lsn == InvalidXLogRecPtr)
				transaction->first_lsn = lsn;
			CHECK(hce_assembler_add(assembler, lsn, item->data, (uint32) item->len));
			break;
		case ITEM_ABORT:
		case ITEM_ROLLBACK:
			hce_assembler_abort(assembler, item->xid, item->nsubxacts, item->subxacts);
			break;
		case ITEM_PREPARE:
			transaction->prepared = true;
			hce_assembler_prepare(assembler, item->xid, item->nsubxacts, item->subxacts);
			break;
		case ITEM_COMMIT:
			commit_expected(transaction,
							hce_assembler_commit(assembler, item->xid, item->nsubxacts,
												 item->subxacts, lsn, (TimestampTz) lsn));
			break;
	}
	return transaction->played < transaction->nitems;
}

/* Check the events of one run of segments; returns how many they are. */
static int
check_segment(const HceSegment *segment, const uint32 *events, int left)
{
	HceJournalReader reader;
	HceJournalEvent event;
	TransactionId xid;
	uint32		nevents;
	int			found = 0;
	HceSlice	data = record_data(segment->record, segment->copied_as);

	CHECK(hce_journal_open(&reader, data.data, data.len));
	for (uint32 i = 0; i < segment->number; i++)
		CHECK(hce_journal_next_segment(&reader, &xid, &nevents));
	for (uint32 i = 0; i < segment->span; i++)
	{
		CHECK(hce_journal_next_segment(&reader, &xid, &nevents));
		while (hce_journal_next_event(&reader, &event))
		{
			const uint8 *pos = (const uint8 *) event.body.data;
			HceSlice	text = {"", 0};

			CHECK(hce_get_string(&pos, pos + event.body.len, &text));
			CHECK(found < left);
			if (unit_failed())
				return found;
			CHECK_INT(strtoul(pnstrdup(text.data, text.len), NULL, 10), events[found]);
			found++;
		}
	}
	CHECK(!hce_journal_malformed(&reader));
	CHECK_INT(found, segment->nevents);
	if (segment->counts != NULL)
	{
		uint32		sum = 0;

		for (int i = 0; i < segment->record->nskeletons; i++)
			sum += segment->counts[i];
		CHECK_INT(sum, segment->nevents);
	}
	return found;
}

static bool
is_visible(TransactionId xid, void *arg)
{
	visible_now = unit_chance(60);
	return visible_now;
}

/* Take the oldest committed transaction, as the relay sends it. */
static void
take_head(HceAssembler *assembler)
{
	HceCommitted *head = hce_assembler_head(assembler);
	Expected   *should = &expected[first_expected];
	int			found = 0;

	CHECK_INT(head != NULL, first_expected < nexpected);
	if (head == NULL || unit_failed())
		return;
	CHECK_INT(head->commit_lsn, should->commit_lsn);
	CHECK(head->first_lsn >= should->first_lsn && head->first_lsn <= should->commit_lsn);
	for (uint32 i = 0; i < head->nsegments && !unit_failed(); i++)
	{
		found += check_segment(&head->segments[i], should->events + found,
							   should->nevents - found);
		if (unit_chance(50))
			hce_assembler_release_segment(assembler, head, i);
	}
	CHECK_INT(found, should->nevents);
	pfree(should->events);
	hce_assembler_pop(assembler);
	first_expected++;
}

/* Nothing that will be needed lies before what the assembler answers. */
static void
check_first_lsn(HceAssembler *assembler, Transaction **clients, bool copying)
{
	XLogRecPtr	first = hce_assembler_first_lsn(assembler);
	HceCommitted *head = hce_assembler_head(assembler);

	if (head != NULL)
		CHECK(first != InvalidXLogRecPtr && first <= head->first_lsn);
	CHECK(first == InvalidXLogRecPtr || first >= wal_start);
	for (int i = 0; i < CLIENTS && !copying; i++)
	{
		/* only of those that surely have an event in the WAL */
		if (clients[i] != NULL && clients[i]->nxids == 1 &&
			clients[i]->first_lsn != InvalidXLogRecPtr)
			CHECK(first != InvalidXLogRecPtr && first <= clients[i]->first_lsn);
	}
}

/*
 * The server crashes: what was not prepared is gone without a record, and
 * its ids are used again.
 */
static void
crash(HceAssembler *assembler, Transaction **clients)
{
	int			kept = 0;

	for (int i = 0; i < ncopies; i++)
	{
		if (copies[i].prepared || copies[i].commit_lsn != InvalidXLogRecPtr)
			copies[kept++] = copies[i];
	}
	ncopies = kept;
	played[nplayed++] = (Played) {++lsn, NULL};
	transactions_lose_ids();
	for (int i = 0; i < CLIENTS; i++)
	{
		if (clients[i] == NULL || clients[i]->prepared)
			continue;
		transactions_lose(clients[i]);
		clients[i] = NULL;
	}
	hce_assembler_server_restarted(assembler);
}

static int
compare_copies(const void *a, const void *b)
{
	const Copy *x = a;
	const Copy *y = b;

	if (x->xid != y->xid)
		return x->xid < y->xid ? -1 : 1;
	return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

/*
 * As the relay writes its position row: delete the copies that are settled,
 * copy more of what is open, and give WAL back.  Returns what is settled.
 */
static XLogRecPtr
store_position(HceAssembler *assembler)
{
	XLogRecPtr	settled = first_expected < nexpected ?
		expected[first_expected].commit_lsn : lsn + 1;
	XLogRecPtr	first;
	int			kept = 0;

	for (int i = 0; i < ncopies; i++)
	{
		if (copies[i].commit_lsn == InvalidXLogRecPtr ||
			copies[i].commit_lsn >= settled)
			copies[kept++] = copies[i];
	}
	ncopies = kept;
	(void) hce_assembler_copy_open(assembler, wal_start + unit_below(lsn + 1 - wal_start),
								   copy_record, NULL);
	first = hce_assembler_first_lsn(assembler);
	wal_start = first == InvalidXLogRecPtr || first > lsn ? lsn : first;
	return settled;
}

/* Play an item again, for a new life. */
static void
play_again(HceAssembler *assembler, const Played *again, XLogRecPtr settled)
{
	const Item *item = again->item;

	if (item == NULL)
		hce_assembler_server_restarted(assembler);
	else if (item->kind == ITEM_RECORD)
		CHECK(hce_assembler_add(assembler, again->lsn, item->data, (uint32) item->len));
	else if (item->kind == ITEM_PREPARE)
		hce_assembler_prepare(assembler, item->xid, item->nsubxacts, item->subxacts);
	else if (item->kind == ITEM_COMMIT && again->lsn >= settled)
		(void) hce_assembler_commit(assembler, item->xid, item->nsubxacts,
									item->subxacts, again->lsn, (TimestampTz) again->lsn);
	else
		hce_assembler_abort(assembler, item->xid, item->nsubxacts, item->subxacts);
}

/* A new life: with the copies, and the WAL from "wal_start" on. */
static void
restart_relay(HceAssembler *assembler, XLogRecPtr settled)
{
	int			kept = 0;

	for (int i = 0; i < ncopies; i++)
	{
		if (copies[i].lsn < wal_start)
			copies[kept++] = copies[i];
	}
	ncopies = kept;
	if (ncopies > 0)
		qsort(copies, ncopies, sizeof(Copy), compare_copies);
	for (int i = 0; i < ncopies; i++)
		CHECK(hce_assembler_restore(assembler, copies[i].lsn, copies[i].data,
									(uint32) copies[i].len, copies[i].xid,
									copies[i].prepared));
	for (int i = 0; i < nplayed; i++)
	{
		if (played[i].lsn >= wal_start)
			play_again(assembler, &played[i], settled);
	}
}

static void
begin_round(void)
{
	transactions_begin_round();
	nwal = wal_capacity = nexpected = first_expected = 0;
	wal = NULL;
	wal_start = lsn = 1000;
	nplayed = ncopies = 0;
	played = palloc(MOST_PLAYED * sizeof(Played));
	copies = palloc(MOST_PLAYED * sizeof(Copy));
}

/* "copy_percent": how often the position is stored, now and then with a restart. */
static void
run_round(Size limit, int transactions, int crash_percent, int copy_percent)
{
	MemoryContext context = stub_context_create();
	HceAssembler *assembler = hce_assembler_create(context, limit, resolve, NULL);
	size_t		chunks = stub_context_chunks(context);
	Transaction *clients[CLIENTS] = {NULL};
	int			running = 0;
	int			begun = 0;

	begin_round();
	expected = palloc0(transactions * sizeof(Expected));
	while ((begun < transactions || running > 0) && !unit_failed())
	{
		int			i = (int) unit_below(CLIENTS);

		if (clients[i] == NULL && begun < transactions)
		{
			clients[i] = transactions_make();
			begun++;
			if (clients[i]->nitems == 0)
				clients[i] = NULL;
		}
		else if (clients[i] != NULL && !play(assembler, clients[i]))
			clients[i] = NULL;
		if (unit_below(1000) < (uint64) crash_percent)
			crash(assembler, clients);
		if (unit_chance(copy_percent))
		{
			XLogRecPtr	settled = store_position(assembler);

			if (unit_chance(20))
			{
				stub_context_delete(context);
				context = stub_context_create();
				assembler = hce_assembler_create(context, limit, resolve, NULL);
				restart_relay(assembler, settled);
			}
		}
		(void) hce_assembler_mark_visible(assembler, is_visible, NULL);
		while (hce_assembler_head(assembler) != NULL && !unit_failed() &&
			   (hce_assembler_full(assembler) || unit_chance(20)))
			take_head(assembler);
		check_first_lsn(assembler, clients, copy_percent > 0);
		running = 0;
		for (int c = 0; c < CLIENTS; c++)
			running += clients[c] != NULL ? 1 : 0;
	}
	while (first_expected < nexpected && !unit_failed())
		take_head(assembler);
	CHECK(hce_assembler_head(assembler) == NULL);
	CHECK(!hce_assembler_has_open(assembler));
	CHECK(!hce_assembler_full(assembler));
	CHECK(hce_assembler_all_visible(assembler));
	CHECK_INT(hce_assembler_committed_events(assembler), 0);
	CHECK_INT(hce_assembler_first_lsn(assembler), InvalidXLogRecPtr);
	CHECK_INT(stub_context_chunks(context), chunks);
	stub_context_delete(context);
	hce_buffer_reset();
	stub_context_reset(CurrentMemoryContext);
}

static void
mixed_transactions(void)
{
	for (int round = 0; round < unit_rounds(15) && !unit_failed(); round++)
		run_round(64 * 1024 * 1024, 150, 0, 0);
}

/* Hardly anything fits: record data is let go and read again. */
static void
mixed_with_little_memory(void)
{
	for (int round = 0; round < unit_rounds(15) && !unit_failed(); round++)
		run_round(1 + unit_below(100000), 150, 0, 0);
}

static void
mixed_with_crashes(void)
{
	for (int round = 0; round < unit_rounds(15) && !unit_failed(); round++)
		run_round(unit_chance(50) ? 50000 : 64 * 1024 * 1024, 150, 8, 0);
}

/* What is open is copied, and the relay starts again and again. */
static void
mixed_with_copies(void)
{
	for (int round = 0; round < unit_rounds(15) && !unit_failed(); round++)
		run_round(unit_chance(50) ? 50000 : 64 * 1024 * 1024, 150,
				  unit_chance(50) ? 30 : 0, 20);
}

/* A record of two segments of one event each. */
static HceBytes
two_segments(void)
{
	HceBytes	record;
	int64		base_time = 0;

	hce_bytes_init(&record, CurrentMemoryContext, 64);
	hce_bytes_append(&record, "0123456789abcdef", 16);
	hce_bytes_append(&record, &base_time, sizeof(base_time));
	hce_bytes_append_varint(&record, 1);
	hce_bytes_put_string(&record, (char *) transactions_templates[0].bytes,
						 transactions_templates[0].len);
	hce_bytes_append_varint(&record, 2);
	for (TransactionId xid = 5; xid < 7; xid++)
	{
		hce_bytes_append(&record, &xid, sizeof(xid));
		hce_bytes_append_varint(&record, xid);
		hce_bytes_append_varint(&record, 1);
		hce_bytes_put_string(&record, "\0\0\1x", 4);
	}
	return record;
}

/* Of a record that is cut off anywhere nothing is kept, and it is told. */
static void
damaged_record(void)
{
	MemoryContext context = stub_context_create();
	HceAssembler *assembler = hce_assembler_create(context, 1000000, resolve, NULL);
	size_t		chunks = stub_context_chunks(context);
	HceBytes	record;

	begin_round();
	record = two_segments();
	for (uint32 len = 0; len < record.used; len++)
	{
		CHECK(!hce_assembler_add(assembler, lsn, (char *) record.data, len));
		CHECK(!hce_assembler_has_open(assembler));
		CHECK_INT(stub_context_chunks(context), chunks);
	}
	CHECK(hce_assembler_add(assembler, lsn, (char *) record.data, (uint32) record.used));
	CHECK(hce_assembler_has_open(assembler));
	stub_context_delete(context);
	stub_context_reset(CurrentMemoryContext);
}

const UnitTest transactions_tests[] = {
	{"transactions: damaged record", damaged_record},
	{"transactions: mixed", mixed_transactions},
	{"transactions: with little memory", mixed_with_little_memory},
	{"transactions: with crashes", mixed_with_crashes},
	{"transactions: with copies of what is open", mixed_with_copies},
	{NULL, NULL}
};
