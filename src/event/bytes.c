/*-------------------------------------------------------------------------
 *
 * bytes.c
 *		A growable run of bytes: the parts that are not inline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "event/bytes.h"
#include "utils/memutils.h"

void
hce_bytes_init(HceBytes *bytes, MemoryContext context, Size size)
{
	bytes->context = context;
	bytes->data = MemoryContextAlloc(context, size);
	bytes->size = size;
	bytes->used = 0;
}

/*
 * Make room for "more" bytes, at least doubling.
 *
 * "Huge" allocations are allowed: a 64 MB value of control characters needs
 * 384 MB before it can be found too large.
 */
void
hce_bytes_grow(HceBytes *bytes, Size more)
{
	Size		size = Max(bytes->size * 2, bytes->used + more);

	bytes->data = repalloc_huge(bytes->data, size);
	bytes->size = size;
}

void
hce_bytes_free(HceBytes *bytes)
{
	if (bytes->data != NULL)
		pfree(bytes->data);
	bytes->data = NULL;
	bytes->size = bytes->used = 0;
}

/* Close a string of 128 bytes or more: shift it to make room for its length. */
void
hce_bytes_close_long_string(HceBytes *bytes, Size start)
{
	Size		len = bytes->used - start - 1;
	uint8		head[10];
	Size		head_len = hce_put_varint(head, len) - head;

	hce_bytes_reserve(bytes, head_len);
	memmove(bytes->data + start + head_len, bytes->data + start + 1, len);
	memcpy(bytes->data + start, head, head_len);
	bytes->used = start + head_len + len;
}

/* Append a string: its length, then its bytes. */
void
hce_bytes_put_string(HceBytes *bytes, const char *data, Size len)
{
	hce_bytes_append_varint(bytes, len);
	hce_bytes_append(bytes, data, len);
}
