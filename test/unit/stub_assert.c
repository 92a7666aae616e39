/*
 * A failed Assert().  Without postgres.h: the function's arguments differ
 * between versions of PostgreSQL, the first one does not.
 */
#include <stdio.h>
#include <stdlib.h>

void		ExceptionalCondition(const char *condition);

void
ExceptionalCondition(const char *condition)
{
	fprintf(stderr, "failed assertion: %s\n", condition);
	abort();
}
