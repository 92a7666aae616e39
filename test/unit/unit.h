/*-------------------------------------------------------------------------
 *
 * unit.h
 *		Unit tests of the modules that need no server.
 *
 * A test is a function that uses CHECK().  The first failed CHECK of a test
 * is told with its place, its values where CHECK_INT is used, and the seed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_UNIT_H
#define HCE_UNIT_H

#include "event/bytes.h"
#include "stubs.h"

typedef struct UnitTest
{
	const char *name;
	void		(*run) (void);
} UnitTest;

extern void unit_fail(const char *file, int line, const char *format,...)
			pg_attribute_printf(3, 4);
extern bool unit_failed(void);

#define CHECK(condition) \
	((condition) ? (void) 0 : unit_fail(__FILE__, __LINE__, "%s", #condition))
#define CHECK_INT(is, should) \
	do { \
		int64 is_ = (int64) (is); \
		int64 should_ = (int64) (should); \
		if (is_ != should_) \
			unit_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #is, \
					  (long long) is_, (long long) should_); \
	} while (0)
#define CHECK_BYTES(data, len, str, str_len) \
	do { \
		CHECK_INT(len, str_len); \
		CHECK((len) == (str_len) && memcmp(data, str, str_len) == 0); \
	} while (0)

/* Random numbers that depend on the seed and on the test alone. */
extern uint64 unit_random(void);
extern uint64 unit_below(uint64 limit);
extern bool unit_chance(int percent);
extern int	unit_rounds(int rounds);

extern const UnitTest bytes_tests[];
extern const UnitTest event_id_tests[];
extern const UnitTest event_text_tests[];
extern const UnitTest histogram_tests[];
extern const UnitTest journal_tests[];
extern const UnitTest json_text_tests[];
extern const UnitTest settle_tests[];
extern const UnitTest spec_args_tests[];
extern const UnitTest transactions_tests[];

#endif							/* HCE_UNIT_H */
