/*-------------------------------------------------------------------------
 *
 * kept.h
 *		The current transaction's events, kept for who tests an application.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_KEPT_H
#define HCE_KEPT_H

#include "event/event_id.h"
#include "event/journal_record.h"

extern void hce_kept_add(HceSlice skeleton, const HceJournalEvent *event,
						 const unsigned char *id);
extern void hce_kept_abort_sub(SubTransactionId subid);
extern void hce_kept_commit_sub(SubTransactionId subid,
								SubTransactionId parent);
extern void hce_kept_forget(void);
extern int	hce_kept_count(void);
extern void hce_kept_get(int number, HceSlice *skeleton,
						 HceJournalEvent *event, const unsigned char **id);

#endif							/* HCE_KEPT_H */
