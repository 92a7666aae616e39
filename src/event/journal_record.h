/*-------------------------------------------------------------------------
 *
 * journal_record.h
 *		The bytes of a journal record: 1..n events of one transaction.
 *
 * A journal record is a WAL record of the logical message resource manager
 * whose prefix SQL cannot write (it holds NUL bytes, see
 * HCE_JOURNAL_PREFIX).  Its payload is built by the capture side and taken
 * apart by the relay; this header is the contract between the two.
 *
 * Constant text is written once per record, in skeletons; an event carries
 * only rendered JSON values.  The event id is not stored: it is derived from
 * the record's seed, the event's number and its time, so that every replay
 * gives the same id.
 *
 * Layout (all "v" are unsigned LEB128 varints, "z" are zigzag varints, fixed
 * width integers are in the machine's byte order, like the rest of WAL):
 *
 *	record	 := seed[16] base_time:int64
 *				v:nskeletons skeleton*
 *				v:nsegments segment*
 *	skeleton := v:length bytes
 *		bytes	 := string:event_type string:source string:schema string:table
 *					v:key_mode v:nvalues string:piece * (nvalues + 1)
 *		string	 := v:length bytes
 *	segment  := xid:uint32 v:first_number v:nevents v:nbytes event*
 *	event	 := v:(skeleton_index << 2 | flags) z:time_delta v:nbytes body
 *		body	 := string:value * nvalues			(the skeleton's nvalues)
 *					[string:key]		if HCE_EVENT_HAS_KEY
 *					[string:headers]	if HCE_EVENT_HAS_HEADERS
 *
 * time_delta is in microseconds against base_time.  The events of a segment
 * carry the (sub)transaction id "xid" and the numbers first_number,
 * first_number + 1, ... in the record's numbering.  One without events stands
 * for a segment that hce_journal_cut() has left out.
 *
 * The envelope of an event is the concatenation
 *
 *	{"event_id":"<id>","event_type":"<type>","timestamp":"<time>
 *	piece[0] value[0] piece[1] value[1] ... piece[nvalues]
 *
 * hence piece[0] begins with the quote that closes the timestamp.
 *
 * All text in a record is UTF-8, whatever the database's encoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_JOURNAL_RECORD_H
#define HCE_JOURNAL_RECORD_H

#include "datatype/timestamp.h"

#define HCE_JOURNAL_PREFIX			"hcevents\0001\0"
#define HCE_JOURNAL_PREFIX_SIZE		11	/* "hcevents", NUL, "1", NUL */

/*
 * What a record whose event could not be captured carries instead of an
 * envelope: an ordinary event whose skeleton has key mode HCE_KEY_FAILED and
 * these values, as plain text (not JSON).
 */
#define HCE_FAILED_REASON	0	/* one of too_large, missing_column,
								 * invalid_encoding, encoder_error */
#define HCE_FAILED_ERROR	1	/* the message that the writer was warned with,
								 * without any value of the row */
#define HCE_FAILED_NVALUES	2

/* How the Kafka key of an event is found. */
typedef enum HceKeyMode
{
	HCE_KEY_NONE = 0,			/* no key, or the one HCE_EVENT_HAS_KEY gives */
	HCE_KEY_NUMBER = 1,			/* value[0] as it is: a JSON number */
	HCE_KEY_STRING = 2,			/* value[0] without its two quotes; a string
								 * that needs unescaping sets
								 * HCE_EVENT_HAS_KEY */
	HCE_KEY_FAILED = 3			/* capture failed, see above; the key, if
								 * known, by HCE_EVENT_HAS_KEY */
} HceKeyMode;

#define HCE_EVENT_HAS_KEY		0x01
#define HCE_EVENT_HAS_HEADERS	0x02	/* more Kafka headers, for publish():
										 * (string:name string:value) * any */

/* The longest event type; with a prefix it must fit a topic name (249). */
#define HCE_MAX_EVENT_TYPE		200

/* A part of somebody else's memory. */
typedef struct HceSlice
{
	const char *data;
	uint32		len;
} HceSlice;

/* A skeleton taken apart.  Slices point into the bytes it was parsed from. */
typedef struct HceSkeleton
{
	HceSlice	event_type;
	HceSlice	source;
	HceSlice	schema;
	HceSlice	table;			/* empty for publish() */
	HceKeyMode	key_mode;
	int			nvalues;
	HceSlice   *pieces;			/* nvalues + 1, allocated by the parser */
} HceSkeleton;

/* One event as it is found in a record.  Slices point into the record. */
typedef struct HceJournalEvent
{
	TransactionId xid;
	uint32		number;			/* in the record's numbering */
	TimestampTz captured_at;
	int			skeleton;		/* index into the record's skeletons */
	int			flags;
	HceSlice	body;
} HceJournalEvent;

/* Walks over the events of one record.  Plain data, no cleanup. */
typedef struct HceJournalReader
{
	const uint8 *pos;
	const uint8 *end;
	const uint8 *segment_end;
	unsigned char seed[16];
	TimestampTz base_time;
	int			nskeletons;
	HceSlice   *skeletons;		/* allocated by hce_journal_open */
	int			segments_left;
	uint32		events_left;	/* in the current segment */
	TransactionId xid;
	uint32		number;
} HceJournalReader;

/* journal_decode.c */
extern bool hce_journal_open(HceJournalReader *reader, const char *data,
							 Size len);
extern bool hce_journal_next_segment(HceJournalReader *reader,
									 TransactionId *xid, uint32 *nevents);
extern bool hce_journal_next_event(HceJournalReader *reader,
								   HceJournalEvent *event);
extern bool hce_journal_segments_valid(const HceJournalReader *reader);
extern bool hce_journal_malformed(const HceJournalReader *reader);
extern Size hce_journal_cut(char *dst, const char *data, Size len,
							TransactionId xid);
extern bool hce_skeleton_parse(HceSlice bytes, HceSkeleton *skeleton);

/*
 * Varints.  The writers return the byte after the last one written; the
 * caller has room for 5 (32 bits) or 10 (64 bits) bytes.
 */
static inline uint8 *
hce_put_varint(uint8 *p, uint64 value)
{
	while (value >= 0x80)
	{
		*p++ = (uint8) (value | 0x80);
		value >>= 7;
	}
	*p++ = (uint8) value;
	return p;
}

static inline uint64
hce_zigzag(int64 value)
{
	return ((uint64) value << 1) ^ (uint64) (value >> 63);
}

static inline int64
hce_unzigzag(uint64 value)
{
	return (int64) (value >> 1) ^ -(int64) (value & 1);
}

/* Read a varint; false if it runs over "end" or over 64 bits. */
static inline bool
hce_get_varint(const uint8 **pos, const uint8 *end, uint64 *value)
{
	const uint8 *p = *pos;
	uint64		result = 0;

	for (int shift = 0; shift < 64 && p < end; shift += 7)
	{
		result |= (uint64) (*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
		{
			/* the tenth byte has room for one bit */
			if (shift == 63 && p[-1] > 1)
				return false;
			*pos = p;
			*value = result;
			return true;
		}
	}
	return false;
}

static inline bool
hce_get_string(const uint8 **pos, const uint8 *end, HceSlice *slice)
{
	uint64		len;

	if (!hce_get_varint(pos, end, &len) || len > (uint64) (end - *pos))
		return false;
	slice->data = (const char *) *pos;
	slice->len = (uint32) len;
	*pos += len;
	return true;
}

#endif							/* HCE_JOURNAL_RECORD_H */
