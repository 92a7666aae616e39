/*-------------------------------------------------------------------------
 *
 * statement.h
 *		Statements on the tables of the relay, and what they return.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_STATEMENT_H
#define HCE_STATEMENT_H

#include "executor/spi.h"

#include "event/bytes.h"

#define HCE_STATEMENT_PARAMETERS 17

/* A statement that is prepared at its first use and kept for the process. */
typedef struct HceStatement
{
	const char *sql;
	SPIPlanPtr	plan;			/* NULL until the first use */
	int			nargs;
	Oid			types[HCE_STATEMENT_PARAMETERS];
} HceStatement;

extern void hce_statement_run(HceStatement *statement, Datum *values,
							  const char *nulls);
extern void hce_statement_query(const char *sql, int expected);
extern Datum hce_result(uint64 row, int number, bool *isnull);
extern Datum hce_text_datum(const char *data, size_t len);
extern HceSlice hce_text_slice(Datum datum);
extern char *hce_text_string(Datum datum);

#endif							/* HCE_STATEMENT_H */
