/*
 * Arguments of an emit() trigger of any text: taken apart or refused with an
 * error, and what is taken has the form that the rest relies on.
 *
 * The input is cut into arguments at line ends.
 */
#include "postgres.h"

#include "capture/spec.h"
#include "utils/memutils.h"

#include "fuzz.h"

#define MOST_ARGUMENTS	16

static void
check_event_type(const char *event_type)
{
	Size		resource = strspn(event_type, "abcdefghijklmnopqrstuvwxyz0123456789_");

	MUST(resource > 0 && event_type[resource] == '.');
	MUST(event_type[resource + 1] != '\0');
	MUST(strlen(event_type) <= HCE_MAX_EVENT_TYPE);
}

static void
check_names(List *names)
{
	ListCell   *cell;

	foreach(cell, names)
		MUST(lfirst(cell) != NULL);
}

static void
check(const HceSpecArgs *args)
{
	ListCell   *cell;

	MUST(args->resource != NULL && args->resource[0] != '\0');
	MUST((args->always == NULL) ||
		 (args->on_insert == NULL && args->on_update == NULL &&
		  args->on_delete == NULL && args->transitions == NIL));
	if (args->always != NULL)
		check_event_type(args->always);
	else
		MUST(strlen(args->resource) <= HCE_MAX_RESOURCE);
	if (args->on_insert != NULL)
		check_event_type(hce_spec_args_event_type(args, args->on_insert));
	foreach(cell, args->transitions)
		check_event_type(hce_spec_args_event_type(args,
												  ((HceTransitionArg *) lfirst(cell))->event));
	check_names(args->columns);
	check_names(args->key);
}

/* In a function of its own: a jump must not find changed local variables. */
static void
parse(int nargs, char **args)
{
	STUB_TRY()
	{
		check(hce_spec_args_parse(nargs, args));
	}
	else
		MUST(stub_message[0] != '\0');
	STUB_END();
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	MemoryContext context = stub_context_create();
	MemoryContext old = MemoryContextSwitchTo(context);
	char	   *str = pnstrdup((const char *) data, size);
	char	   *args[MOST_ARGUMENTS];
	int			nargs = 0;

	/* each in memory of just its length */
	for (char *arg = strtok(str, "\n"); arg != NULL && nargs < MOST_ARGUMENTS;
		 arg = strtok(NULL, "\n"))
		args[nargs++] = pstrdup(arg);
	parse(nargs, args);
	MemoryContextSwitchTo(old);
	stub_context_delete(context);
	return 0;
}
