/*
 * event/journal_decode.c: what is written is read, and nothing else is.
 */
#include "postgres.h"

#include "event/journal_record.h"
#include "utils/memutils.h"

#include "unit.h"

#define MOST_EVENTS		200
#define MOST_SKELETONS	5

typedef struct Written
{
	HceBytes	bytes;
	int			nskeletons;
	int			nevents;
	HceJournalEvent events[MOST_EVENTS];
} Written;

static void
varints(void)
{
	uint64		values[64 * 3];
	int			n = 0;

	for (int bit = 0; bit < 64; bit++)
	{
		values[n++] = UINT64CONST(1) << bit;
		values[n++] = (UINT64CONST(1) << bit) - 1;
		values[n++] = unit_random() >> bit;
	}
	for (int i = 0; i < n; i++)
	{
		uint8		bytes[10];
		uint8	   *end = hce_put_varint(bytes, values[i]);
		const uint8 *pos = bytes;
		uint64		value;

		CHECK(hce_get_varint(&pos, end, &value) && pos == end);
		CHECK(value == values[i]);
		CHECK(hce_unzigzag(hce_zigzag((int64) values[i])) == (int64) values[i]);
		for (const uint8 *cut = bytes; cut < end; cut++)
		{
			pos = bytes;
			CHECK(!hce_get_varint(&pos, cut, &value) && pos == bytes);
		}
	}
}

/* More than 64 bits are an error, not a number that lost its upper end. */
static void
varint_too_large(void)
{
	uint8		bytes[12];
	const uint8 *pos;
	uint64		value;

	memset(bytes, 0xff, sizeof(bytes));
	pos = bytes;
	CHECK(!hce_get_varint(&pos, bytes + sizeof(bytes), &value));
	bytes[9] = 0x02;
	pos = bytes;
	CHECK(!hce_get_varint(&pos, bytes + sizeof(bytes), &value));
	bytes[9] = 0x01;
	pos = bytes;
	CHECK(hce_get_varint(&pos, bytes + sizeof(bytes), &value) &&
		  value == PG_UINT64_MAX);
}

/* A slice of random bytes, in the current context. */
static HceSlice
random_slice(Size most)
{
	Size		len = unit_below(most + 1);
	char	   *data = palloc(Max(len, 1));

	for (Size i = 0; i < len; i++)
		data[i] = (char) unit_random();
	return (HceSlice) {data, (uint32) len};
}

static void
write_segment(Written *written, int64 base_time)
{
	HceBytes	body;
	TransactionId xid = 1 + (TransactionId) unit_below(unit_chance(50) ? 3 : PG_UINT32_MAX);
	uint32		first = (uint32) unit_below(1000000);
	int			count = (int) unit_below(Min(10, MOST_EVENTS - written->nevents + 1));

	hce_bytes_init(&body, CurrentMemoryContext, 64);
	for (int i = 0; i < count; i++)
	{
		HceJournalEvent *event = &written->events[written->nevents++];

		event->xid = xid;
		event->number = first + (uint32) i;
		event->captured_at = base_time + (unit_chance(50) ?
										  (int64) unit_below(2000000) - 1000000 : 0);
		event->skeleton = (int) unit_below(written->nskeletons);
		event->flags = (int) unit_below(4);
		event->body = random_slice(unit_chance(5) ? 20000 : 200);
		hce_bytes_append_varint(&body, (uint64) event->skeleton << 2 | event->flags);
		hce_bytes_append_varint(&body, hce_zigzag(event->captured_at - base_time));
		hce_bytes_put_string(&body, event->body.data, event->body.len);
	}
	hce_bytes_append(&written->bytes, &xid, sizeof(xid));
	hce_bytes_append_varint(&written->bytes, first);
	hce_bytes_append_varint(&written->bytes, count);
	hce_bytes_put_string(&written->bytes, (char *) body.data, body.used);
}

/* A random record, by the layout in journal_record.h and by nothing else. */
static void
write_record(Written *written)
{
	HceSlice	seed = {"0123456789abcdef", 16};
	int64		base_time = (int64) unit_random() / 4;
	int			nsegments = (int) unit_below(8);

	hce_bytes_init(&written->bytes, CurrentMemoryContext, 256);
	hce_bytes_append(&written->bytes, seed.data, seed.len);
	hce_bytes_append(&written->bytes, &base_time, sizeof(base_time));
	written->nskeletons = 1 + (int) unit_below(MOST_SKELETONS);
	hce_bytes_append_varint(&written->bytes, written->nskeletons);
	for (int i = 0; i < written->nskeletons; i++)
	{
		HceSlice	skeleton = random_slice(200);

		/* the shortest one: six lengths and counts, and a piece */
		hce_bytes_append_varint(&written->bytes, skeleton.len + 7);
		hce_bytes_append(&written->bytes, "1234567", 7);
		hce_bytes_append(&written->bytes, skeleton.data, skeleton.len);
	}
	written->nevents = 0;
	hce_bytes_append_varint(&written->bytes, nsegments);
	for (int i = 0; i < nsegments; i++)
		write_segment(written, base_time);
}

/* Walk over a record; returns how many events were found. */
static int
walk(const char *data, Size len, const Written *expected)
{
	HceJournalReader reader;
	HceJournalEvent event;
	TransactionId xid;
	uint32		nevents;
	int			found = 0;

	if (hce_journal_open(&reader, data, len))
	{
		while (hce_journal_next_segment(&reader, &xid, &nevents))
		{
			while (hce_journal_next_event(&reader, &event))
			{
				if (expected != NULL && found < expected->nevents)
				{
					const HceJournalEvent *should = &expected->events[found];

					CHECK_INT(event.xid, should->xid);
					CHECK_INT(event.number, should->number);
					CHECK_INT(event.captured_at, should->captured_at);
					CHECK_INT(event.skeleton, should->skeleton);
					CHECK_INT(event.flags, should->flags);
					CHECK_BYTES(event.body.data, event.body.len,
								should->body.data, should->body.len);
				}
				CHECK(event.skeleton < reader.nskeletons);
				found++;
			}
		}
	}
	return hce_journal_malformed(&reader) ? -1 : found;
}

static void
written_is_read(void)
{
	for (int round = 0; round < unit_rounds(300) && !unit_failed(); round++)
	{
		Written		written;

		write_record(&written);
		CHECK_INT(walk((char *) written.bytes.data, written.bytes.used, &written),
				  written.nevents);
		stub_context_reset(CurrentMemoryContext);
	}
}

/* Segments can be skipped, which the relay does to find its place. */
static void
segments_are_skipped(void)
{
	for (int round = 0; round < unit_rounds(300) && !unit_failed(); round++)
	{
		Written		written;
		HceJournalReader reader;
		HceJournalEvent event;
		TransactionId xid;
		uint32		nevents;
		uint32		sum = 0;

		write_record(&written);
		CHECK(hce_journal_open(&reader, (char *) written.bytes.data, written.bytes.used));
		while (hce_journal_next_segment(&reader, &xid, &nevents))
		{
			for (uint32 i = (uint32) unit_below(nevents + 1); i > 0; i--)
			{
				CHECK(hce_journal_next_event(&reader, &event));
				CHECK_INT(event.xid, xid);
			}
			sum += nevents;
		}
		CHECK(!hce_journal_malformed(&reader));
		CHECK_INT(sum, written.nevents);
		stub_context_reset(CurrentMemoryContext);
	}
}

/*
 * A record cut anywhere is malformed.  It lies in memory of just its length,
 * so that a byte read too far is seen by valgrind.
 */
static void
cut_anywhere(void)
{
	for (int round = 0; round < unit_rounds(10) && !unit_failed(); round++)
	{
		Written		written;

		do
			write_record(&written);
		while (written.bytes.used > 5000);
		for (Size len = 0; len < written.bytes.used; len++)
		{
			char	   *cut = palloc(Max(len, 1));

			memcpy(cut, written.bytes.data, len);
			CHECK_INT(walk(cut, len, NULL), -1);
			pfree(cut);
		}
		stub_context_reset(CurrentMemoryContext);
	}
}

static int
count_segments(const char *data, Size len)
{
	HceJournalReader reader;
	TransactionId xid;
	uint32		nevents;
	int			count = 0;

	CHECK(hce_journal_open(&reader, data, len));
	while (hce_journal_next_segment(&reader, &xid, &nevents))
		count++;
	return count;
}

/*
 * What is cut out for one xid has its events, as they were, and as many
 * segments as the record.
 */
static void
cut_by_xid(void)
{
	for (int round = 0; round < unit_rounds(100) && !unit_failed(); round++)
	{
		Written		written;
		Written		part;
		const char *data;
		char	   *cut;
		Size		len;
		TransactionId xid;

		write_record(&written);
		data = (char *) written.bytes.data;
		xid = written.nevents == 0 || unit_chance(10) ? 4 :
			written.events[unit_below(written.nevents)].xid;
		part.nevents = 0;
		for (int i = 0; i < written.nevents; i++)
		{
			if (written.events[i].xid == xid)
				part.events[part.nevents++] = written.events[i];
		}
		cut = palloc(written.bytes.used);
		len = hce_journal_cut(cut, data, written.bytes.used, xid);
		CHECK(len > 0 && len <= written.bytes.used);
		CHECK_INT(walk(cut, len, &part), part.nevents);
		CHECK_INT(count_segments(cut, len), count_segments(data, written.bytes.used));
		CHECK_INT(hce_journal_cut(cut, data, written.bytes.used - 1, xid), 0);
		stub_context_reset(CurrentMemoryContext);
	}
}

/* Whatever a changed byte does, it is found or harmless. */
static void
changed_anywhere(void)
{
	for (int round = 0; round < unit_rounds(300) && !unit_failed(); round++)
	{
		Written		written;

		write_record(&written);
		for (int i = 0; i < 20; i++)
			written.bytes.data[unit_below(written.bytes.used)] = (uint8) unit_random();
		(void) walk((char *) written.bytes.data, written.bytes.used, NULL);
		stub_context_reset(CurrentMemoryContext);
	}
}

/* A count that the bytes cannot hold is refused before memory is taken. */
static void
count_of_an_enemy(void)
{
	HceBytes	bytes;
	HceJournalReader reader;
	char		head[24] = {0};

	hce_bytes_init(&bytes, CurrentMemoryContext, 64);
	hce_bytes_append(&bytes, head, sizeof(head));
	hce_bytes_append_varint(&bytes, 1000);
	for (int i = 0; i < 1000; i++)
		hce_bytes_append_char(&bytes, '\0');
	hce_bytes_append_varint(&bytes, 0);
	CHECK(!hce_journal_open(&reader, (char *) bytes.data, bytes.used));
	CHECK(hce_journal_malformed(&reader));
}

const UnitTest journal_tests[] = {
	{"journal: varints", varints},
	{"journal: varint too large", varint_too_large},
	{"journal: what is written is read", written_is_read},
	{"journal: segments are skipped", segments_are_skipped},
	{"journal: cut anywhere", cut_anywhere},
	{"journal: cut by xid", cut_by_xid},
	{"journal: changed anywhere", changed_anywhere},
	{"journal: the count of an enemy", count_of_an_enemy},
	{NULL, NULL}
};
