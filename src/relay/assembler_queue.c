/*-------------------------------------------------------------------------
 *
 * assembler_queue.c
 *		Committed transactions, in the order of their commits, until they are
 *		sent.
 *
 * Committed is not yet visible: a transaction becomes visible to others after
 * its commit record is written, and with synchronous replication much later.
 * Nothing is sent before every new snapshot would see it, nor before what
 * committed earlier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "relay/assembler_internal.h"

/* Append a transaction that has committed just now. */
void
hce_assembler_push(HceAssembler *assembler, HceCommitted *committed)
{
	if (slist_is_empty(&assembler->committed))
		slist_push_head(&assembler->committed, &committed->node);
	else
		slist_insert_after(assembler->committed_tail, &committed->node);
	assembler->committed_tail = &committed->node;
	if (assembler->unseen == NULL)
		assembler->unseen = committed;
	assembler->committed_events += committed->nevents;
	assembler->committed_bytes += committed->bytes;
}

/* The oldest committed transaction, or NULL. */
HceCommitted *
hce_assembler_head(HceAssembler *assembler)
{
	if (slist_is_empty(&assembler->committed))
		return NULL;
	return slist_head_element(HceCommitted, node, &assembler->committed);
}

/* The head needs a segment's record no more. */
void
hce_assembler_release_segment(HceAssembler *assembler,
							  HceCommitted *committed, uint32 segment)
{
	assembler->committed_events -= committed->segments[segment].nevents;
	hce_assembler_free_segment(assembler, &committed->segments[segment]);
}

/* Forget the head; segments not released yet are released. */
void
hce_assembler_pop(HceAssembler *assembler)
{
	HceCommitted *committed = hce_assembler_head(assembler);

	for (uint32 i = 0; i < committed->nsegments; i++)
	{
		if (committed->segments[i].record != NULL)
			hce_assembler_release_segment(assembler, committed, i);
	}
	if (assembler->unseen == committed)
		assembler->unseen = slist_has_next(&assembler->committed, &committed->node) ?
			slist_container(HceCommitted, node, committed->node.next) : NULL;
	slist_pop_head_node(&assembler->committed);
	assembler->committed_bytes -= committed->bytes;
	pfree(committed->segments);
	pfree(committed);
}

/* Events of committed transactions that were not released yet. */
uint64
hce_assembler_committed_events(const HceAssembler *assembler)
{
	return assembler->committed_events;
}

/*
 * Ask "visible" for each committed transaction that was not visible so far,
 * oldest first, up to the first that is not yet.  Returns whether all are.
 */
bool
hce_assembler_mark_visible(HceAssembler *assembler,
						   bool (*visible) (TransactionId, void *), void *arg)
{
	while (assembler->unseen != NULL)
	{
		HceCommitted *committed = assembler->unseen;

		if (!visible(committed->xid, arg))
			return false;
		committed->visible = true;
		assembler->unseen = slist_has_next(&assembler->committed, &committed->node) ?
			slist_container(HceCommitted, node, committed->node.next) : NULL;
	}
	return true;
}

bool
hce_assembler_all_visible(const HceAssembler *assembler)
{
	return assembler->unseen == NULL;
}

/* The commit of the oldest transaction not visible yet; there must be one. */
XLogRecPtr
hce_assembler_unseen_lsn(const HceAssembler *assembler)
{
	return assembler->unseen->commit_lsn;
}
