/*-------------------------------------------------------------------------
 *
 * assembler_internal.h
 *		What the files of the assembler share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_ASSEMBLER_INTERNAL_H
#define HCE_ASSEMBLER_INTERNAL_H

#include "utils/hsearch.h"

#include "relay/assembler.h"

/* A (sub)transaction that has captured and has not ended. */
typedef struct OpenTransaction
{
	TransactionId xid;			/* hash key */
	bool		released;		/* record data was let go; keep none */
	bool		prepared;		/* PREPARE TRANSACTION has been read */
	Size		bytes;			/* of record data held for it */
	uint32		ncopied;		/* segments that were copied: the first ones */
	uint32		nsegments;
	uint32		capacity;
	HceSegment *segments;
} OpenTransaction;

struct HceAssembler
{
	MemoryContext context;
	HceResolve	resolve;
	void	   *resolve_arg;
	Size		limit;
	Size		bytes;			/* record data held, in all */
	HTAB	   *open;
	slist_head	committed;
	slist_node *committed_tail;
	HceCommitted *unseen;		/* the first that is not visible, or NULL */
	uint64		committed_events;
	Size		committed_bytes;
};

extern void hce_assembler_free_segment(HceAssembler *assembler,
									   HceSegment *segment);
extern void hce_assembler_push(HceAssembler *assembler,
							   HceCommitted *committed);

#endif							/* HCE_ASSEMBLER_INTERNAL_H */
