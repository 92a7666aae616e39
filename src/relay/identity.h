/*-------------------------------------------------------------------------
 *
 * identity.h
 *		Whether a database and its data directory are the original.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_IDENTITY_H
#define HCE_IDENTITY_H

#include "access/xlogdefs.h"

/* How a data directory began, as far as we have seen it. */
typedef enum HceOrigin
{
	HCE_ORIGIN_NEW = 0,			/* nothing speaks against it */
	HCE_ORIGIN_COPIED,			/* its files come from another directory */
	HCE_ORIGIN_RESTORED,		/* and recovery.signal was there */
	HCE_ORIGIN_STANDBY			/* standby.signal was there */
} HceOrigin;

/* A data directory; kept in shared memory, written by the postmaster. */
typedef struct HceHome
{
	int64		id;				/* random; 0 = could not be found out */
	HceOrigin	origin;
	XLogRecPtr	birth;			/* where the WAL of a cluster that pg_upgrade
								 * made begins; 0 = of any other */
} HceHome;

extern void hce_home_find(HceHome *home);
extern bool hce_restored_since(TimeLineID since, TimeLineID now,
							   XLogRecPtr *point);

#endif							/* HCE_IDENTITY_H */
