/*-------------------------------------------------------------------------
 *
 * main.c
 *		Runs the unit tests: all, or those named.
 *
 *		unit [NAME]...
 *
 * HCE_UNIT_SEED gives the seed of the random ones (default 1), and
 * HCE_UNIT_SCALE multiplies their rounds by so many percent (default 100).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "unit.h"

static const UnitTest *const suites[] = {
	bytes_tests, event_id_tests, event_text_tests, histogram_tests,
	journal_tests, json_text_tests, settle_tests, spec_args_tests,
	transactions_tests,
};

static uint64 seed = 1;
static uint64 random_state;
static const char *current;
static bool failed;

uint64
unit_random(void)
{
	uint64		x = (random_state += UINT64CONST(0x9e3779b97f4a7c15));

	x = (x ^ (x >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64
unit_below(uint64 limit)
{
	return unit_random() % limit;
}

bool
unit_chance(int percent)
{
	return unit_below(100) < (uint64) percent;
}

int
unit_rounds(int rounds)
{
	const char *scale = getenv("HCE_UNIT_SCALE");

	return scale == NULL ? rounds : Max(1, rounds * atoi(scale) / 100);
}

bool
unit_failed(void)
{
	return failed;
}

void
unit_fail(const char *file, int line, const char *format,...)
{
	va_list		args;

	if (failed)
		return;
	failed = true;
	fprintf(stderr, "%s: %s:%d: ", current, file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (HCE_UNIT_SEED=" UINT64_FORMAT ")\n", seed);
}

static bool
selected(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], name) == 0)
			return true;
	}
	return argc == 1;
}

/* Each test has the current memory context for itself. */
static void
run_test(const UnitTest *test)
{
	MemoryContext context = stub_context_create();
	MemoryContext old = MemoryContextSwitchTo(context);

	current = test->name;
	failed = false;
	random_state = seed;
	for (const char *p = test->name; *p; p++)
		random_state = random_state * 31 + (unsigned char) *p;
	test->run();
	MemoryContextSwitchTo(old);
	stub_context_delete(context);
	printf("%s %s\n", failed ? "not ok" : "ok", test->name);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	int			npassed = 0;
	int			nfailed = 0;

	if (getenv("HCE_UNIT_SEED") != NULL)
		seed = strtoull(getenv("HCE_UNIT_SEED"), NULL, 10);
	for (int s = 0; s < (int) lengthof(suites); s++)
	{
		for (const UnitTest *test = suites[s]; test->name != NULL; test++)
		{
			if (!selected(test->name, argc, argv))
				continue;
			run_test(test);
			npassed += failed ? 0 : 1;
			nfailed += failed ? 1 : 0;
		}
	}
	stub_context_reset(TopMemoryContext);
	printf("%d passed, %d failed\n", npassed, nfailed);
	return nfailed == 0 && npassed > 0 ? 0 : 1;
}
