/*-------------------------------------------------------------------------
 *
 * stub_wal.c
 *		The transaction manager and the WAL, as capture/buffer.c sees them.
 *
 * access/xloginsert.h is not included: the types of XLogRegisterData()'s
 * arguments differ between versions of PostgreSQL, their sizes do not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "replication/message.h"

#include "stubs.h"

extern void XLogBeginInsert(void);
extern void XLogRegisterData(const void *data, uint32 len);
extern void XLogSetRecordFlags(uint8 flags);
extern XLogRecPtr XLogInsert(RmgrId rmid, uint8 info);

StubTransaction stub_transaction;
Oid			MyDatabaseId = 5;

static char *wal_record = NULL;
static Size wal_used = 0;

TransactionId
GetCurrentTransactionId(void)
{
	return stub_transaction.xid();
}

SubTransactionId
GetCurrentSubTransactionId(void)
{
	return stub_transaction.subid();
}

TransactionId
SubTransGetParent(TransactionId xid)
{
	return stub_transaction.parent(xid);
}

void
XLogBeginInsert(void)
{
	wal_used = 0;
}

void
XLogRegisterData(const void *data, uint32 len)
{
	wal_record = realloc(wal_record, wal_used + len);
	memcpy(wal_record + wal_used, data, len);
	wal_used += len;
}

void
XLogSetRecordFlags(uint8 flags)
{
}

/* Hands over what hce_assembler_add() takes: what is behind the prefix. */
XLogRecPtr
XLogInsert(RmgrId rmid, uint8 info)
{
	xl_logical_message *message = (xl_logical_message *) wal_record;
	Size		head = SizeOfLogicalMessage + message->prefix_size;

	Assert(message->message_size == wal_used - head);
	stub_transaction.insert(wal_record + head, wal_used - head);
	free(wal_record);
	wal_record = NULL;
	return InvalidXLogRecPtr;
}
