/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *		What the fuzz targets share.
 *
 * Each target is a program of libFuzzer, linked with the stand-ins of
 * test/unit.  Memory of one input is in a context that is emptied after it;
 * an ereport(ERROR) ends the input.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_FUZZ_H
#define HCE_FUZZ_H

#include "../unit/stubs.h"

extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

/* A property that must hold for every input. */
#define MUST(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

#endif							/* HCE_FUZZ_H */
