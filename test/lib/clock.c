/*-------------------------------------------------------------------------
 *
 * clock.c
 *		A wall clock that tests set: to be preloaded by a server.
 *
 * gettimeofday(), which is PostgreSQL's clock, is off by as many seconds as
 * the file named by HCE_TEST_CLOCK says, a 64-bit integer of the machine's.
 * It is mapped, so a change is seen at once.  Clocks that measure how long
 * something took are left alone.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static const volatile int64_t *
offset(void)
{
	static const volatile int64_t none = 0;
	static const volatile int64_t *mapped = NULL;
	const char *name = getenv("HCE_TEST_CLOCK");
	int			fd;

	if (mapped != NULL)
		return mapped;
	mapped = &none;
	if (name != NULL && (fd = open(name, O_RDONLY)) >= 0)
	{
		void	   *found = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);

		if (found != MAP_FAILED)
			mapped = found;
	}
	return mapped;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void) zone;
	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec + *offset();
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}
