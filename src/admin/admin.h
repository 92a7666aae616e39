/*-------------------------------------------------------------------------
 *
 * admin.h
 *		SQL functions that talk to Kafka, and the worker that does it for them.
 *
 * Prototypes of src/admin, grouped by file, and what goes through the
 * dynamic shared memory segment between the two processes.  Plain data only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_ADMIN_H
#define HCE_ADMIN_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "port/atomics.h"

#define HCE_ADMIN_MAGIC			0x68636561	/* "hcea" */
#define HCE_ADMIN_MESSAGE_SIZE	256
#define HCE_ADMIN_DETAIL_SIZE	512

/* Keys of the segment's table of contents. */
#define HCE_ADMIN_KEY_REQUEST	1
#define HCE_ADMIN_KEY_QUEUE		2

typedef enum HceAdminOp
{
	HCE_ADMIN_DESCRIBE,
	HCE_ADMIN_CREATE
} HceAdminOp;

/*
 * What a backend asks for.  Written before the worker is registered and
 * constant from then on, but for "abandoned".
 */
typedef struct HceAdminRequest
{
	HceAdminOp	op;
	TimestampTz deadline;		/* answer before that */
	int			ntopics;
	int			nconfig;		/* of HCE_ADMIN_CREATE: pairs */
	int			partitions;
	int			replication_factor;
	pg_atomic_uint32 abandoned; /* nobody waits for the answer any more */

	/*
	 * Strings, each closed by a NUL: the bootstrap servers, kafka_config and
	 * kafka_config_file (its path: secrets do not come here), the topics,
	 * then name and value of each configuration entry.
	 */
	char		strings[FLEXIBLE_ARRAY_MEMBER];
} HceAdminRequest;

typedef enum HceAdminOutcome
{
	HCE_ADMIN_ANSWERED,			/* see the topics */
	HCE_ADMIN_UNREACHABLE,		/* no broker answered in time */
	HCE_ADMIN_UNSUPPORTED,		/* the brokers do not create topics */
	HCE_ADMIN_REFUSED,			/* librdkafka or the broker said no */
	HCE_ADMIN_UNUSABLE			/* the options of the connection are wrong */
} HceAdminOutcome;

/* What Kafka said about the topic of the same number in the request. */
typedef struct HceAdminTopic
{
	bool		exists;
	int			partitions;
	int			replication_factor;
	char		message[HCE_ADMIN_MESSAGE_SIZE]; /* "" = no error */
} HceAdminTopic;

typedef struct HceAdminAnswer
{
	HceAdminOutcome outcome;
	int			brokers;		/* of HCE_ADMIN_DESCRIBE */
	char		detail[HCE_ADMIN_DETAIL_SIZE];
	int			ntopics;
	HceAdminTopic topics[FLEXIBLE_ARRAY_MEMBER];
} HceAdminAnswer;

/* The arguments of hce_admin_call(). */
typedef struct HceAdminCall
{
	HceAdminOp	op;
	List	   *topics;			/* of char * */
	List	   *config;			/* of char *: name, value, name, value ... */
	int			partitions;
	int			replication_factor;
} HceAdminCall;

/* admin_call.c */
extern HceAdminAnswer *hce_admin_call(const HceAdminCall *call);

/* admin_worker.c */
extern PGDLLEXPORT void hce_admin_main(Datum main_arg);

/* kafka_client.c, in the worker only */
extern void hce_kafka_admin_run(const HceAdminRequest *request,
								HceAdminAnswer *answer);

static inline Size
hce_admin_answer_size(int ntopics)
{
	return offsetof(HceAdminAnswer, topics) + ntopics * sizeof(HceAdminTopic);
}

#endif							/* HCE_ADMIN_H */
