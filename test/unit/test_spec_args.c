/*
 * capture/spec_args.c: trigger arguments, good ones and bad ones.
 */
#include "postgres.h"

#include "capture/spec.h"
#include "utils/memutils.h"

#include "unit.h"

static const char *
nth(List *list, int i)
{
	return i < list_length(list) ? list_nth(list, i) : "(none)";
}

#define CHECK_STR(is, should) \
	CHECK((is) != NULL && strcmp(is, should) == 0)

static void
what_attach_writes(void)
{
	char	   *args[] = {"resource=patient", "insert=created",
		"update=updated", "delete=deleted", "columns={name,full_name:fname}",
	"key={id}", "transitions=status>cancelled>cancelled"};
	HceSpecArgs *parsed = hce_spec_args_parse(lengthof(args), args);
	HceTransitionArg *transition;

	CHECK_STR(parsed->resource, "patient");
	CHECK(parsed->always == NULL);
	CHECK_STR(parsed->on_insert, "created");
	CHECK_STR(parsed->on_update, "updated");
	CHECK_STR(parsed->on_delete, "deleted");
	CHECK_INT(list_length(parsed->columns), 2);
	CHECK_STR(nth(parsed->columns, 1), "full_name:fname");
	CHECK_STR(nth(parsed->key, 0), "id");
	CHECK_INT(list_length(parsed->transitions), 1);
	transition = list_nth(parsed->transitions, 0);
	CHECK_STR(transition->to, "cancelled");
	CHECK_STR(hce_spec_args_event_type(parsed, "created"), "patient.created");

	/* the caller's arguments stay as they were */
	CHECK_STR(args[4], "columns={name,full_name:fname}");
}

static void
written_by_hand(void)
{
	char	   *args[] = {"lab_result.final", "key=id", "columns= name , e mail,x"};
	HceSpecArgs *parsed = hce_spec_args_parse(lengthof(args), args);

	CHECK_STR(parsed->always, "lab_result.final");
	CHECK_STR(parsed->resource, "lab_result");
	CHECK_INT(list_length(parsed->columns), 3);
	CHECK_STR(nth(parsed->columns, 0), "name");
	CHECK_STR(nth(parsed->columns, 1), "e mail");
	CHECK_STR(nth(parsed->columns, 2), "x");
	parsed = hce_spec_args_parse(1, args);
	CHECK(parsed->columns == NIL && parsed->key == NIL);
}

static void
lists_of_columns(void)
{
	CHECK(hce_spec_args_list("") == NIL);
	CHECK(hce_spec_args_list("  \t") == NIL);
	CHECK(hce_spec_args_list(" {}") == NIL);
	CHECK_INT(list_length(hce_spec_args_list("a,b,c,d,e,f,g")), 7);
	/* a comma at the end is let pass: nothing follows it */
	CHECK_INT(list_length(hce_spec_args_list("a,")), 1);
}

/* True if these arguments raise an error that has this in it. */
static bool
refused(int nargs, char **args, const char *why)
{
	bool		caught = false;

	{
		STUB_TRY()
		{
			(void) hce_spec_args_parse(nargs, args);
		}
		else
			caught = strstr(stub_message, why) != NULL;
		STUB_END();
	}
	return caught;
}

static void
bad_arguments(void)
{
	static const struct
	{
		const char *args[3];
		const char *why;
	}			cases[] = {
		{{NULL}, "needs an event type"},
		{{"key=id"}, "needs an event type"},
		{{"patient"}, "invalid event type"},
		{{""}, "invalid event type"},
		{{"."}, "invalid event type"},
		{{"patient."}, "invalid event type"},
		{{".created"}, "invalid event type"},
		{{"patient.created.now"}, "invalid event type"},
		{{"Patient.created"}, "invalid event type"},
		{{"patient.created", "insert=x"}, "cannot be combined"},
		{{"patient.created", "transitions=a>b>c"}, "cannot be combined"},
		{{"patient.created", "colums=a"}, "unknown argument"},
		{{"patient.created", "patient.updated"}, "unknown argument"},
		{{"resource="}, "invalid resource"},
		{{"resource=a b"}, "invalid resource"},
		{{"resource=patient", "insert="}, "invalid event type"},
		{{"resource=patient", "insert=a.b"}, "invalid event type"},
		{{"resource=patient", "transitions=a>b>C"}, "invalid event type"},
		{{"patient.created", "columns=a,,b"}, "empty name"},
		{{"patient.created", "columns=,"}, "empty name"},
		{{"patient.created", "key= ,a"}, "empty name"},
		{{"patient.created", "columns={a"}, "malformed array"},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		int			nargs = 0;

		while (nargs < 3 && cases[i].args[nargs] != NULL)
			nargs++;
		if (!refused(nargs, unconstify(char **, (const char **) cases[i].args),
					 cases[i].why))
			unit_fail(__FILE__, __LINE__, "case %d: \"%s\" expected, got \"%s\"",
					  i, cases[i].why, stub_message);
	}
}

/* The longest names that are allowed, and one character more. */
static void
longest_names(void)
{
	char		type[HCE_MAX_EVENT_TYPE + 2];
	char		option[9 + HCE_MAX_RESOURCE + 2];
	char	   *arg = type;

	memset(type, 'a', sizeof(type));
	type[10] = '.';
	type[HCE_MAX_EVENT_TYPE] = '\0';
	CHECK(hce_spec_args_parse(1, &arg) != NULL);
	type[HCE_MAX_EVENT_TYPE] = 'a';
	type[HCE_MAX_EVENT_TYPE + 1] = '\0';
	CHECK(refused(1, &arg, "too long"));

	arg = option;
	memset(option, 'a', sizeof(option));
	memcpy(option, "resource=", 9);
	option[9 + HCE_MAX_RESOURCE] = '\0';
	CHECK(hce_spec_args_parse(1, &arg) != NULL);
	option[9 + HCE_MAX_RESOURCE] = 'a';
	option[9 + HCE_MAX_RESOURCE + 1] = '\0';
	CHECK(refused(1, &arg, "too long"));
}

const UnitTest spec_args_tests[] = {
	{"trigger arguments: what attach writes", what_attach_writes},
	{"trigger arguments: written by hand", written_by_hand},
	{"trigger arguments: lists of columns", lists_of_columns},
	{"trigger arguments: bad ones", bad_arguments},
	{"trigger arguments: longest names", longest_names},
	{NULL, NULL}
};
