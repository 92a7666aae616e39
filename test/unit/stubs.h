/*-------------------------------------------------------------------------
 *
 * stubs.h
 *		What stands in for the server when pure modules run without one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_TEST_STUBS_H
#define HCE_TEST_STUBS_H

#include <setjmp.h>

#include "nodes/pg_list.h"

/* Memory: each palloc is a malloc of its own, listed in its context. */
extern MemoryContext stub_context_create(void);
extern void stub_context_reset(MemoryContext context);
extern void stub_context_delete(MemoryContext context);
extern size_t stub_context_chunks(MemoryContext context);

/*
 * Errors: an ereport(ERROR) jumps to stub_catch if that is set, and ends the
 * program otherwise.
 *
 *		if (STUB_TRY()) ... else (an error; stub_message says which)
 *		STUB_END();
 */
extern sigjmp_buf *stub_catch;
extern char stub_message[1024];
extern int	stub_warnings;

#define STUB_TRY() \
	sigjmp_buf	stub_jump_; \
	stub_catch = &stub_jump_; \
	if (sigsetjmp(stub_jump_, 0) == 0)
#define STUB_END()	(stub_catch = NULL)

/* The database's encoding. */
extern int	stub_encoding;
extern const char *stub_encoding_name(int encoding);

/* What buffer.c asks of the transaction manager, and what it writes. */
typedef struct StubTransaction
{
	TransactionId (*xid) (void);
	SubTransactionId (*subid) (void);
	TransactionId (*parent) (TransactionId xid);
	void		(*insert) (const char *data, Size len);
} StubTransaction;

extern StubTransaction stub_transaction;

#endif							/* HCE_TEST_STUBS_H */
