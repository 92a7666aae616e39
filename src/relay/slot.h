/*-------------------------------------------------------------------------
 *
 * slot.h
 *		The replication slot that keeps a relay's WAL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_SLOT_H
#define HCE_SLOT_H

#include "access/xlogdefs.h"

/* A database's slot, seen from outside. */
typedef enum HceSlotState
{
	HCE_SLOT_NONE,
	HCE_SLOT_INVALID,			/* keeps no WAL any more, or none yet */
	HCE_SLOT_KEEPS
} HceSlotState;

extern XLogRecPtr hce_slot_acquire(Oid dboid, bool *created);
extern XLogRecPtr hce_slot_renew(Oid dboid);
extern void hce_slot_drop_former(Oid dboid);
extern void hce_slot_advance(XLogRecPtr restart_lsn);
extern XLogRecPtr hce_slot_restart_lsn(void);
extern bool hce_slot_in_use(Oid dboid);
extern bool hce_slot_drop_orphan(Oid dboid);
extern HceSlotState hce_slot_look(Oid dboid, XLogRecPtr *restart_lsn);
extern int	hce_slot_list(Oid *dboids, int capacity);

#endif							/* HCE_SLOT_H */
