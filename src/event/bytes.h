/*-------------------------------------------------------------------------
 *
 * bytes.h
 *		A growable run of bytes, the target of everything that is rendered.
 *
 * A StringInfo would do, but it checks for room and writes a closing NUL at
 * each append, which shows in the time of a bulk insert, and it stops at
 * 1 GB.  Here the caller asks for room once and then writes through a
 * pointer.
 *
 * "data" lives in "context" for as long as its owner says; it moves when it
 * grows, so positions are kept as offsets, never as pointers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_BYTES_H
#define HCE_BYTES_H

#include "event/journal_record.h"

typedef struct HceBytes
{
	uint8	   *data;
	Size		used;
	Size		size;			/* allocated */
	MemoryContext context;		/* where data is allocated */
} HceBytes;

extern void hce_bytes_init(HceBytes *bytes, MemoryContext context, Size size);
extern void hce_bytes_grow(HceBytes *bytes, Size more);
extern void hce_bytes_free(HceBytes *bytes);
extern void hce_bytes_close_long_string(HceBytes *bytes, Size start);
extern void hce_bytes_put_string(HceBytes *bytes, const char *data, Size len);

/* Have room for "more" bytes behind what is used. */
static inline void
hce_bytes_reserve(HceBytes *bytes, Size more)
{
	if (unlikely(bytes->size - bytes->used < more))
		hce_bytes_grow(bytes, more);
}

static inline void
hce_bytes_append(HceBytes *bytes, const void *data, Size len)
{
	hce_bytes_reserve(bytes, len);
	memcpy(bytes->data + bytes->used, data, len);
	bytes->used += len;
}

static inline void
hce_bytes_append_char(HceBytes *bytes, char c)
{
	hce_bytes_reserve(bytes, 1);
	bytes->data[bytes->used++] = (uint8) c;
}

static inline void
hce_bytes_append_varint(HceBytes *bytes, uint64 value)
{
	hce_bytes_reserve(bytes, 10);
	bytes->used = hce_put_varint(bytes->data + bytes->used, value) - bytes->data;
}

/*
 * Open a string whose length is not known yet; returns what
 * hce_bytes_close_string() takes.  One byte is kept for the length: most
 * values are shorter than 128 bytes, and the long ones are moved.
 */
static inline Size
hce_bytes_open_string(HceBytes *bytes)
{
	hce_bytes_reserve(bytes, 1);
	return bytes->used++;
}

static inline void
hce_bytes_close_string(HceBytes *bytes, Size start)
{
	Size		len = bytes->used - start - 1;

	if (likely(len < 0x80))
		bytes->data[start] = (uint8) len;
	else
		hce_bytes_close_long_string(bytes, start);
}

#endif							/* HCE_BYTES_H */
