/*-------------------------------------------------------------------------
 *
 * position.h
 *		The relay's tables: position, counters, gaps and dead letters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_POSITION_H
#define HCE_POSITION_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#include "event/event_id.h"
#include "relay/settle.h"
#include "stats/histogram.h"

/* The row of hcevents.position. */
typedef struct HceStoredPosition
{
	uint64		system_identifier;
	Oid			database_oid;
	TimeLineID	timeline;
	int			epoch;
	int64		home;			/* the data directory, see identity.c; 0 = any */
	HcePosition settled;		/* first event that is not settled */
	HcePosition sent;			/* first event that was never sent */
	XLogRecPtr	restart_lsn;
	TimestampTz written;
	TimestampTz stats_reset;
	bool		complete;		/* the server stopped, nothing is missing */
} HceStoredPosition;

/* A row of hcevents.counters: one event type, up to the position. */
typedef struct HceStoredCounters
{
	const char *event_type;
	const char *topic;
	int64		delivered;
	int64		dead;
	int64		parked;
	int64		redelivered;
	int64		bytes;
	int64		latency[HCE_BUCKETS];
	TimestampTz last_captured;	/* 0 = never */
	TimestampTz last_delivered;
} HceStoredCounters;

/* A row for hcevents.dead_letter_store; see dead_letters.c. */
typedef struct HceDeadLetter
{
	MemoryContext context;		/* that holds it, once it is kept */
	Size		bytes;			/* of that, as counted in letter_bytes */
	unsigned char event_id[HCE_UUID_SIZE];
	char	   *event_type;
	char	   *topic;
	char	   *source_schema;	/* NULL: published by hand, or not known */
	char	   *source_table;	/* with its schema; NULL: published by hand */
	char	   *key;			/* NULL: none */
	int			nheaders;		/* strings in "headers", an even number */
	char	  **headers;		/* those of publish(): names and values in turn */
	const char *reason;
	const char *error;
	char	   *envelope;		/* NULL: it was never made */
	int64		size;
	TimeLineID	timeline;
	int			epoch;			/* 0: timeline and epoch are the relay's */
	HcePosition position;
	TimestampTz commit_time;
} HceDeadLetter;

typedef enum HceLoad
{
	HCE_LOADED,
	HCE_NO_EXTENSION
} HceLoad;

extern HceLoad hce_position_load(HceStoredPosition *position);
extern void hce_position_load_counters(void (*take) (const HceStoredCounters *, void *),
									   void *arg);
extern int64 hce_position_gap_count(void);
extern int64 hce_position_dead_count(void);
extern bool hce_position_begin(void);
extern void hce_position_put(const HceStoredPosition *position);
extern void hce_position_put_counters(const HceStoredCounters *counters);
extern bool hce_position_put_dead(const HceDeadLetter *letter);
extern void hce_position_put_gap(XLogRecPtr from, XLogRecPtr to,
								 TimestampTz from_time, const char *cause);
extern void hce_position_clear_counters(void);
extern XLogRecPtr hce_position_commit(void);

#endif							/* HCE_POSITION_H */
