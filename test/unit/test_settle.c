/*
 * relay/settle.c against an array that is searched from its start.
 */
#include "postgres.h"

#include "relay/settle.h"
#include "utils/memutils.h"

#include "unit.h"

#define MOST	20000

typedef struct Model
{
	HceInFlight event;
	XLogRecPtr	first_lsn;
	bool		settled;
} Model;

static void
count_visited(HceInFlight *event, void *arg)
{
	(*(uint64 *) arg)++;
	CHECK_INT(event->settled, HCE_UNSETTLED);
}

/* Compare all that can be asked with the model's events from "oldest" on. */
static void
compare(HceSettle *settle, const Model *model, uint64 oldest, uint64 next,
		uint64 unsettled)
{
	XLogRecPtr	first = InvalidXLogRecPtr;
	uint64		visited = 0;
	HceInFlight *event = hce_settle_oldest(settle);

	CHECK_INT(hce_settle_count(settle), next - oldest);
	CHECK_INT(hce_settle_next(settle), next);
	CHECK((event == NULL) == (oldest == next));
	if (event != NULL)
		CHECK_INT(event->position.index, model[oldest].event.position.index);
	for (uint64 n = oldest; n < next; n++)
	{
		if (first == InvalidXLogRecPtr || model[n].first_lsn < first)
			first = model[n].first_lsn;
	}
	CHECK_INT(hce_settle_first_lsn(settle), first);
	hce_settle_visit_oldest(settle, count_visited, &visited);
	CHECK_INT(visited, unsettled);
}

/*
 * Events are acknowledged in any order, transactions overlap, and only the
 * contiguous prefix may be popped.
 */
static void
any_order_of_acknowledgement(void)
{
	for (int round = 0; round < unit_rounds(20) && !unit_failed(); round++)
	{
		MemoryContext context = stub_context_create();
		HceSettle  *settle = hce_settle_create(context);
		Model	   *model = palloc0(MOST * sizeof(Model));
		uint64		oldest = 0;
		uint64		next = 0;
		uint64		unsettled = 0;
		XLogRecPtr	lsn = 1000000;
		int			add_weight = 20 + (int) unit_below(60);

		while (next < MOST && !unit_failed())
		{
			if (unit_chance(add_weight))
			{
				XLogRecPtr	first_lsn = lsn - unit_below(100000);
				int			count = 1 + (int) unit_below(unit_chance(5) ? 300 : 5);

				hce_settle_begin(settle, first_lsn);
				lsn += 100;
				for (int i = 0; i < count && next < MOST; i++)
				{
					HceInFlight event = {{lsn, (uint32) next}};

					event.settled = HCE_UNSETTLED;
					model[next].event = event;
					model[next].first_lsn = first_lsn;
					CHECK_INT(hce_settle_add(settle, &event), next);
					next++;
					unsettled++;
				}
			}
			/* acknowledge a run of those in flight, from any place */
			for (int i = (int) unit_below(60); i > 0 && unsettled > 0; i--)
			{
				uint64		n = oldest + unit_below(unit_chance(50) ? Min(next - oldest, 4) : next - oldest);

				if (model[n].settled)
					continue;
				model[n].settled = true;
				unsettled--;
				hce_settle_done(settle, n, unit_chance(95) ? HCE_DELIVERED : HCE_DEAD);
			}
			if (unit_chance(70))
			{
				HceInFlight *event;

				while ((event = hce_settle_pop(settle)) != NULL)
				{
					CHECK(oldest < next && model[oldest].settled);
					CHECK_INT(event->position.index, model[oldest].event.position.index);
					oldest++;
				}
				CHECK(oldest == next || !model[oldest].settled);
			}
			if (unit_chance(5))
				compare(settle, model, oldest, next, unsettled);
		}
		compare(settle, model, oldest, next, unsettled);
		pfree(model);
		stub_context_delete(context);
	}
}

/* What is settled out of order stays until all before it are. */
static void
nothing_before_the_prefix(void)
{
	MemoryContext context = stub_context_create();
	HceSettle  *settle = hce_settle_create(context);
	HceInFlight event = {{100, 0}};

	hce_settle_begin(settle, 50);
	for (int i = 0; i < 3; i++)
		hce_settle_add(settle, &event);
	hce_settle_done(settle, 2, HCE_DELIVERED);
	hce_settle_done(settle, 1, HCE_DELIVERED);
	CHECK(hce_settle_pop(settle) == NULL);
	CHECK_INT(hce_settle_first_lsn(settle), 50);
	hce_settle_done(settle, 0, HCE_DEAD);
	for (int i = 0; i < 3; i++)
		CHECK(hce_settle_pop(settle) != NULL);
	CHECK(hce_settle_pop(settle) == NULL);
	CHECK_INT(hce_settle_first_lsn(settle), InvalidXLogRecPtr);

	/* a transaction that is being sent goes on */
	hce_settle_add(settle, &event);
	CHECK_INT(hce_settle_first_lsn(settle), 50);
	stub_context_delete(context);
}

const UnitTest settle_tests[] = {
	{"settle: any order of acknowledgement", any_order_of_acknowledgement},
	{"settle: nothing before the prefix", nothing_before_the_prefix},
	{NULL, NULL}
};
