/*-------------------------------------------------------------------------
 *
 * statement.c
 *		Statements on the tables of the relay, and what they return.
 *
 * What position.c and the files of parking share: plans that are kept, columns
 * of a result, and texts, which are UTF-8 in the journal and the database's
 * encoding in its tables.  All of it inside a transaction that was begun by
 * hce_position_begin().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "relay/statement.h"

/* Run a statement; "nulls" as in SPI, NULL when no value is. */
void
hce_statement_run(HceStatement *statement, Datum *values, const char *nulls)
{
	int			result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->nargs,
									   statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	result = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql,
			 SPI_result_code_string(result));
}

/* Run one that is not kept.  Not read-only: its transaction's writes count. */
void
hce_statement_query(const char *sql, int expected)
{
	if (SPI_execute(sql, false, 0) != expected)
		elog(ERROR, "could not execute \"%s\"", sql);
}

/* A column, numbered from 1, of a row, from 0; "isnull" may be NULL. */
Datum
hce_result(uint64 row, int number, bool *isnull)
{
	bool		unused;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number,
						 isnull != NULL ? isnull : &unused);
}

/* Text of the journal, which is UTF-8, as a datum. */
Datum
hce_text_datum(const char *data, size_t len)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8 || len == 0)
		return PointerGetDatum(cstring_to_text_with_len(data, (int) len));
	converted = pg_any_to_server(data, (int) len, PG_UTF8);
	if (converted == data)
		return PointerGetDatum(cstring_to_text_with_len(data, (int) len));
	return CStringGetTextDatum(converted);
}

/* And back, in the current memory context. */
HceSlice
hce_text_slice(Datum datum)
{
	text	   *value = DatumGetTextPP(datum);
	HceSlice	slice = {VARDATA_ANY(value), (uint32) VARSIZE_ANY_EXHDR(value)};
	char	   *copy;

	if (GetDatabaseEncoding() != PG_UTF8 && slice.len > 0)
	{
		char	   *converted = pg_server_to_any(slice.data, (int) slice.len, PG_UTF8);

		if (converted != slice.data)
			return (HceSlice) {converted, (uint32) strlen(converted)};
	}
	/* the tuple goes with the transaction */
	copy = palloc(slice.len + 1);
	memcpy(copy, slice.data, slice.len);
	copy[slice.len] = '\0';
	slice.data = copy;
	return slice;
}

/* The same as a C string. */
char *
hce_text_string(Datum datum)
{
	return unconstify(char *, hce_text_slice(datum).data);
}
