/*-------------------------------------------------------------------------
 *
 * alarm.h
 *		Databases for which no relay can run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_ALARM_H
#define HCE_ALARM_H

#include "stats/shared.h"

/* Why no relay runs. */
typedef enum HceNoRelay
{
	HCE_RELAY_RUNS = 0,
	HCE_NO_WORKER,				/* max_worker_processes */
	HCE_NO_SLOT,				/* max_replication_slots */
	HCE_RELAY_FAILS,			/* again and again */
	HCE_DATABASE_CLOSED,		/* ALLOW_CONNECTIONS false */
	HCE_DATABASE_HELD			/* for a command, for long */
} HceNoRelay;

extern void hce_alarm_look(int number);
extern void hce_alarm_raise(int number, HceNoRelay reason);
extern HceNoRelay hce_alarm_reason(int number);
extern void hce_alarm_clear(int number);
extern void hce_alarm_forget(int number);
extern void hce_alarm_excluded(const HceDatabase *db, bool delivered);

#endif							/* HCE_ALARM_H */
