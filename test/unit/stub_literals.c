/*
 * Stand-ins for capture/spec_literals.c, whose parsers are the server's.
 * An array is its text without braces, cut at commas; transitions are
 * "column>to>event" with semicolons between.
 */
#include "postgres.h"

#include "capture/spec.h"

static List *
cut(const char *str, const char *separator)
{
	List	   *list = NIL;

	for (;;)
	{
		Size		len = strcspn(str, separator);

		list = lappend(list, pnstrdup(str, len));
		if (str[len] == '\0')
			return list;
		str += len + 1;
	}
}

List *
hce_spec_args_array(const char *str)
{
	Size		len = strlen(str);

	if (len < 2 || str[len - 1] != '}')
		elog(ERROR, "malformed array literal");
	return len == 2 ? NIL : cut(pnstrdup(str + 1, len - 2), ",");
}

List *
hce_spec_args_transitions(const char *str)
{
	List	   *list = NIL;
	ListCell   *cell;

	foreach(cell, cut(str, ";"))
	{
		List	   *parts = cut(lfirst(cell), ">");
		HceTransitionArg *transition = palloc0(sizeof(HceTransitionArg));

		if (list_length(parts) != 3)
			elog(ERROR, "malformed transition");
		transition->column = list_nth(parts, 0);
		transition->to = list_nth(parts, 1);
		transition->event = list_nth(parts, 2);
		list = lappend(list, transition);
	}
	return list;
}
