/*-------------------------------------------------------------------------
 *
 * workers.h
 *		The background workers that serve one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_WORKERS_H
#define HCE_WORKERS_H

#include "postmaster/bgworker.h"

typedef enum HceWorkerKind
{
	HCE_WORKER_RELAY,			/* delivers */
	HCE_WORKER_STANDBY,			/* lets a standby's slot follow, see standby.c */
	HCE_WORKER_EXCLUDE			/* notes an exclusion, see exclude.c */
} HceWorkerKind;

extern BackgroundWorkerHandle *hce_worker_start(Oid dboid, HceWorkerKind kind);
extern bool hce_worker_ended(BackgroundWorkerHandle *handle);

#endif							/* HCE_WORKERS_H */
