/*-------------------------------------------------------------------------
 *
 * assembler.h
 *		From journal records to committed transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_ASSEMBLER_H
#define HCE_ASSEMBLER_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "event/journal_record.h"

typedef struct HceAssembler HceAssembler;

/* One journal record, kept while a transaction refers to it. */
typedef struct HceRecord
{
	XLogRecPtr	lsn;
	int			references;
	uint32		len;
	char	   *data;			/* NULL: to be read from the WAL again */
	int			nskeletons;
	void	   *skeletons[FLEXIBLE_ARRAY_MEMBER];	/* see HceResolve */
} HceRecord;

/* Consecutive segments of a record that belong to one (sub)transaction. */
typedef struct HceSegment
{
	HceRecord  *record;
	uint32		number;			/* of the first one in its record */
	uint32		span;			/* how many they are */
	uint32		nevents;		/* in all of them */
	TransactionId copied_as;	/* when the WAL need not keep the record: the
								 * (sub)transaction it was copied for */
	uint32	   *counts;			/* events per skeleton of the record; NULL
								 * when it has one skeleton only */
} HceSegment;

/* What the owner of the assembler knows a skeleton by. */
typedef void *(*HceResolve) (HceSlice skeleton, void *arg);

/*
 * Copies what "xid" has in a record; "prepared" tells whether PREPARE
 * TRANSACTION of it was read.  Returns whether more is to be copied now.
 */
typedef bool (*HceCopy) (const HceRecord *record, TransactionId xid,
						 bool prepared, void *arg);

/* A committed transaction that captured events, in commit order. */
typedef struct HceCommitted
{
	slist_node	node;
	TransactionId xid;			/* top-level */
	XLogRecPtr	commit_lsn;
	TimestampTz commit_time;
	XLogRecPtr	first_lsn;		/* of the WAL it needs, copies left out */
	uint64		nevents;
	Size		bytes;			/* of record data held */
	bool		visible;		/* to every new snapshot */
	uint32		nsegments;
	HceSegment *segments;		/* in the order of capture */
} HceCommitted;

extern HceAssembler *hce_assembler_create(MemoryContext context,
										  Size memory_limit,
										  HceResolve resolve, void *arg);
extern bool hce_assembler_add(HceAssembler *assembler, XLogRecPtr lsn,
							  const char *data, uint32 len);
extern bool hce_assembler_restore(HceAssembler *assembler, XLogRecPtr lsn,
								  const char *data, uint32 len,
								  TransactionId xid, bool prepared);
extern bool hce_assembler_copy_open(HceAssembler *assembler,
									XLogRecPtr before, HceCopy copy,
									void *arg);
extern HceCommitted *hce_assembler_commit(HceAssembler *assembler,
										  TransactionId xid, int nsubxacts,
										  const TransactionId *subxacts,
										  XLogRecPtr commit_lsn,
										  TimestampTz commit_time);
extern void hce_assembler_abort(HceAssembler *assembler, TransactionId xid,
								int nsubxacts, const TransactionId *subxacts);
extern void hce_assembler_prepare(HceAssembler *assembler, TransactionId xid,
								  int nsubxacts,
								  const TransactionId *subxacts);
extern void hce_assembler_server_restarted(HceAssembler *assembler);
extern HceCommitted *hce_assembler_head(HceAssembler *assembler);
extern void hce_assembler_pop(HceAssembler *assembler);
extern void hce_assembler_release_segment(HceAssembler *assembler,
										  HceCommitted *committed,
										  uint32 segment);
extern XLogRecPtr hce_assembler_first_open(HceAssembler *assembler);
extern XLogRecPtr hce_assembler_first_lsn(HceAssembler *assembler);
extern bool hce_assembler_full(const HceAssembler *assembler);
extern uint64 hce_assembler_committed_events(const HceAssembler *assembler);
extern bool hce_assembler_has_open(const HceAssembler *assembler);
extern bool hce_assembler_mark_visible(HceAssembler *assembler,
									   bool (*visible) (TransactionId, void *),
									   void *arg);
extern bool hce_assembler_all_visible(const HceAssembler *assembler);
extern XLogRecPtr hce_assembler_unseen_lsn(const HceAssembler *assembler);

#endif							/* HCE_ASSEMBLER_H */
