/*-------------------------------------------------------------------------
 *
 * stub_capture.c
 *		The rest of src/capture, as capture/buffer.c sees it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/capture.h"
#include "capture/kept.h"
#include "settings.h"

bool		hce_keep_captured = false;

void
hce_kept_add(HceSlice skeleton, const HceJournalEvent *event,
			 const unsigned char *id)
{
	Assert(false);
}
