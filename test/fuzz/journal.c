/*
 * A journal record of any bytes, all the way that the relay takes it: decode,
 * assemble, skeletons, parts, envelope.
 *
 * Nothing is read beyond the record, no envelope is longer than its bound,
 * what the assembler counts is what the decoder finds, and in the end nothing
 * is held.
 */
#include "postgres.h"

#include "event/event_text.h"
#include "relay/assembler.h"
#include "utils/memutils.h"

#include "fuzz.h"

static MemoryContext held = NULL;
static HceAssembler *assembler;
static size_t held_at_start;

static void *
resolve(HceSlice bytes, void *arg)
{
	HceSkeleton *skeleton = palloc(sizeof(HceSkeleton));

	/* the relay raises an error for it; go on to see what others do */
	return hce_skeleton_parse(bytes, skeleton) ? skeleton : NULL;
}

static void
render(const HceSkeleton *skeleton, const HceJournalReader *reader,
	   const HceJournalEvent *event)
{
	HceEventParts parts;
	unsigned char id[HCE_UUID_SIZE];
	char		id_text[HCE_UUID_TEXT];
	char	   *envelope;
	Size		bound;

	hce_event_id_derive(reader->seed, event->number, event->captured_at, id);
	hce_event_id_format(id, id_text);
	if (skeleton == NULL || !hce_event_parts(skeleton, event, &parts))
		return;
	bound = hce_event_envelope_bound(skeleton, event);
	envelope = palloc(bound);
	MUST(hce_event_envelope(envelope, skeleton, event, &parts, id_text) <=
		 envelope + bound);
	pfree(envelope);
}

/* Walk as relay_send.c does; returns how many events could be read. */
static uint64
send(const HceCommitted *committed)
{
	uint64		found = 0;

	for (uint32 i = 0; i < committed->nsegments; i++)
	{
		const HceSegment *segment = &committed->segments[i];
		HceJournalReader reader;
		HceJournalEvent event;
		TransactionId xid;
		uint32		nevents;

		MUST(hce_journal_open(&reader, segment->record->data, segment->record->len));
		for (uint32 s = 0; s < segment->number; s++)
			MUST(hce_journal_next_segment(&reader, &xid, &nevents));
		for (uint32 s = 0; s < segment->span; s++)
		{
			MUST(hce_journal_next_segment(&reader, &xid, &nevents));
			while (hce_journal_next_event(&reader, &event))
			{
				MUST(event.skeleton < segment->record->nskeletons);
				render(segment->record->skeletons[event.skeleton], &reader, &event);
				found++;
			}
			if (hce_journal_malformed(&reader))
				return found;
		}
	}
	return found;
}

/* What is cut out of a record is no longer than it, and holds one xid's events. */
static void
cut(const uint8 *data, size_t size, TransactionId xid)
{
	char	   *part = malloc(size);
	Size		len = hce_journal_cut(part, (const char *) data, size, xid);
	HceJournalReader reader;
	TransactionId owner;
	uint32		nevents;

	MUST(len <= size);
	/* skeletons shorter than any are believed by the length of the record */
	if (len > 0 && hce_journal_open(&reader, part, len))
	{
		while (hce_journal_next_segment(&reader, &owner, &nevents))
			MUST(owner == xid || nevents == 0);
		MUST(!hce_journal_malformed(&reader));
	}
	free(part);
}

static void
take(const uint8 *data, size_t size)
{
	HceJournalReader reader;
	TransactionId xid;
	uint32		nevents;
	HceCommitted *committed;

	if (!hce_assembler_add(assembler, 1000, (const char *) data, (uint32) size))
		return;

	/* commit the first segment's transaction, roll the others back */
	MUST(hce_journal_open(&reader, (const char *) data, size));
	if (hce_journal_next_segment(&reader, &xid, &nevents))
	{
		cut(data, size, xid);
		committed = hce_assembler_commit(assembler, xid, 0, NULL, 2000, 0);
		if (committed != NULL)
		{
			MUST(send(committed) <= committed->nevents);
			hce_assembler_pop(assembler);
		}
		else
			MUST(nevents == 0); /* as of a segment that was cut out */
		hce_assembler_server_restarted(assembler);
	}
	MUST(!hce_assembler_has_open(assembler) && !hce_assembler_full(assembler));
	MUST(stub_context_chunks(held) == held_at_start);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	MemoryContext context = stub_context_create();
	MemoryContext old = MemoryContextSwitchTo(context);

	if (held == NULL)
	{
		held = stub_context_create();
		assembler = hce_assembler_create(held, 1024 * 1024, resolve, NULL);
		held_at_start = stub_context_chunks(held);
	}
	take(data, size);
	MemoryContextSwitchTo(old);
	stub_context_delete(context);
	return 0;
}
