/*-------------------------------------------------------------------------
 *
 * stub_server.c
 *		Small stand-ins for what the pure modules use of the server: hash
 *		tables, lists, dates and encodings.
 *
 * Written anew and as simple as can be, so that they are a second opinion
 * where they compute something (dates, conversions by iconv).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <iconv.h>

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "stubs.h"

/*
 * Hash tables.  A removed entry is freed at once, unlike dynahash's, so that
 * its use afterwards is found.
 */
#define BUCKETS		256

typedef struct Entry
{
	struct Entry *next;
	uint32		bucket;
	int64		data[FLEXIBLE_ARRAY_MEMBER];
} Entry;

struct HTAB
{
	MemoryContext context;
	Size		keysize;
	Size		entrysize;
	long		count;
	Entry	   *buckets[BUCKETS];
};

HTAB *
hash_create(const char *tabname, long nelem, const HASHCTL *info, int flags)
{
	HTAB	   *table = MemoryContextAllocZero(info->hcxt, sizeof(HTAB));

	Assert(flags == (HASH_ELEM | HASH_BLOBS | HASH_CONTEXT));
	table->context = info->hcxt;
	table->keysize = info->keysize;
	table->entrysize = info->entrysize;
	return table;
}

static uint32
bucket_of(const HTAB *table, const void *key)
{
	const unsigned char *bytes = key;
	uint32		hash = 5381;

	for (Size i = 0; i < table->keysize; i++)
		hash = hash * 33 + bytes[i];
	return hash % BUCKETS;
}

void *
hash_search(HTAB *table, const void *key, HASHACTION action, bool *found)
{
	uint32		bucket = bucket_of(table, key);
	Entry	  **link = &table->buckets[bucket];
	Entry	   *entry;

	while (*link != NULL && memcmp((*link)->data, key, table->keysize) != 0)
		link = &(*link)->next;
	entry = *link;
	if (found != NULL)
		*found = entry != NULL;
	if (action == HASH_REMOVE && entry != NULL)
	{
		*link = entry->next;
		table->count--;
		pfree(entry);
		return key == NULL ? NULL : unconstify(void *, key);
	}
	if (action == HASH_ENTER && entry == NULL)
	{
		entry = MemoryContextAlloc(table->context,
								   offsetof(Entry, data) + table->entrysize);
		/* what the caller forgets to set is not zero */
		memset(entry->data, 0x5a, table->entrysize);
		memcpy(entry->data, key, table->keysize);
		entry->bucket = bucket;
		entry->next = table->buckets[bucket];
		table->buckets[bucket] = entry;
		table->count++;
	}
	return entry == NULL ? NULL : entry->data;
}

long
hash_get_num_entries(HTAB *table)
{
	return table->count;
}

void
hash_seq_init(HASH_SEQ_STATUS *status, HTAB *table)
{
	status->hashp = table;
	status->curBucket = 0;
	status->curEntry = (HASHELEMENT *) table->buckets[0];
}

/* The one returned may be removed before the next call, as with dynahash. */
void *
hash_seq_search(HASH_SEQ_STATUS *status)
{
	Entry	   *entry = (Entry *) status->curEntry;

	while (entry == NULL)
	{
		if (++status->curBucket == BUCKETS)
			return NULL;
		entry = status->hashp->buckets[status->curBucket];
	}
	status->curEntry = (HASHELEMENT *) entry->next;
	return entry->data;
}

void
hash_seq_term(HASH_SEQ_STATUS *status)
{
}

List *
lappend(List *list, void *datum)
{
	if (list == NIL)
	{
		list = palloc0(sizeof(List));
		list->type = T_List;
	}
	if (list->length == list->max_length)
	{
		list->max_length = list->max_length * 2 + 4;
		list->elements = list->elements == NULL ?
			palloc(list->max_length * sizeof(ListCell)) :
			repalloc(list->elements, list->max_length * sizeof(ListCell));
	}
	list->elements[list->length++].ptr_value = datum;
	return list;
}

/* Day by day from a day that is known: slow and surely right. */
static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

void
j2date(int jd, int *year, int *month, int *day)
{
	int64		left = (int64) jd - POSTGRES_EPOCH_JDATE;
	int64		cycles = left / 146097;		/* days in 400 years */

	left -= cycles * 146097;
	if (left < 0)
	{
		left += 146097;
		cycles--;
	}
	*year = 2000 + (int) cycles * 400;
	while (left >= (is_leap(*year) ? 366 : 365))
		left -= is_leap((*year)++) ? 366 : 365;
	*month = 1;
	while (left >= days_in_month(*year, *month))
		left -= days_in_month(*year, (*month)++);
	*day = (int) left + 1;
}

/* Encodings. */
int			stub_encoding = PG_UTF8;

const char *
stub_encoding_name(int encoding)
{
	static const char *const names[] = {
		[PG_EUC_JP] = "EUC-JP", [PG_EUC_CN] = "EUC-CN", [PG_EUC_KR] = "EUC-KR",
		[PG_EUC_TW] = "EUC-TW", [PG_EUC_JIS_2004] = "EUC-JISX0213",
		[PG_UTF8] = "UTF-8", [PG_LATIN1] = "ISO-8859-1",
		[PG_LATIN2] = "ISO-8859-2", [PG_LATIN3] = "ISO-8859-3",
		[PG_LATIN4] = "ISO-8859-4", [PG_LATIN5] = "ISO-8859-9",
		[PG_LATIN6] = "ISO-8859-10", [PG_LATIN7] = "ISO-8859-13",
		[PG_LATIN8] = "ISO-8859-14", [PG_LATIN9] = "ISO-8859-15",
		[PG_LATIN10] = "ISO-8859-16", [PG_WIN1256] = "CP1256",
		[PG_WIN1258] = "CP1258", [PG_WIN866] = "CP866", [PG_WIN874] = "CP874",
		[PG_KOI8R] = "KOI8-R", [PG_WIN1251] = "CP1251", [PG_WIN1252] = "CP1252",
		[PG_ISO_8859_5] = "ISO-8859-5", [PG_ISO_8859_6] = "ISO-8859-6",
		[PG_ISO_8859_7] = "ISO-8859-7", [PG_ISO_8859_8] = "ISO-8859-8",
		[PG_WIN1250] = "CP1250", [PG_WIN1253] = "CP1253",
		[PG_WIN1254] = "CP1254", [PG_WIN1255] = "CP1255",
		[PG_WIN1257] = "CP1257", [PG_KOI8U] = "KOI8-U",
	};

	return encoding < (int) lengthof(names) ? names[encoding] : NULL;
}

int
GetDatabaseEncoding(void)
{
	return stub_encoding;
}

Oid
FindDefaultConversionProc(int32 for_encoding, int32 to_encoding)
{
	Assert(to_encoding == PG_UTF8);
	return stub_encoding_name(for_encoding) == NULL ? InvalidOid :
		(Oid) for_encoding + 1;
}

/* Returns how many bytes could be converted; the result ends with a NUL. */
int
pg_do_encoding_conversion_buf(Oid proc, int src_encoding, int dest_encoding,
							  unsigned char *src, int srclen,
							  unsigned char *dest, int destlen, bool noError)
{
	iconv_t		way = iconv_open("UTF-8", stub_encoding_name(src_encoding));
	char	   *in = (char *) src;
	char	   *out = (char *) dest;
	size_t		in_left = (size_t) srclen;
	size_t		out_left = (size_t) destlen - 1;

	Assert(src[srclen] == '\0' && noError);
	if (way == (iconv_t) -1)
		elog(ERROR, "iconv does not know encoding %d", src_encoding);
	iconv(way, &in, &in_left, &out, &out_left);
	iconv(way, NULL, NULL, &out, &out_left);
	iconv_close(way);
	*out = '\0';
	return srclen - (int) in_left;
}
