/*-------------------------------------------------------------------------
 *
 * event_text.h
 *		An event's key, headers and envelope, from its journal record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_EVENT_TEXT_H
#define HCE_EVENT_TEXT_H

#include "event/event_id.h"
#include "event/journal_record.h"

#define HCE_TIMESTAMP_TEXT	27	/* 2026-11-23T15:08:51.123456Z */

/* An event's body taken apart; slices point into the record. */
typedef struct HceEventParts
{
	HceSlice	key;			/* data NULL: the message has no key */
	HceSlice	headers;		/* data NULL: none; else pairs of strings */
	const uint8 *values;		/* the encoded values, one after the other */
	const uint8 *values_end;
} HceEventParts;

extern bool hce_event_parts(const HceSkeleton *skeleton,
							const HceJournalEvent *event,
							HceEventParts *parts);
extern Size hce_event_envelope_bound(const HceSkeleton *skeleton,
									 const HceJournalEvent *event);
extern char *hce_event_envelope(char *dst, const HceSkeleton *skeleton,
								const HceJournalEvent *event,
								const HceEventParts *parts,
								const char *id_text);
extern void hce_event_timestamp(TimestampTz when, char *dst);

#endif							/* HCE_EVENT_TEXT_H */
