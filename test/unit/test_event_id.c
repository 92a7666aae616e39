/*
 * event/event_id.c: ids are UUIDs of version 7, the same at each reading.
 */
#include "postgres.h"

#include <uuid/uuid.h>

#include "event/event_id.h"
#include "utils/timestamp.h"

#include "unit.h"

#define UNIX_EPOCH_SHIFT_US	(INT64CONST(10957) * 86400 * 1000000)

static void
version_variant_and_time(void)
{
	for (int round = 0; round < unit_rounds(2000); round++)
	{
		unsigned char seed[HCE_SEED_SIZE];
		unsigned char id[HCE_UUID_SIZE];
		unsigned char again[HCE_UUID_SIZE];
		TimestampTz when = (TimestampTz) unit_below(UINT64CONST(3000000000000000));
		uint32		number = (uint32) unit_random();
		uint64		ms = 0;

		hce_event_id_new_seed(seed);
		hce_event_id_derive(seed, number, when, id);
		hce_event_id_derive(seed, number, when, again);
		CHECK(memcmp(id, again, sizeof(id)) == 0);
		CHECK_INT(uuid_type(id), 7);
		CHECK_INT(uuid_variant(id), UUID_VARIANT_DCE);
		for (int i = 0; i < 6; i++)
			ms = ms << 8 | id[i];
		CHECK_INT(ms, (when + UNIX_EPOCH_SHIFT_US) / 1000);
	}
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, HCE_UUID_SIZE);
}

/* Many records of many events, all in one millisecond. */
static void
no_id_twice(void)
{
	int			records = unit_rounds(100);
	int			events = 300;
	unsigned char (*ids)[HCE_UUID_SIZE] = palloc((Size) records * events * HCE_UUID_SIZE);
	int			n = 0;

	for (int r = 0; r < records; r++)
	{
		unsigned char seed[HCE_SEED_SIZE];

		hce_event_id_new_seed(seed);
		for (int e = 0; e < events; e++)
			hce_event_id_derive(seed, (uint32) e, 1, ids[n++]);
	}
	qsort(ids, n, HCE_UUID_SIZE, compare_ids);
	for (int i = 1; i < n; i++)
		CHECK(memcmp(ids[i - 1], ids[i], HCE_UUID_SIZE) != 0);
}

static void
text_and_back(void)
{
	for (int round = 0; round < unit_rounds(2000); round++)
	{
		unsigned char id[HCE_UUID_SIZE];
		unsigned char parsed[HCE_UUID_SIZE];
		char		text[HCE_UUID_TEXT];
		char		expected[HCE_UUID_TEXT + 1];

		for (int i = 0; i < HCE_UUID_SIZE; i++)
			id[i] = (unsigned char) unit_random();
		hce_event_id_format(id, text);
		uuid_unparse_lower(id, expected);
		CHECK(memcmp(text, expected, HCE_UUID_TEXT) == 0);
		CHECK(hce_event_id_parse(text, parsed));
		CHECK(memcmp(id, parsed, HCE_UUID_SIZE) == 0);
		text[unit_below(HCE_UUID_TEXT)] = "g {\"z"[unit_below(5)];
		CHECK(!hce_event_id_parse(text, parsed));
	}
}

const UnitTest event_id_tests[] = {
	{"event id: version, variant and time", version_variant_and_time},
	{"event id: no id twice", no_id_twice},
	{"event id: text and back", text_and_back},
	{NULL, NULL}
};
