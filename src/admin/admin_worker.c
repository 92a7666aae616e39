/*-------------------------------------------------------------------------
 *
 * admin_worker.c
 *		The short-lived background worker that talks to Kafka for a backend.
 *
 * librdkafka brings threads and sockets, and a library that crashes takes the
 * server down with it; none of that belongs into a user's backend.  So
 * hce_admin_call() starts this worker for one request and gets one answer.
 *
 * The worker connects to no database, holds no lock and writes nothing, so
 * it may end at any moment.  It is never restarted: whoever wants to know
 * asks again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"

#include "admin/admin.h"
#include "relay/exit_guard.h"

/*
 * Entry point.  "main_arg" is the handle of the requester's segment.
 *
 * A requester that is gone is no error: it was cancelled, and there is
 * nobody left to tell.  Without a resource owner the mapping lives until the
 * process ends.
 */
void
hce_admin_main(Datum main_arg)
{
	dsm_segment *segment;
	shm_toc    *toc;
	shm_mq	   *queue;
	shm_mq_handle *output;
	HceAdminRequest *request;
	HceAdminAnswer *answer;

	hce_exit_guard_install();
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		return;
	toc = shm_toc_attach(HCE_ADMIN_MAGIC, dsm_segment_address(segment));
	if (toc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shared memory segment of the admin worker has a wrong magic number")));

	request = shm_toc_lookup(toc, HCE_ADMIN_KEY_REQUEST, false);
	queue = shm_toc_lookup(toc, HCE_ADMIN_KEY_QUEUE, false);
	shm_mq_set_sender(queue, MyProc);
	output = shm_mq_attach(queue, segment, NULL);

	answer = palloc0(hce_admin_answer_size(request->ntopics));
	answer->ntopics = request->ntopics;
	hce_kafka_admin_run(request, answer);

	/* That the requester has gone meanwhile is no error either. */
	(void) shm_mq_send(output, hce_admin_answer_size(answer->ntopics), answer,
					   false, true);
}
