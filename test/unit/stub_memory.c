/*-------------------------------------------------------------------------
 *
 * stub_memory.c
 *		palloc() over malloc(), and errors over longjmp().
 *
 * Every chunk is a malloc of its own, so that valgrind and AddressSanitizer
 * see each byte too far and each use after pfree, which PostgreSQL's own
 * allocator hides from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "nodes/memnodes.h"
#include "utils/memutils.h"

#include "stubs.h"

typedef struct Context
{
	MemoryContextData head;
	dlist_head	chunks;
	size_t		nchunks;
} Context;

typedef struct Chunk
{
	dlist_node	node;
	Context    *context;
	Size		size;
} Chunk;

static Context top;

MemoryContext TopMemoryContext = &top.head;
MemoryContext CurrentMemoryContext = &top.head;

sigjmp_buf *stub_catch = NULL;
char		stub_message[1024];
int			stub_warnings = 0;

static void
init_context(Context *context)
{
	if (context->chunks.head.next == NULL)
		dlist_init(&context->chunks);
}

MemoryContext
stub_context_create(void)
{
	Context    *context = calloc(1, sizeof(Context));

	init_context(context);
	return &context->head;
}

static void
free_chunk(Chunk *chunk)
{
	dlist_delete(&chunk->node);
	chunk->context->nchunks--;
	free(chunk);
}

void
stub_context_reset(MemoryContext context)
{
	dlist_mutable_iter iter;

	init_context((Context *) context);
	dlist_foreach_modify(iter, &((Context *) context)->chunks)
		free_chunk(dlist_container(Chunk, node, iter.cur));
}

void
stub_context_delete(MemoryContext context)
{
	stub_context_reset(context);
	free(context);
}

size_t
stub_context_chunks(MemoryContext context)
{
	return ((Context *) context)->nchunks;
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	Chunk	   *chunk;

	init_context((Context *) context);
	if (!AllocHugeSizeIsValid(size) ||
		(chunk = malloc(sizeof(Chunk) + size)) == NULL)
		elog(ERROR, "invalid memory alloc request size %zu", size);
	chunk->context = (Context *) context;
	chunk->size = size;
	chunk->context->nchunks++;
	dlist_push_tail(&chunk->context->chunks, &chunk->node);
	return chunk + 1;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	return MemoryContextAllocHuge(context, size);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return memset(MemoryContextAlloc(context, size), 0, size);
}

void *
MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return MemoryContextAllocZero(context, size);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void
pfree(void *pointer)
{
	free_chunk((Chunk *) pointer - 1);
}

/* Always moves, so that a pointer kept from before is found out. */
void *
repalloc_huge(void *pointer, Size size)
{
	Chunk	   *old = (Chunk *) pointer - 1;
	void	   *moved = MemoryContextAllocHuge(&old->context->head, size);

	memcpy(moved, pointer, Min(size, old->size));
	free_chunk(old);
	return moved;
}

void *
repalloc(void *pointer, Size size)
{
	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	return repalloc_huge(pointer, size);
}

char *
MemoryContextStrdup(MemoryContext context, const char *string)
{
	Size		len = strlen(string) + 1;

	return memcpy(MemoryContextAlloc(context, len), string, len);
}

char *
pstrdup(const char *string)
{
	return MemoryContextStrdup(CurrentMemoryContext, string);
}

char *
pnstrdup(const char *string, Size len)
{
	char	   *copy;

	len = strnlen(string, len);
	copy = palloc(len + 1);
	memcpy(copy, string, len);
	copy[len] = '\0';
	return copy;
}

char *
psprintf(const char *format,...)
{
	char		text[8192];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return pstrdup(text);
}

/* The error being reported; they do not nest. */
static int	error_level;

bool
errstart(int elevel, const char *domain)
{
	error_level = elevel;
	stub_message[0] = '\0';
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (error_level < ERROR)
	{
		stub_warnings++;
		return;
	}
	if (stub_catch != NULL)
		siglongjmp(*stub_catch, 1);
	fprintf(stderr, "%s:%d: error: %s\n", filename, lineno, stub_message);
	abort();
}

int
errcode(int sqlerrcode)
{
	return 0;
}

#define TAKE_MESSAGE() \
	do { \
		va_list		args_; \
		va_start(args_, fmt); \
		vsnprintf(stub_message, sizeof(stub_message), fmt, args_); \
		va_end(args_); \
	} while (0)

int
errmsg(const char *fmt,...)
{
	TAKE_MESSAGE();
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	TAKE_MESSAGE();
	return 0;
}

/* Formatted as well: an argument that does not fit its format is found. */
int
errhint(const char *fmt,...)
{
	char		message[sizeof(stub_message)];

	memcpy(message, stub_message, sizeof(message));
	TAKE_MESSAGE();
	memcpy(stub_message, message, sizeof(message));
	return 0;
}
