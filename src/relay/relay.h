/*-------------------------------------------------------------------------
 *
 * relay.h
 *		The background worker of one database, and who starts it.
 *
 * Prototypes of src/relay's processes, grouped by file, and the state that
 * the relay's own files share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_RELAY_H
#define HCE_RELAY_H

#include "nodes/pg_list.h"
#include "storage/latch.h"
#include "utils/hsearch.h"

#include "event/event_text.h"
#include "relay/assembler.h"
#include "relay/position.h"
#include "relay/producer.h"
#include "relay/settle.h"
#include "relay/wal_reader.h"
#include "settings.h"
#include "stats/shared.h"

typedef struct HceParking HceParking;
typedef struct HceParkTopic HceParkTopic;
typedef struct HceOpenRecords HceOpenRecords;

/* An event type as the relay counts it. */
typedef struct HceRelayType
{
	char		event_type[HCE_MAX_EVENT_TYPE + 1];
	bool		to_publish;		/* differs from shared memory */
	bool		to_store;		/* differs from hcevents.counters */
	int64		captured;
	HceStoredCounters settled;	/* up to the settled prefix */
	TimestampTz oldest_pending;
	TimestampTz last_error_time;
	char		last_error[HCE_MAX_ERROR];
	int64		rate_count;		/* delivered when the rate was computed */
	TimestampTz rate_time;
	double		per_second;
} HceRelayType;

/* A skeleton as the relay sends it: found once, by its bytes. */
typedef struct HceRelaySkeleton
{
	HceSkeleton skeleton;
	int			type;			/* index into the relay's types */
	HceTopic   *topic;			/* NULL: the name is invalid, or no producer */
	HceParkTopic *park;			/* NULL: the name is invalid */
	char	   *topic_name;
	char	   *event_type;		/* NUL-terminated parts, for headers */
	char	   *source;
	char	   *schema;			/* of the table, "" for publish() */
	char	   *table;
} HceRelaySkeleton;

/* Where sending is in the oldest committed transaction. */
typedef struct HceCursor
{
	bool		open;			/* a transaction is being sent */
	uint32		index;			/* of its next event */
	uint32		segment;
	bool		segment_open;
	HceJournalReader reader;	/* inside the segment */
	uint32		span_left;		/* segments of the run after this one */
	uint32		left;			/* events of the segment not yet read */
	bool		event_read;		/* "event" waits to be sent */
	HceJournalEvent event;
	XLogRecPtr	reread_lsn;		/* of the record read again, in "reread" */
	TransactionId reread_as;	/* and the copied_as of its segment */
	char	   *reread;
	uint32		reread_len;
	Size		reread_size;
} HceCursor;

#define HCE_POSITION_TEXT	40	/* epoch, 16 and 8 hex digits, dashes */
#define HCE_MAX_HEADERS		64

typedef struct HceRelay
{
	MemoryContext context;		/* as long as the process */
	MemoryContext turn;			/* reset every turn of the loop */
	HceDatabase *shared;
	char		database[NAMEDATALEN];
	HceStoredPosition stored;	/* the row as last written */
	HcePosition stored_at_start;	/* what was settled in earlier lives */
	HcePosition resend_to;		/* events before it were sent in another life */
	HceWalReader *wal;
	HceWalReader *reread;		/* second reader, made when needed */
	HceAssembler *assembler;
	HceSettle  *settle;
	bool		headers[HCE_HEADERS];	/* those that messages get */
	int			nheaders;		/* so many */
	HceProducer *producer;		/* NULL when disabled or paused */
	HceParking *parking;
	HceOpenRecords *open_records;
	HceCursor	cursor;
	char	   *envelope;		/* buffer for the one being made */
	Size		envelope_size;
	HTAB	   *skeletons;
	HTAB	   *type_numbers;	/* event type to index into types */
	HceRelayType *types;
	int			ntypes;
	int			types_capacity;
	List	   *dead;			/* HceDeadLetter, to be stored */
	Size		letter_bytes;	/* of all letters, also of rows that leave */
	int64		dead_total;		/* in the store, without those retried */
	HcePosition last_dead;		/* highest position of one stored here */
	bool		recount;		/* somebody has changed dead letters or gaps */
	TimestampTz recount_time;	/* when they were counted last */
	int64		recount_us;		/* how long they are not counted after that */
	TimestampTz dead_look_time; /* when old ones are looked for again */
	int64		gaps;			/* not acknowledged */
	HcePosition sent;			/* first event never sent */
	uint64		unstored;		/* events settled since the row was written */
	TimestampTz stored_time;
	TimestampTz idle_looked;	/* when an idle relay last looked at its WAL */
	XLogRecPtr	stored_commit;	/* end of the row's commit */
	XLogRecPtr	awaited_commit; /* the one whose flush is waited for, and */
	XLogRecPtr	awaited_restart_lsn;	/* what its row asks for */
	XLogRecPtr	slot_lsn;		/* what the slot keeps */
	bool		clear_counters;	/* the table's rows are to go */
	bool		backup_seen;	/* a base backup ended since the row was written */
	int			neighbours;		/* relays on this server */
	TimestampTz ages_time;		/* when rates and ages were computed */
	int64		foreign_messages;
	const char *paused;			/* why, or NULL */
	bool		recovered_confirmed;	/* see sync_wait.c */
	bool		waits_for_sync; /* recovered commits are held back */
	long		visible_wait;	/* milliseconds, grows while there is one */
	uint64		commits_read;	/* transactions with events, ever */
	TimestampTz files_looked;	/* when files of options were looked at */
	TimestampTz poll_time;		/* when the reports at hand were taken in */
	bool		busy;			/* commits follow each other fast */
	TimestampTz measured;		/* when that was found out, and */
	uint64		commits_measured;	/* how many had been read then */
	TimestampTz sent_time;		/* when messages were last handed over */
	bool		held_up;		/* the producer takes the next event later */
} HceRelay;

/* databases.c: which databases have the extension */
extern void hce_databases_init(void);

/* workers.c */
extern void hce_launcher_init(void);

/* launcher.c */
extern PGDLLEXPORT void hce_launcher_main(Datum arg);

/* relay.c */
extern PGDLLEXPORT void hce_relay_main(Datum arg);
extern void hce_relay_end(HceExit reason);
extern void hce_relay_note_failure(HceDatabase *db);

/* relay_end.c */
extern void hce_relay_catch_sigterm(void);
extern void hce_relay_stop(HceRelay *relay, HceExit reason);

/* standby.c: the slot of a database on a physical standby */
extern PGDLLEXPORT void hce_standby_main(Datum arg);

/* exclude.c: what the label of an excluded database says */
extern PGDLLEXPORT void hce_exclude_main(Datum arg);

/* relay_start.c: from the position row to a relay that may read */
extern HceRelay *hce_relay_start(HceDatabase *shared);
extern void hce_relay_adopt(HceRelay *relay);

/* relay_read.c: WAL to committed transactions */
extern bool hce_relay_read(HceRelay *relay);
extern uint64 hce_relay_unread(const HceRelay *relay);
extern void *hce_relay_resolve(HceSlice bytes, void *arg);
extern HceSlice hce_relay_read_again(HceRelay *relay, XLogRecPtr lsn);
extern bool hce_relay_look_visible(HceRelay *relay);

/* sync_wait.c: recovered commits and synchronous standbys */
extern void hce_sync_wait_init(void);
extern bool hce_sync_wait_needed(HceRelay *relay, XLogRecPtr commit_lsn);

/* relay_send.c: committed transactions to the producer */
extern long hce_relay_gather_ms(const HceRelay *relay);
extern bool hce_relay_send(HceRelay *relay);
extern void hce_relay_delivered(void *arg, uint64 number);
extern void hce_relay_refused(void *arg, const HceMessage *message,
							  const char *error);
extern void hce_relay_resent(void *arg, uint64 number);
extern int64 hce_relay_timestamp_ms(void *arg, uint64 number);
extern int64 hce_relay_kafka_time(TimestampTz commit_time);

/* relay_cursor.c */
extern bool hce_cursor_next(HceRelay *relay, HceCommitted *committed);
extern void hce_cursor_done(HceCursor *cursor);

/* relay_headers.c */
extern int	hce_relay_more_headers(HceRelay *relay, HceSlice pairs,
								   HceHeader *headers);
extern int	hce_relay_headers(HceRelay *relay, const HceRelaySkeleton *skeleton,
							  HceSlice more, const char *id_text,
							  char *position_text, int epoch,
							  HcePosition position, HceHeader *headers);

/* parking*.c: events that move to a table while Kafka does not take them */
extern void hce_parking_start(HceRelay *relay);
extern HceParkTopic *hce_parking_topic(HceRelay *relay, const char *name);
extern void hce_parking_note_type(HceRelay *relay, HceParkTopic *park, int type);
extern bool hce_parking_holds(HceRelay *relay, const HceParkTopic *park);
extern bool hce_parking_room(void *arg);
extern HceSettled hce_parking_park(HceRelay *relay, HceRelaySkeleton *skeleton,
								   HcePosition position, TimestampTz commit_time,
							 const unsigned char *event_id, HceSlice key,
							 HceSlice headers, HceSlice envelope);
extern void hce_parking_count_lost(HceRelay *relay, const HceInFlight *event);
extern void hce_relay_returned(void *arg, uint64 number,
							   const HceMessage *message);
extern void hce_parking_turn(HceRelay *relay);
extern void hce_parking_open_all(HceRelay *relay);
extern void hce_parking_serve(HceRelay *relay);
extern bool hce_parking_stopped(const HceRelay *relay);
extern const char *hce_parking_paused(const HceRelay *relay);
extern const char *hce_parking_waiting_for(HceRelay *relay);
extern bool hce_parking_unstored(const HceRelay *relay);
extern bool hce_parking_store_due(HceRelay *relay, TimestampTz now);
extern void hce_parking_store(HceRelay *relay);
extern void hce_parking_stored(HceRelay *relay);
extern void hce_parking_moved(HceRelay *relay, const char *topic, int type,
							  int64 events, int64 bytes);

/* drain*.c: and how they come back */
extern bool hce_drain_turn(HceRelay *relay);
extern bool hce_drain_slowed(const HceRelay *relay);
extern void hce_drain_store(HceRelay *relay);
extern bool hce_drain_delivered(HceRelay *relay, uint64 number);
extern bool hce_drain_refused(HceRelay *relay, const HceMessage *message,
							  const char *error);
extern bool hce_drain_returned(HceRelay *relay, uint64 number);
extern bool hce_drain_resent(HceRelay *relay, uint64 number);
extern bool hce_drain_timestamp_ms(HceRelay *relay, uint64 number, int64 *ms);

/* open_records.c: journal records of open transactions, given WAL back for */
extern void hce_open_records_start(HceRelay *relay);
extern void hce_open_records_prepare(HceRelay *relay, TransactionId xid,
									 int nsubxacts,
									 const TransactionId *subxacts);
extern void hce_open_records_end(HceRelay *relay, TransactionId xid,
								 int nsubxacts, const TransactionId *subxacts,
								 XLogRecPtr commit_lsn);
extern void hce_open_records_server_restarted(HceRelay *relay);
extern bool hce_open_records_due(HceRelay *relay, TimestampTz now);
extern void hce_open_records_store(HceRelay *relay);
extern void hce_open_records_read(HceRelay *relay, const HceSegment *segment,
								  void (*take) (HceRelay *, const HceSegment *,
												HceSlice));
extern XLogRecPtr hce_open_records_forget_all(void);

/* dead_letters.c: what Kafka can never take */
extern void hce_dead_letter_init(HceDeadLetter *letter,
								 const HceRelaySkeleton *skeleton,
								 HcePosition position,
								 TimestampTz commit_time,
								 const unsigned char *id);
extern void hce_dead_letter_set_headers(HceDeadLetter *letter,
										const HceHeader *headers, int count);
extern HceDeadLetter *hce_dead_letter_copy(HceRelay *relay, const HceDeadLetter *letter);
extern bool hce_dead_letters_room(const HceRelay *relay);
extern void hce_dead_letter_discount(HceRelay *relay, HceDeadLetter *letter);
extern void hce_dead_letter_free(HceRelay *relay, HceDeadLetter *letter);
extern void hce_dead_letter_keep_copy(HceRelay *relay, HceDeadLetter *copy);
extern void hce_dead_letter_keep(HceRelay *relay, const HceDeadLetter *letter);
extern void hce_dead_letters_store(HceRelay *relay);
extern void hce_dead_letters_stored(HceRelay *relay);
extern bool hce_dead_letters_due(HceRelay *relay);
extern bool hce_dead_letters_recount(HceRelay *relay);
extern void hce_dead_letters_restore(HceRelay *relay);
extern bool hce_dead_letters_look_old(HceRelay *relay);

/* relay_store.c: settled events to the position row and to shared memory */
extern void hce_relay_settle(HceRelay *relay);
extern HcePosition hce_relay_position(HceRelay *relay);
extern bool hce_relay_store(HceRelay *relay);
extern bool hce_relay_store_due(HceRelay *relay, TimestampTz now);
extern void hce_relay_advance_slot(HceRelay *relay);
extern void hce_relay_reset_stats(HceRelay *relay);
extern void hce_relay_publish_stats(HceRelay *relay);
extern void hce_relay_restore_counters(HceRelay *relay);
extern void hce_relay_count_delivered(HceRelay *relay, HceRelayType *type,
									  uint32 bytes, TimestampTz commit_time,
									  TimestampTz settled_time);
extern int	hce_relay_type(HceRelay *relay, const char *event_type,
						   const char *topic);
extern void hce_relay_set_topic(HceRelay *relay, int number, const char *topic);

static inline int64
hce_relay_pending(const HceRelayType *type)
{
	return type->captured - type->settled.delivered - type->settled.dead -
		type->settled.parked;
}

#endif							/* HCE_RELAY_H */
