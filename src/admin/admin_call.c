/*-------------------------------------------------------------------------
 *
 * admin_call.c
 *		A backend's side of the admin worker: ask, wait, report.
 *
 * The request goes through a dynamic shared memory segment, the answer comes
 * back as one message of a shm_mq in it.  The segment belongs to the current
 * resource owner, so an error or a cancel here detaches it, and that is also
 * how the worker learns that nobody waits any more.
 *
 * This is the one place that turns what the worker found into an error of
 * PostgreSQL.  The worker itself reports nothing: its errors would go to the
 * server log a second time, also when check() only wants a row of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/timestamp.h"

#include "admin/admin.h"
#include "settings.h"
#include "stats/shared.h"

/*
 * How long the caller waits in all, and how much earlier the worker gives up,
 * so that its account of what went wrong still arrives.
 */
#define CALL_TIMEOUT_MS		10000
#define WORKER_MARGIN_MS	500

#define QUEUE_SIZE			((Size) 16384)

/* Bytes of the strings of a request. */
static Size
strings_size(const HceAdminCall *call)
{
	Size		size = strlen(hce_bootstrap_servers) + 1 +
		strlen(hce_kafka_config) + 1 + strlen(hce_kafka_config_file) + 1;
	ListCell   *cell;

	foreach(cell, call->topics)
		size += strlen(lfirst(cell)) + 1;
	foreach(cell, call->config)
		size += strlen(lfirst(cell)) + 1;
	return size;
}

static char *
put_string(char *to, const char *string)
{
	Size		size = strlen(string) + 1;

	memcpy(to, string, size);
	return to + size;
}

static void
fill_request(HceAdminRequest *request, const HceAdminCall *call,
			 TimestampTz deadline)
{
	char	   *to = request->strings;
	ListCell   *cell;

	request->op = call->op;
	request->deadline = TimestampTzPlusMilliseconds(deadline,
													-WORKER_MARGIN_MS);
	request->ntopics = list_length(call->topics);
	request->nconfig = list_length(call->config) / 2;
	request->partitions = call->partitions;
	request->replication_factor = call->replication_factor;
	pg_atomic_init_u32(&request->abandoned, 0);

	to = put_string(to, hce_bootstrap_servers);
	to = put_string(to, hce_kafka_config);
	to = put_string(to, hce_kafka_config_file);
	foreach(cell, call->topics)
		to = put_string(to, lfirst(cell));
	foreach(cell, call->config)
		to = put_string(to, lfirst(cell));
}

/* Runs when this backend lets go of the segment, for whatever reason. */
static void
abandon_request(dsm_segment *segment, Datum arg)
{
	HceAdminRequest *request = (HceAdminRequest *) DatumGetPointer(arg);

	pg_atomic_write_u32(&request->abandoned, 1);
}

/* Make the segment with the request and an empty queue in it. */
static dsm_segment *
create_segment(const HceAdminCall *call, TimestampTz deadline, shm_mq **queue)
{
	Size		request_size = offsetof(HceAdminRequest, strings) +
		strings_size(call);
	shm_toc_estimator estimator;
	dsm_segment *segment;
	shm_toc    *toc;
	HceAdminRequest *request;

	shm_toc_initialize_estimator(&estimator);
	shm_toc_estimate_chunk(&estimator, request_size);
	shm_toc_estimate_chunk(&estimator, QUEUE_SIZE);
	shm_toc_estimate_keys(&estimator, 2);

	segment = dsm_create(shm_toc_estimate(&estimator), 0);
	toc = shm_toc_create(HCE_ADMIN_MAGIC, dsm_segment_address(segment),
						 shm_toc_estimate(&estimator));

	request = shm_toc_allocate(toc, request_size);
	fill_request(request, call, deadline);
	shm_toc_insert(toc, HCE_ADMIN_KEY_REQUEST, request);
	on_dsm_detach(segment, abandon_request, PointerGetDatum(request));

	*queue = shm_mq_create(shm_toc_allocate(toc, QUEUE_SIZE), QUEUE_SIZE);
	shm_mq_set_receiver(*queue, MyProc);
	shm_toc_insert(toc, HCE_ADMIN_KEY_QUEUE, *queue);

	return segment;
}

static BackgroundWorkerHandle *
start_worker(dsm_segment *segment)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "hcevents", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "hce_admin_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "hcevents admin worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "hcevents admin worker", BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	/* so that our latch is set when it starts and when it ends */
	worker.bgw_notify_pid = MyProcPid;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no background worker slot is free for the admin worker of hcevents"),
				 errhint("Increase \"max_worker_processes\", and restart the server.")));
	return handle;
}

/* Wait for the answer; a copy of it in the current memory context. */
static HceAdminAnswer *
receive_answer(shm_mq_handle *input, TimestampTz deadline)
{
	for (;;)
	{
		shm_mq_result result;
		Size		size;
		void	   *data;
		long		left;

		result = shm_mq_receive(input, &size, &data, true);
		if (result == SHM_MQ_SUCCESS)
			return memcpy(palloc(size), data, size);
		if (result == SHM_MQ_DETACHED)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("the admin worker of hcevents ended without an answer"),
					 errhint("The server log says why.")));

		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
					 errmsg("the admin worker of hcevents did not answer within %d s",
							CALL_TIMEOUT_MS / 1000),
					 errhint("The server may be too busy to start a background worker; try again.")));

		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
report_failure(const HceAdminAnswer *answer)
{
	switch (answer->outcome)
	{
		case HCE_ADMIN_ANSWERED:
			break;
		case HCE_ADMIN_UNREACHABLE:
			ereport(ERROR,
					(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
					 errmsg("no Kafka broker answers at \"%s\"",
							hce_bootstrap_servers),
					 errdetail_internal("%s", answer->detail),
					 errhint("Check \"hcevents.bootstrap_servers\", \"hcevents.kafka_config\", and that the brokers run and advertise addresses which this server can reach.")));
			break;
		case HCE_ADMIN_UNSUPPORTED:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the Kafka brokers at \"%s\" do not create topics",
							hce_bootstrap_servers),
					 errdetail_internal("%s", answer->detail),
					 errhint("Create the topics with the tools of the broker, or let the broker create them by itself.")));
			break;
		case HCE_ADMIN_REFUSED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("Kafka refused the request"),
					 errdetail_internal("%s", answer->detail),
					 errhint("Check the settings of hcevents and what the brokers allow.")));
			break;
		case HCE_ADMIN_UNUSABLE:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("the options of the connection to Kafka cannot be used"),
					 errdetail_internal("%s", answer->detail),
					 errhint("Correct \"hcevents.kafka_config\", or the file of \"hcevents.kafka_config_file\".")));
			break;
	}
}

/*
 * Have the admin worker do "call" with the settings of this session.
 *
 * Returns the answer of the brokers, allocated in the current memory
 * context; what they said about single topics is in it.  Raises an error
 * when there is no such answer.  Takes at most CALL_TIMEOUT_MS.
 */
HceAdminAnswer *
hce_admin_call(const HceAdminCall *call)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   CALL_TIMEOUT_MS);
	dsm_segment *segment;
	shm_mq	   *queue;
	BackgroundWorkerHandle *worker;
	HceAdminAnswer *answer;

	if (!hce_shared_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("hcevents is not preloaded"),
				 errhint("Add shared_preload_libraries = 'hcevents' to postgresql.conf, and restart the server.")));

	segment = create_segment(call, deadline, &queue);
	worker = start_worker(segment);
	answer = receive_answer(shm_mq_attach(queue, segment, worker), deadline);
	dsm_detach(segment);

	/*
	 * It ends at once.  Without waiting for that, the next call could find
	 * its slot still taken where there is but one.
	 */
	(void) WaitForBackgroundWorkerShutdown(worker);

	report_failure(answer);
	return answer;
}
