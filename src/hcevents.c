/*-------------------------------------------------------------------------
 *
 * hcevents.c
 *		Where PostgreSQL enters the library.
 *
 * Calls the modules, each of which initialises itself; owns nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "capture/capture.h"
#include "relay/relay.h"
#include "settings.h"
#include "stats/shared.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	hce_settings_init();
	hce_shared_init();
	hce_capture_init();
	hce_databases_init();
	hce_launcher_init();
}
