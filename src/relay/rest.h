/*-------------------------------------------------------------------------
 *
 * rest.h
 *		The journal of an excluded database: put to rest, and begun anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_REST_H
#define HCE_REST_H

#include "relay/relay.h"

extern bool hce_rest_labelled(void);
extern void hce_rest_set_label(bool rests);
extern bool hce_rest_needs_slot(HceRelay *relay);
extern void hce_rest_leave(HceRelay *relay);
extern void hce_rest_begin(HceRelay *relay);
extern void hce_rest_end(HceRelay *relay);

#endif							/* HCE_REST_H */
