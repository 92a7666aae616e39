/*
 * A skeleton of any bytes: all slices lie inside it, and one that parses is
 * written again to the same parts.
 */
#include "postgres.h"

#include "event/bytes.h"
#include "event/event_text.h"
#include "utils/memutils.h"

#include "fuzz.h"

static void
check_inside(HceSlice slice, const uint8 *data, size_t size)
{
	MUST(slice.data >= (const char *) data &&
		 slice.data + slice.len <= (const char *) data + size);
}

static void
put(HceBytes *out, HceSlice slice)
{
	hce_bytes_put_string(out, slice.data, slice.len);
}

static bool
same(HceSlice a, HceSlice b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void
write_again(const HceSkeleton *skeleton)
{
	HceBytes	out;
	HceSkeleton again;

	hce_bytes_init(&out, CurrentMemoryContext, 16);
	put(&out, skeleton->event_type);
	put(&out, skeleton->source);
	put(&out, skeleton->schema);
	put(&out, skeleton->table);
	hce_bytes_append_varint(&out, skeleton->key_mode);
	hce_bytes_append_varint(&out, skeleton->nvalues);
	for (int i = 0; i <= skeleton->nvalues; i++)
		put(&out, skeleton->pieces[i]);
	MUST(hce_skeleton_parse((HceSlice) {(char *) out.data, (uint32) out.used}, &again));
	MUST(again.nvalues == skeleton->nvalues && again.key_mode == skeleton->key_mode);
	MUST(same(again.event_type, skeleton->event_type) && same(again.table, skeleton->table));
	for (int i = 0; i <= skeleton->nvalues; i++)
		MUST(same(again.pieces[i], skeleton->pieces[i]));
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	MemoryContext context = stub_context_create();
	MemoryContext old = MemoryContextSwitchTo(context);
	HceSlice	bytes = {(const char *) data, (uint32) size};
	HceSkeleton skeleton;

	if (hce_skeleton_parse(bytes, &skeleton))
	{
		check_inside(skeleton.event_type, data, size);
		check_inside(skeleton.source, data, size);
		check_inside(skeleton.schema, data, size);
		check_inside(skeleton.table, data, size);
		for (int i = 0; i <= skeleton.nvalues; i++)
			check_inside(skeleton.pieces[i], data, size);
		write_again(&skeleton);
	}
	MemoryContextSwitchTo(old);
	stub_context_delete(context);
	return 0;
}
