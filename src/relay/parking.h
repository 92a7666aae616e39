/*-------------------------------------------------------------------------
 *
 * parking.h
 *		Parking: undelivered events move from the journal to a table.
 *
 * What the files of parking share: parking*.c (which topics park), drain*.c
 * (how their events come back) and parked_*.c (the tables).
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_PARKING_H
#define HCE_PARKING_H

#include "nodes/pg_list.h"

#include "relay/relay.h"

/* A topic without a row in hcevents.topic_modes is sent to directly. */
typedef enum HceTopicMode
{
	HCE_MODE_DIRECT = 0,
	HCE_MODE_PARKING,
	HCE_MODE_DRAINING
} HceTopicMode;

#define HCE_MAX_REASON	200

/* The place of a parked event, by which its row is found; events of a topic
 * are drained in this order.  The timeline is for those who read: the epoch
 * grows with it, and with a change of cluster, after which timelines begin
 * anew. */
typedef struct HceParkedKey
{
	TimeLineID	timeline;
	int			epoch;
	HcePosition position;
} HceParkedKey;

/* An event to be parked or read back; all text is UTF-8, as in the journal. */
typedef struct HceParkedEvent
{
	HceParkedKey key;
	unsigned char event_id[HCE_UUID_SIZE];
	TimestampTz commit_time;
	HceRelaySkeleton *skeleton;
	HceSlice	message_key;	/* data NULL: none */
	HceSlice	headers;		/* of publish(), pairs of strings, or NULL */
	HceSlice	envelope;
} HceParkedEvent;

/* Beside its texts, what a parked event counts against max_parked_size. */
#define HCE_PARKED_OVERHEAD	200

static inline int64
hce_parked_bytes(const HceParkedEvent *event)
{
	return (int64) event->envelope.len + event->message_key.len + HCE_PARKED_OVERHEAD;
}

/* A topic that the relay sends to, or would. */
struct HceParkTopic
{
	HceParkTopic *next;
	char	   *name;
	HceTopic   *topic;			/* the producer's; NULL when there is none */
	HceTopicMode mode;
	char		reason[HCE_MAX_REASON];
	TimestampTz since;			/* of the mode */
	bool		to_store;		/* differs from hcevents.topic_modes */
	List	   *types;			/* numbers of event types seen on it */
	bool		paused;			/* hcevents.pause() of one of them */
	int64		unsettled;		/* sent directly, without a report yet */
	int64		rows;			/* in the table and in the buffer */
	int64		bytes;			/* of them */
	int			buffered;		/* of them in the buffer */

	/* parking_retry.c */
	TimestampTz retry_time;		/* no draining before */
	int64		retry_us;		/* how long it is left alone; 0 = it is not */
	bool		silent;			/* that is why */
	TimestampTz delivered;		/* when a row was acknowledged last */

	/* drain.c */
	bool		closing;		/* newer events wait, so that it ends */
	TimestampTz close_time;		/* when closing began or may begin again */
	HceParkedKey read_to;		/* last row that was read */
	HceParkedKey sent_to;		/* last row of them that was sent */
	MemoryContext batch;		/* rows read, empty when all are sent */
	Size		batch_bytes;	/* of it */
	HceParkedEvent *rows_read;
	int			nread;
	int			next_row;
	int			draining;		/* rows sent, without a report yet */
	int			window;			/* how many those may be */
	int			leaving;		/* rows that are to be deleted */
	int			held;			/* of them, locked by others */
	bool		joined;			/* somebody has put rows into the table, maybe
								 * before those that were read */
	bool		read_empty;		/* the last read has found no row */
	bool		rewound;		/* the next read begins at the first row */
	TimestampTz checked;		/* when the table was last asked for rows */
};

/* What a deletion made of a row. */
typedef enum HceRowFate
{
	HCE_ROW_DELETED,
	HCE_ROW_GONE,				/* somebody else has deleted it */
	HCE_ROW_HELD				/* somebody else has locked it */
} HceRowFate;

/* A row that is to be deleted, and what is counted for it then. */
typedef struct HceLeaving
{
	HceParkedKey key;
	HceParkTopic *park;
	int			type;
	uint32		bytes;			/* of key and envelope */
	TimestampTz commit_time;
	TimestampTz settled_time;
	HceDeadLetter *letter;		/* NULL: it was delivered */
	bool		resent;
	HceRowFate	fate;			/* HCE_ROW_HELD: so it was last time */
} HceLeaving;

/* A row that was sent, without a report yet; or a place for one. */
typedef struct HceDrained
{
	HceParkedEvent event;		/* without its texts */
	HceParkTopic *park;
	uint32		bytes;
	bool		resent;
	int			next_free;		/* of a free place: the next one, -1 = none */
} HceDrained;

struct HceParking
{
	HceParkTopic *topics;
	bool		mode_changed;	/* of some topic, and is not stored */
	bool		take_back;		/* what librdkafka holds, at the turn's end */
	bool		backlog;		/* the WAL limit is passed: park all topics */
	TimestampTz looked;			/* at the WAL limit */
	TimestampTz progress;		/* last acknowledgement, or nothing to send */
	bool		paused;			/* hcevents.pause() of everything */
	char		pause_reason[HCE_MAX_REASON];
	List	   *paused_types;	/* of char *; "*" is not among them */
	char		waiting_for[HCE_MAX_ERROR];

	/* events that are parked with the next position row */
	MemoryContext buffer_context;
	HceParkedEvent *buffer;
	int			nbuffered;
	int			buffer_capacity;
	Size		buffered_bytes;
	TimestampTz buffered_since;

	/* rows in flight, by number; see HCE_DRAIN_NUMBER */
	HceDrained *drained;
	int			free_drained;	/* first free place, -1 = none */
	Size		batch_bytes;	/* of rows read, of all topics */
	uint64		sent_drained;	/* rows sent, ever */
	TimestampTz drained_time;	/* when rows had their last turn */
	bool		slowed;			/* they wait for one: much WAL is unread */

	/* rows that are deleted with the next position row; see drain_leave.c */
	HceLeaving *leaving;
	int			nleaving;
	int			nheld;			/* of them, locked by others */
	int			leaving_capacity;
	TimestampTz leaving_since;
	bool		letters_leave;	/* some become dead letters */

	/* beyond max_parked_size; see parking_buffer.c */
	bool		losing;			/* an episode is under way */
	int64		lost_unsettled; /* lost, and not in the settled prefix yet */
	int64		gap_id;			/* the episode's row, 0 = none */
	List	   *lost;			/* of HceLostType */
	bool		gap_to_store;	/* some of them are in no row yet: */
	XLogRecPtr	gap_from;		/* the first one's commit */
	XLogRecPtr	gap_to;			/* the last one's */
	TimestampTz gap_time;		/* the first one's */
	List	   *synthetic;		/* of HceRelaySkeleton, for rows read back */
};

typedef struct HceLostType
{
	const char *event_type;
	int64		stored;			/* in the episode's row */
	int64		count;			/* in no row yet */
} HceLostType;

/*
 * Numbers of messages that come from the table have this bit, a number that
 * grows with each, and below it the row's place among those in flight.  Places
 * are used again in any order: a row that stays in flight keeps its own only.
 */
#define HCE_DRAIN_NUMBER	(UINT64CONST(1) << 63)
#define HCE_DRAIN_PLACE_BITS	16
#define HCE_DRAIN_PLACES	(1 << HCE_DRAIN_PLACE_BITS)

/* parking.c */
extern const char *hce_topic_mode_name(HceTopicMode mode);
extern void hce_parking_set_mode(HceRelay *relay, HceParkTopic *park,
								 HceTopicMode mode, const char *reason);

/* parking_pauses.c */
extern void hce_parking_start_pauses(HceRelay *relay);
extern void hce_parking_note_pauses(HceRelay *relay);

/* parking_retry.c */
extern void hce_parking_leave_alone(HceParkTopic *park, TimestampTz now);
extern void hce_parking_retry_all(HceRelay *relay);

/* parking_backlog.c */
extern uint64 hce_parking_wal_limit(int max_retained_wal);
extern void hce_parking_look_at_wal(HceRelay *relay, TimestampTz now);

/* drain.c */
extern void hce_drain_rewind(HceRelay *relay, HceParkTopic *park);
extern void hce_drain_drop_batch(HceRelay *relay, HceParkTopic *park);
extern void hce_drain_drop_unsent(HceRelay *relay);

/* drain_leave.c */
extern void hce_drain_leave(HceRelay *relay, const HceParkedEvent *event,
							HceParkTopic *park, uint32 bytes, bool resent,
							HceDeadLetter *letter);
extern bool hce_drain_leaves(const HceRelay *relay, HceParkedKey key);

/* parked_start.c */
extern void hce_parked_load(HceRelay *relay);
extern void hce_parked_begin_epoch(int former, const HceStoredPosition *position);
extern void hce_parked_count_kept(int former, HcePosition settled,
								  const HceStoredPosition *position);
extern void hce_parked_forget_all(void);

/* parked_rows.c */
extern void hce_parked_put(const HceParkedEvent *events, int count);
extern void hce_parked_delete(HceLeaving *rows, int count);
extern bool hce_parked_exist(const char *topic);
extern bool hce_parked_remain(const HceParkTopic *park, int64 *events,
							  int64 *bytes, bool *added);

/* parked_read.c */
extern int	hce_parked_read(HceRelay *relay, HceParkTopic *park,
							HceParkedKey end);

/* parked_modes.c */
extern void hce_parked_put_mode(const HceParkTopic *park);
extern bool hce_parked_put_gap(HceParking *parking);

#endif							/* HCE_PARKING_H */
