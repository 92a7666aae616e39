/*-------------------------------------------------------------------------
 *
 * assembler_copies.c
 *		Open transactions that need their WAL no more.
 *
 * A transaction that stays open does not hold the WAL for ever: its owner may
 * copy what it has captured to another place, and the assembler notes that
 * the record is to be found there.  Copied is by (sub)transaction, so that a
 * savepoint rolled back later takes its copies along and no others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"

#include "relay/assembler_internal.h"

/*
 * Take in a copy of what "xid" has in the record at "lsn", as it was made by
 * hce_journal_cut(), in a new life; copies come before what is read from the
 * WAL.  Returns false if it is malformed.
 */
bool
hce_assembler_restore(HceAssembler *assembler, XLogRecPtr lsn,
					  const char *data, uint32 len, TransactionId xid,
					  bool prepared)
{
	OpenTransaction *entry;

	if (!hce_assembler_add(assembler, lsn, data, len))
		return false;
	entry = hash_search(assembler->open, &xid, HASH_FIND, NULL);
	if (entry == NULL)
		return false;
	entry->prepared = prepared;
	while (entry->ncopied < entry->nsegments)
		entry->segments[entry->ncopied++].copied_as = xid;
	return true;
}

/* Copy the next record of an open transaction; returns what "copy" does. */
static bool
copy_next(OpenTransaction *entry, HceCopy copy, void *arg)
{
	const HceRecord *record = entry->segments[entry->ncopied].record;

	while (entry->ncopied < entry->nsegments &&
		   entry->segments[entry->ncopied].record == record)
		entry->segments[entry->ncopied++].copied_as = entry->xid;
	return copy(record, entry->xid, entry->prepared, arg);
}

/*
 * Have the records of open transactions copied that begin before "before" and
 * were not copied so far.  From then on they need no WAL.  Returns false when
 * "copy" wanted to stop; the next call goes on there.
 */
bool
hce_assembler_copy_open(HceAssembler *assembler, XLogRecPtr before,
						HceCopy copy, void *arg)
{
	HASH_SEQ_STATUS scan;
	OpenTransaction *entry;

	hash_seq_init(&scan, assembler->open);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		while (entry->ncopied < entry->nsegments &&
			   entry->segments[entry->ncopied].record->lsn < before)
		{
			if (copy_next(entry, copy, arg))
				continue;
			hash_seq_term(&scan);
			return false;
		}
	}
	return true;
}

/*
 * The start of the oldest journal record that an open transaction needs and
 * that was not copied; InvalidXLogRecPtr if there is none.
 */
XLogRecPtr
hce_assembler_first_open(HceAssembler *assembler)
{
	XLogRecPtr	first = InvalidXLogRecPtr;
	HASH_SEQ_STATUS scan;
	OpenTransaction *entry;

	hash_seq_init(&scan, assembler->open);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		XLogRecPtr	lsn;

		if (entry->ncopied == entry->nsegments)
			continue;
		lsn = entry->segments[entry->ncopied].record->lsn;
		if (XLogRecPtrIsInvalid(first) || lsn < first)
			first = lsn;
	}
	return first;
}
