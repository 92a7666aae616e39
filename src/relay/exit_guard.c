/*-------------------------------------------------------------------------
 *
 * exit_guard.c
 *		How a process with librdkafka threads ends.
 *
 * exit() runs the atexit handlers and destructors of every library
 * (librdkafka, OpenSSL, Cyrus SASL) while librdkafka's threads still use what
 * those free.  A crash there is a crash of a PostgreSQL process, and that
 * restarts the whole server.  rd_kafka_destroy() first would be the clean
 * way, but it joins threads without a time-out, and one of them may sit in
 * getaddrinfo() for minutes.  So the process ends by _exit(), after
 * PostgreSQL has cleaned up all of its own and before any library can.
 *
 * Owns nothing but that last step; knows nothing of Kafka.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "storage/ipc.h"

#include "relay/exit_guard.h"

/*
 * The last on_proc_exit callback.
 *
 * shmem_exit() has run: locks, the slot, the DSM segments and the PGPROC are
 * given back, and the postmaster's dead-man switch is off, so that it takes
 * _exit() for an ordinary end.  What is skipped is smgrshutdown(), which only
 * closes files, as the kernel does.
 *
 * Any code but 0 and 1 would make the postmaster restart the server.  It can
 * only come from a library that called exit() by itself (atexit_callback()
 * then passes -1); shared memory has been left in order all the same, so it
 * counts as an ordinary failure.
 */
static void
end_process(int code, Datum arg)
{
	_exit(code == 0 ? 0 : 1);
}

/*
 * Make this process end by _exit().
 *
 * Call it first in a background worker's main function, before anything else
 * can register an on_proc_exit callback: they run in reverse order, and those
 * registered before this one do not run at all.  Works for every way out:
 * return from main, ERROR, FATAL, SIGTERM, death of the postmaster.
 */
void
hce_exit_guard_install(void)
{
	on_proc_exit(end_process, (Datum) 0);
}
