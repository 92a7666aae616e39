/*-------------------------------------------------------------------------
 *
 * event_id.h
 *		Event ids: UUID version 7, derived from a record's seed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_EVENT_ID_H
#define HCE_EVENT_ID_H

#include "datatype/timestamp.h"

#define HCE_SEED_SIZE	16
#define HCE_UUID_SIZE	16
#define HCE_UUID_TEXT	36

extern void hce_event_id_new_seed(unsigned char seed[HCE_SEED_SIZE]);
extern void hce_event_id_derive(const unsigned char seed[HCE_SEED_SIZE],
								uint32 number, TimestampTz captured_at,
								unsigned char id[HCE_UUID_SIZE]);
extern void hce_event_id_format(const unsigned char id[HCE_UUID_SIZE],
								char *text);
extern char *hce_put_hex(char *dst, const void *bytes, int count);
extern bool hce_event_id_parse(const char *str,
							   unsigned char id[HCE_UUID_SIZE]);

#endif							/* HCE_EVENT_ID_H */
