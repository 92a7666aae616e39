/*-------------------------------------------------------------------------
 *
 * wal_reader.h
 *		Reading WAL records up to the flush pointer, without ever waiting.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_WAL_READER_H
#define HCE_WAL_READER_H

#include "access/xlogreader.h"

typedef struct HceWalReader HceWalReader;

extern HceWalReader *hce_wal_reader_create(MemoryContext context);
extern void hce_wal_reader_seek(HceWalReader *reader, XLogRecPtr lsn);
extern XLogRecPtr hce_wal_reader_find(HceWalReader *reader, XLogRecPtr lsn);
extern XLogRecPtr hce_wal_reader_kept(XLogRecPtr lsn);
extern XLogReaderState *hce_wal_reader_next(HceWalReader *reader);
extern XLogRecPtr hce_wal_reader_refresh(HceWalReader *reader);
extern XLogRecPtr hce_wal_reader_last(const HceWalReader *reader);
extern XLogRecPtr hce_wal_reader_end(const HceWalReader *reader);

#endif							/* HCE_WAL_READER_H */
