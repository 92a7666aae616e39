/*-------------------------------------------------------------------------
 *
 * by_hand.h
 *		Telling the relay what DBAs did to its tables, when they commit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_BY_HAND_H
#define HCE_BY_HAND_H

extern void hce_by_hand_commit_prepared(void);

#endif							/* HCE_BY_HAND_H */
