/*-------------------------------------------------------------------------
 *
 * event_id.c
 *		Event ids: UUID version 7, derived from a record's seed.
 *
 * An id is not stored with its event.  It is computed from the record's
 * random seed, the event's number in the record and its capture time, so that
 * each reading of the journal gives the same id.  One journal record needs
 * one seed; a system call per event would cost more than rendering it.
 *
 * This is the only file that knows libuuid.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <uuid/uuid.h>

#include "event/event_id.h"
#include "utils/timestamp.h"

/* What a seed is made of: random at the first use, then stepped. */
static uint64 seed_state[2];
static bool seed_ready = false;

StaticAssertDecl(sizeof(uuid_t) == HCE_UUID_SIZE, "libuuid's uuid_t has 16 bytes");

/* The finalizer of splitmix64: every input bit changes half of the output. */
static inline uint64
mix64(uint64 x)
{
	x = (x ^ (x >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

#define GOLDEN_GAMMA	UINT64CONST(0x9e3779b97f4a7c15)

/*
 * Make the seed of a new record.
 *
 * The state is random per process (it is filled after the fork, at the first
 * use) and has 122 random bits; stepping it is enough within the process.
 */
void
hce_event_id_new_seed(unsigned char seed[HCE_SEED_SIZE])
{
	uint64		out[2];

	if (!seed_ready)
	{
		uuid_t		random;

		uuid_generate_random(random);
		memcpy(seed_state, random, sizeof(seed_state));
		seed_ready = true;
	}
	seed_state[0] += GOLDEN_GAMMA;
	out[0] = mix64(seed_state[0]);
	out[1] = mix64(seed_state[1] ^ out[0]);
	memcpy(seed, out, HCE_SEED_SIZE);
}

/*
 * The id of event "number" of the record with this seed.
 *
 * The first 48 bits are the capture time in milliseconds of the Unix epoch,
 * big-endian, as version 7 wants them; the other 74 come from the seed.
 */
void
hce_event_id_derive(const unsigned char seed[HCE_SEED_SIZE], uint32 number,
					TimestampTz captured_at, unsigned char id[HCE_UUID_SIZE])
{
	uint64		half[2];
	uint64		unix_ms;

	memcpy(half, seed, HCE_SEED_SIZE);
	half[0] = mix64(half[0] + (uint64) number * GOLDEN_GAMMA);
	half[1] = mix64(half[1] ^ half[0]);

	unix_ms = (uint64) (captured_at / 1000 +
						(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
						SECS_PER_DAY * 1000);
	for (int i = 0; i < 6; i++)
		id[i] = (unsigned char) (unix_ms >> (40 - 8 * i));
	memcpy(id + 6, (char *) half, 2);
	memcpy(id + 8, half + 1, 8);
	id[6] = (unsigned char) ((id[6] & 0x0f) | 0x70);
	id[8] = (unsigned char) ((id[8] & 0x3f) | 0x80);
}

#define HEX_ROW(digit) \
	digit "0" digit "1" digit "2" digit "3" digit "4" digit "5" digit "6" \
	digit "7" digit "8" digit "9" digit "a" digit "b" digit "c" digit "d" \
	digit "e" digit "f"

/* The two digits of each byte, one after the other. */
static const char hex_digits[] =
	HEX_ROW("0") HEX_ROW("1") HEX_ROW("2") HEX_ROW("3")
	HEX_ROW("4") HEX_ROW("5") HEX_ROW("6") HEX_ROW("7")
	HEX_ROW("8") HEX_ROW("9") HEX_ROW("a") HEX_ROW("b")
	HEX_ROW("c") HEX_ROW("d") HEX_ROW("e") HEX_ROW("f");

/* Write bytes as hexadecimal digits; returns the place behind them. */
char *
hce_put_hex(char *dst, const void *bytes, int count)
{
	const unsigned char *from = bytes;

	for (int i = 0; i < count; i++)
	{
		memcpy(dst, hex_digits + 2 * from[i], 2);
		dst += 2;
	}
	return dst;
}

/*
 * Write an id as HCE_UUID_TEXT characters, without a closing NUL.
 *
 * The same text as uuid_unparse_lower(), which goes through sprintf.
 */
void
hce_event_id_format(const unsigned char id[HCE_UUID_SIZE], char *str)
{
	str = hce_put_hex(str, id, 4);
	for (int i = 4; i < 10; i += 2)
	{
		*str++ = '-';
		str = hce_put_hex(str, id + i, 2);
	}
	*str++ = '-';
	(void) hce_put_hex(str, id + 10, HCE_UUID_SIZE - 10);
}

/*
 * Read an id's text, which need not end with a NUL; false if it is none.
 */
bool
hce_event_id_parse(const char *str, unsigned char id[HCE_UUID_SIZE])
{
	char		copy[HCE_UUID_TEXT + 1];
	uuid_t		parsed;

	memcpy(copy, str, HCE_UUID_TEXT);
	copy[HCE_UUID_TEXT] = '\0';
	if (uuid_parse(copy, parsed) != 0)
		return false;
	memcpy(id, parsed, HCE_UUID_SIZE);
	return true;
}
