/*-------------------------------------------------------------------------
 *
 * relay_units.c
 *		Unit tests of the relay's pure modules, settle and assembler.
 *
 * Each function raises an error that says what is wrong, or returns "ok".
 * Records are made here byte by byte, as event/journal_record.h describes
 * them: the tests share no code with the buffer that writes real ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "event/journal_record.h"
#include "fmgr.h"
#include "relay/assembler.h"
#include "relay/settle.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(hce_test_settle);
PG_FUNCTION_INFO_V1(hce_test_assembler);

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			elog(ERROR, "line %d: not true: %s", __LINE__, #condition); \
	} while (0)

static uint64 random_state;

static uint32
random_below(uint32 limit)
{
	random_state = random_state * UINT64CONST(6364136223846793005) +
		UINT64CONST(1442695040888963407);
	return (uint32) ((random_state >> 33) % limit);
}

#define MODEL_EVENTS	4000

/* What an event in flight is known as, in the model. */
typedef struct ModelEvent
{
	bool		done;
	XLogRecPtr	first_lsn;		/* of its transaction */
} ModelEvent;

static ModelEvent model[MODEL_EVENTS];
static uint64 model_added;
static uint64 model_popped;

static void
model_add(HceSettle *settle, XLogRecPtr first_lsn)
{
	HceInFlight event;

	memset(&event, 0, sizeof(event));
	event.position.lsn = first_lsn + 100;
	event.position.index = (uint32) model_added;
	CHECK(hce_settle_next(settle) == model_added);
	CHECK(hce_settle_add(settle, &event) == model_added);
	model[model_added].done = false;
	model[model_added].first_lsn = first_lsn;
	model_added++;
}

/* Settle one that is not, wherever it is. */
static void
model_settle(HceSettle *settle)
{
	uint64		number;

	if (model_added == model_popped)
		return;
	number = model_popped + random_below((uint32) (model_added - model_popped));
	if (model[number].done)
		return;
	model[number].done = true;
	hce_settle_done(settle, number, HCE_DELIVERED);
}

/* What is popped is the settled prefix, and nothing beyond it. */
static void
model_pop(HceSettle *settle)
{
	HceInFlight *event;

	while ((event = hce_settle_pop(settle)) != NULL)
	{
		CHECK(model_popped < model_added);
		CHECK(event->position.index == model_popped);
		CHECK(model[model_popped].done);
		model_popped++;
	}
	CHECK(model_popped == model_added || !model[model_popped].done);
	CHECK(hce_settle_count(settle) == model_added - model_popped);
	event = hce_settle_oldest(settle);
	CHECK((event == NULL) == (model_popped == model_added));
	CHECK(event == NULL || event->position.index == model_popped);
}

/* The WAL kept is that of the oldest record an event in flight needs. */
static void
model_first_lsn(HceSettle *settle)
{
	XLogRecPtr	expected = InvalidXLogRecPtr;
	XLogRecPtr	first = hce_settle_first_lsn(settle);

	for (uint64 n = model_popped; n < model_added; n++)
	{
		if (XLogRecPtrIsInvalid(expected) || model[n].first_lsn < expected)
			expected = model[n].first_lsn;
	}
	if (first != expected)
		elog(ERROR, "WAL from %X/%X is needed, not from %X/%X",
			 LSN_FORMAT_ARGS(expected), LSN_FORMAT_ARGS(first));
}

Datum
hce_test_settle(PG_FUNCTION_ARGS)
{
	HceSettle  *settle = hce_settle_create(CurrentMemoryContext);

	random_state = (uint64) PG_GETARG_INT32(0);
	model_added = model_popped = 0;
	for (uint32 commit = 1; model_added < MODEL_EVENTS - 20; commit++)
	{
		/* a later commit may have begun earlier */
		XLogRecPtr	first_lsn = commit * 1000 - random_below(Min(commit, 5)) * 1000 + 8;

		hce_settle_begin(settle, first_lsn);
		for (uint32 i = random_below(20); i > 0; i--)
		{
			model_add(settle, first_lsn);
			model_settle(settle);
			model_settle(settle);
		}
		model_pop(settle);
		model_first_lsn(settle);
	}
	while (model_popped < model_added)
	{
		model_settle(settle);
		model_pop(settle);
	}
	model_first_lsn(settle);
	PG_RETURN_TEXT_P(cstring_to_text("ok"));
}

/* The assembler's question; the answer is not looked at. */
static void *
resolve(HceSlice skeleton, void *arg)
{
	return arg;
}

/*
 * Give the assembler a record with one segment of "nevents" events for each
 * of "nsegments" transaction ids.
 */
static void
add_record(HceAssembler *assembler, XLogRecPtr lsn, int nsegments,
		   const TransactionId *xids, uint32 nevents)
{
	uint8		record[4096] = {0};
	uint8	   *p = record + 16 + sizeof(TimestampTz);	/* seed, base time */

	p = hce_put_varint(p, 1);	/* skeletons */
	p = hce_put_varint(p, 1);
	*p++ = 's';
	p = hce_put_varint(p, (uint64) nsegments);
	for (int i = 0; i < nsegments; i++)
	{
		memcpy(p, &xids[i], sizeof(TransactionId));
		p += sizeof(TransactionId);
		p = hce_put_varint(p, (uint64) i * nevents);	/* first number */
		p = hce_put_varint(p, nevents);
		p = hce_put_varint(p, nevents * 4);
		for (uint32 e = 0; e < nevents; e++)
		{
			p = hce_put_varint(p, 0);	/* tag */
			p = hce_put_varint(p, 0);	/* time */
			p = hce_put_varint(p, 1);	/* body */
			*p++ = (uint8) i;
		}
	}
	CHECK(hce_assembler_add(assembler, lsn, (char *) record,
							(uint32) (p - record)));
}

static HceAssembler *
new_assembler(Size limit)
{
	static int	skeleton;

	return hce_assembler_create(CurrentMemoryContext, limit, resolve, &skeleton);
}

static HceCommitted *
commit(HceAssembler *assembler, TransactionId xid, int nsubxacts,
	   const TransactionId *subxacts, XLogRecPtr lsn)
{
	return hce_assembler_commit(assembler, xid, nsubxacts, subxacts, lsn, 1);
}

/* Committed children join in the order of capture, aborted ones do not. */
static void
test_subtransactions(void)
{
	HceAssembler *assembler = new_assembler(1024 * 1024);
	TransactionId mixed[] = {100, 101, 102, 100};
	TransactionId later[] = {101, 103};
	TransactionId children[] = {101, 103};
	HceCommitted *committed;

	add_record(assembler, 1000, 4, mixed, 2);
	add_record(assembler, 2000, 2, later, 3);
	hce_assembler_abort(assembler, 102, 0, NULL);
	CHECK(hce_assembler_first_lsn(assembler) == 1000);
	committed = commit(assembler, 100, 2, children, 3000);
	CHECK(committed != NULL);
	CHECK(committed->nevents == 2 + 2 + 2 + 3 + 3);
	CHECK(committed->nsegments == 5);
	for (uint32 i = 1; i < committed->nsegments; i++)
	{
		HceSegment *before = &committed->segments[i - 1];
		HceSegment *segment = &committed->segments[i];

		CHECK(before->record->lsn < segment->record->lsn ||
			  (before->record == segment->record &&
			   before->number < segment->number));
	}
	CHECK(committed->segments[2].number == 3);
	CHECK(committed->first_lsn == 1000);
	CHECK(!hce_assembler_has_open(assembler));
}

/* Commit order is the order of what comes out, not that of the beginnings. */
static void
test_order(void)
{
	HceAssembler *assembler = new_assembler(1024 * 1024);
	TransactionId first = 200;
	TransactionId second = 201;

	add_record(assembler, 1000, 1, &first, 1);
	add_record(assembler, 2000, 1, &second, 1);
	CHECK(commit(assembler, 201, 0, NULL, 3000) != NULL);
	CHECK(commit(assembler, 200, 0, NULL, 4000) != NULL);
	CHECK(commit(assembler, 202, 0, NULL, 5000) == NULL);
	CHECK(hce_assembler_head(assembler)->xid == 201);
	CHECK(hce_assembler_first_lsn(assembler) == 1000);
	hce_assembler_pop(assembler);
	CHECK(hce_assembler_head(assembler)->xid == 200);
	CHECK(hce_assembler_first_lsn(assembler) == 1000);
	hce_assembler_pop(assembler);
	CHECK(hce_assembler_head(assembler) == NULL);
	CHECK(XLogRecPtrIsInvalid(hce_assembler_first_lsn(assembler)));
}

/*
 * The server restarts: what was open is gone, also for one who gets the same
 * id; what was prepared, with its children, is not.
 */
static void
test_restart(void)
{
	HceAssembler *assembler = new_assembler(1024 * 1024);
	TransactionId lost[] = {300, 301};
	TransactionId prepared[] = {302, 303};
	TransactionId child = 303;
	TransactionId reused = 301;
	HceCommitted *committed;

	add_record(assembler, 1000, 2, lost, 5);
	add_record(assembler, 2000, 2, prepared, 7);
	hce_assembler_prepare(assembler, 302, 1, &child);
	hce_assembler_server_restarted(assembler);
	CHECK(hce_assembler_first_lsn(assembler) == 2000);
	add_record(assembler, 3000, 1, &reused, 1);
	committed = commit(assembler, 301, 0, NULL, 4000);
	CHECK(committed != NULL && committed->nevents == 1);
	CHECK(commit(assembler, 300, 0, NULL, 5000) == NULL);
	committed = commit(assembler, 302, 1, &child, 6000);
	CHECK(committed != NULL && committed->nevents == 14);
}

/* Beyond the limit open transactions keep places only, and all events. */
static void
test_memory(void)
{
	HceAssembler *assembler = new_assembler(8 * 1024);
	TransactionId large = 400;
	HceCommitted *committed;

	for (int i = 0; i < 100; i++)
		add_record(assembler, 1000 + i * 100, 1, &large, 100);
	committed = commit(assembler, 400, 0, NULL, 20000);
	CHECK(committed != NULL && committed->nevents == 10000);
	CHECK(committed->bytes <= 8 * 1024);
	for (uint32 i = 0; i < committed->nsegments; i++)
		CHECK(committed->segments[i].record->lsn == 1000 + i * 100);
}

static bool
visible_below(TransactionId xid, void *limit)
{
	return xid < *(TransactionId *) limit;
}

/* Nothing counts as visible behind one that is not. */
static void
test_visible(void)
{
	HceAssembler *assembler = new_assembler(1024 * 1024);
	TransactionId xids[] = {500, 502, 501};
	TransactionId limit = 502;

	for (int i = 0; i < 3; i++)
	{
		add_record(assembler, 1000 + i, 1, &xids[i], 1);
		CHECK(commit(assembler, xids[i], 0, NULL, 2000 + i) != NULL);
		CHECK(!hce_assembler_all_visible(assembler));
	}
	CHECK(!hce_assembler_mark_visible(assembler, visible_below, &limit));
	CHECK(hce_assembler_head(assembler)->visible);
	hce_assembler_pop(assembler);
	CHECK(!hce_assembler_head(assembler)->visible);
	limit = 503;
	CHECK(hce_assembler_mark_visible(assembler, visible_below, &limit));
	CHECK(hce_assembler_head(assembler)->visible);
	CHECK(hce_assembler_all_visible(assembler));
}

Datum
hce_test_assembler(PG_FUNCTION_ARGS)
{
	test_subtransactions();
	test_order();
	test_restart();
	test_memory();
	test_visible();
	PG_RETURN_TEXT_P(cstring_to_text("ok"));
}
