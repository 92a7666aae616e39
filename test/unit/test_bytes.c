/*
 * event/bytes.c: strings whose length is not known when they are begun.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "unit.h"

/* Lengths around those at which the varint of the length grows. */
static const Size lengths[] = {0, 1, 126, 127, 128, 129, 16382, 16383, 16384,
16385, 2097151, 2097152};

static void
strings_of_all_lengths(void)
{
	HceBytes	bytes;
	const uint8 *pos;
	HceSlice	slice;

	hce_bytes_init(&bytes, CurrentMemoryContext, 1);
	for (int i = 0; i < (int) lengthof(lengths); i++)
	{
		Size		start = hce_bytes_open_string(&bytes);

		for (Size n = 0; n < lengths[i]; n++)
			hce_bytes_append_char(&bytes, (char) (n * 7 + i));
		hce_bytes_close_string(&bytes, start);
	}
	pos = bytes.data;
	for (int i = 0; i < (int) lengthof(lengths); i++)
	{
		CHECK(hce_get_string(&pos, bytes.data + bytes.used, &slice));
		CHECK_INT(slice.len, lengths[i]);
		for (Size n = 0; n < slice.len && !unit_failed(); n++)
			CHECK(slice.data[n] == (char) (n * 7 + i));
	}
	CHECK(pos == bytes.data + bytes.used);
	hce_bytes_free(&bytes);
	CHECK(bytes.data == NULL && bytes.size == 0);
}

static void
grows_from_any_size(void)
{
	for (int round = 0; round < unit_rounds(200); round++)
	{
		HceBytes	bytes;
		char		text[300];
		Size		total = 0;

		hce_bytes_init(&bytes, CurrentMemoryContext, 1 + unit_below(64));
		memset(text, 'x', sizeof(text));
		while (total < 5000)
		{
			Size		len = unit_below(sizeof(text));

			hce_bytes_append(&bytes, text, len);
			total += len;
			CHECK(bytes.used == total && bytes.size >= bytes.used);
		}
		hce_bytes_free(&bytes);
	}
}

const UnitTest bytes_tests[] = {
	{"bytes: strings of all lengths", strings_of_all_lengths},
	{"bytes: grow from any size", grows_from_any_size},
	{NULL, NULL}
};
