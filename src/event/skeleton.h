/*-------------------------------------------------------------------------
 *
 * skeleton.h
 *		What is the same in all envelopes of one event type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_SKELETON_H
#define HCE_SKELETON_H

#include "event/bytes.h"

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

#endif							/* HCE_SKELETON_H */
