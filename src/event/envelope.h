/*-------------------------------------------------------------------------
 *
 * envelope.h
 *		The envelope: its constant parts, and putting it together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_ENVELOPE_H
#define HCE_ENVELOPE_H

#include "event/bytes.h"
#include "event/event_id.h"

/* "2026-01-31T12:34:56.123456Z" */
#define HCE_TIME_TEXT	27

/*
 * What the skeleton of an event type is made from.  All text is UTF-8.
 *
 * With "nnames" 0 and "data_value" true the skeleton has one value, the whole
 * of "data"; otherwise a value for each name, the members of "data".
 */
typedef struct HceSkeletonParts
{
	const char *event_type;
	const char *source;
	const char *version;
	const char *schema;
	const char *table;
	HceKeyMode	key_mode;
	int			nnames;
	const char **names;
	bool		data_value;
} HceSkeletonParts;

extern Size hce_skeleton_write(HceBytes *out, const HceSkeletonParts *parts);
extern bool hce_envelope_append(HceBytes *out, const HceSkeleton *skeleton,
								const unsigned char id[HCE_UUID_SIZE],
								TimestampTz captured_at, HceSlice body);
extern bool hce_envelope_key(const HceSkeleton *skeleton, HceSlice body,
							 int flags, HceSlice *key, bool *has_key);
extern void hce_time_format(TimestampTz time, char *str);

#endif							/* HCE_ENVELOPE_H */
