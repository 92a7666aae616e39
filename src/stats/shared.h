/*-------------------------------------------------------------------------
 *
 * shared.h
 *		What the processes of hcevents share in memory.
 *
 * One HceDatabase per database that has, or had, the extension, and one
 * HceTypeStats per event type of such a database.  Plain data only: no
 * pointer into a process' own memory (a Latch of a PGPROC is in shared
 * memory itself).
 *
 * Locking: hce_shared->lock protects everything but the atomics.  The relay
 * of a database is the only writer of its statistics, the launcher of the
 * fields about starting relays, and utility commands of the hold.  While there
 * is no relay (relay_pid is 0) the launcher writes state, waiting_for and
 * restart_lsn in its place.  Nobody
 * keeps the lock across anything that can raise an error or wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_SHARED_H
#define HCE_SHARED_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"

#include "event/journal_record.h"
#include "relay/identity.h"
#include "stats/histogram.h"

#define HCE_MAX_DATABASES	128
#define HCE_MAX_HOLDS		16
#define HCE_MAX_TYPES		4096
#define HCE_MAX_TOPIC		250 /* 249 and a NUL */
#define HCE_MAX_ERROR		256

typedef enum HceRelayState
{
	HCE_STOPPED = 0,			/* no relay runs */
	HCE_STARTING,
	HCE_STREAMING,
	HCE_DISCONNECTED,			/* no broker answers */
	HCE_PAUSED,					/* by a DBA, or a copied database */
	HCE_DISABLED,				/* hcevents.enabled is off */
	HCE_FAILED,					/* ended by an error, waits for its restart */
	HCE_STANDBY,				/* keeps its slot here, the primary delivers */
	HCE_EXCLUDED				/* by hcevents.excluded_databases: none runs */
} HceRelayState;

/* Why a relay ended: what the launcher does next. */
typedef enum HceExit
{
	HCE_EXIT_ERROR = 0,			/* restart with back-off */
	HCE_EXIT_RESTART,			/* settings changed: restart at once */
	HCE_EXIT_GONE				/* the extension is gone: do not restart */
} HceExit;

typedef struct HceDatabase
{
	Oid			dboid;			/* InvalidOid = free */

	/* written by the launcher */
	bool		wanted;			/* has the extension */
	bool		excluded;		/* by hcevents.excluded_databases */
	bool		label_on;		/* its label says that it is not */
	int			restarts;
	TimestampTz next_start;		/* back-off */

	/* written by utility commands, see holds.c */
	int			hold_pids[HCE_MAX_HOLDS];	/* who need it alone; 0 = free */

	/* written by the relay */
	pid_t		relay_pid;		/* 0 when none runs */
	pid_t		leaving_pid;	/* of the one before, until it is gone */
	Latch	   *relay_latch;
	HceExit		exit_reason;
	HceRelayState state;
	char		waiting_for[HCE_MAX_ERROR];
	char		last_error[HCE_MAX_ERROR];
	TimestampTz last_error_time;
	TimestampTz start_time;
	XLogRecPtr	settled_lsn;	/* every commit before it is settled */
	XLogRecPtr	read_lsn;
	XLogRecPtr	restart_lsn;	/* oldest WAL still needed, as stored */
	TimestampTz oldest_pending; /* commit time, 0 = nothing pending */
	int64		in_flight;
	int64		pending;
	int64		dead;
	int64		parked;
	int64		gaps;			/* not acknowledged */
	int64		foreign_messages;	/* logical messages that are not ours */
	TimestampTz stats_reset;
	bool		limit_known;	/* a relay has set the next one */
	int			max_retained_wal;	/* the database's setting, in MB */

	/* requests to the relay, set by anybody who may, cleared by the relay */
	bool		reset_requested;
	bool		restart_requested;
	bool		check_requested;	/* the catalogs may say something new */
	bool		parked_requested;	/* rows of parked_store were moved */
	bool		pauses_changed; /* hcevents.pauses was written */
	bool		resumed;		/* by resume(), of whatever */
	bool		adopt_requested;	/* resume() of a copied database */
	bool		recount_requested;	/* dead letters or gaps were changed */

	/* atomics, see wake_relay */
	pg_atomic_uint32 napping;	/* the relay will look by itself soon */
	pg_atomic_uint64 last_commit_end;	/* newest commit that captured */
} HceDatabase;

typedef struct HceTypeKey
{
	Oid			dboid;
	char		event_type[HCE_MAX_EVENT_TYPE + 1];
} HceTypeKey;

/* Counters of one event type; written by the relay of its database only. */
typedef struct HceTypeStats
{
	HceTypeKey	key;
	char		topic[HCE_MAX_TOPIC];
	int64		captured;
	int64		delivered;
	int64		dead;
	int64		parked;
	int64		redelivered;
	int64		bytes;			/* of delivered keys and envelopes */
	double		per_second;		/* delivered, over about 10 seconds */
	TimestampTz rate_time;		/* when per_second was computed */
	TimestampTz oldest_pending;
	TimestampTz last_captured;
	TimestampTz last_delivered;
	TimestampTz last_error_time;
	char		last_error[HCE_MAX_ERROR];
	int64		latency[HCE_BUCKETS];
} HceTypeStats;

typedef struct HceShared
{
	LWLock	   *lock;
	Latch	   *launcher_latch;
	pid_t		launcher_pid;
	XLogRecPtr	recovered_to;	/* commits before it were not waited for, see
								 * sync_wait.c; set by the launcher */
	HceHome		home;			/* of this data directory; never changes */
	pg_atomic_uint32 databases_changed; /* the launcher should look */
	HceDatabase databases[HCE_MAX_DATABASES];
} HceShared;

extern HceShared *hce_shared;	/* NULL when the library is not preloaded */
extern HTAB *hce_type_stats;	/* under hce_shared->lock */

extern void hce_shared_init(void);
extern bool hce_shared_available(void);
extern void hce_shared_wake_relay(void);
extern void hce_shared_wake_launcher(void);
extern HceDatabase *hce_shared_find(Oid dboid);
extern HceDatabase *hce_shared_find_or_add(Oid dboid);
extern void hce_shared_forget_types(Oid dboid);
extern const char *hce_relay_state_name(HceRelayState state);

#endif							/* HCE_SHARED_H */
