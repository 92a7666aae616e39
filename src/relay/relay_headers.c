/*-------------------------------------------------------------------------
 *
 * relay_headers.c
 *		The headers of an event's message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "utils/builtins.h"

#include "relay/relay.h"

/*
 * The position header: sorts as text in publication order, since the epoch is
 * 1 or, from the first change of timeline on, has nine or ten digits; a
 * consumer that wants to be right also in 2031 compares it as a number.
 */
static size_t
format_position(char *dst, int epoch, HcePosition position)
{
	uint64		lsn = pg_hton64(position.lsn);
	uint32		index = pg_hton32(position.index);
	char	   *p = dst + pg_ltoa(epoch, dst);

	*p++ = '-';
	p = hce_put_hex(p, &lsn, sizeof(lsn));
	*p++ = '-';
	p = hce_put_hex(p, &index, sizeof(index));
	return (size_t) (p - dst);
}

/*
 * The headers that publish() was given, as pairs of strings; returns their
 * number.  Names are copied for their NUL, into the turn's memory.
 */
int
hce_relay_more_headers(HceRelay *relay, HceSlice pairs,
					   HceHeader *headers)
{
	const uint8 *pos = (const uint8 *) pairs.data;
	const uint8 *end = pos + pairs.len;
	HceSlice	name;
	HceSlice	value;
	int			count = 0;

	while (count < HCE_MAX_HEADERS - HCE_HEADERS &&
		   hce_get_string(&pos, end, &name) && hce_get_string(&pos, end, &value))
	{
		char	   *copy = MemoryContextAlloc(relay->turn, name.len + 1);

		memcpy(copy, name.data, name.len);
		copy[name.len] = '\0';
		headers[count++] = (HceHeader) {copy, value.data, value.len};
	}
	return count;
}

/*
 * Fill in the headers that are wanted, and behind them the pairs of strings in
 * "more"; returns their number.  "position_text" and "headers" are the
 * caller's, HCE_POSITION_TEXT and HCE_MAX_HEADERS large.
 */
int
hce_relay_headers(HceRelay *relay, const HceRelaySkeleton *skeleton,
				  HceSlice more, const char *id_text, char *position_text,
				  int epoch, HcePosition position, HceHeader *headers)
{
	const HceSlice values[HCE_HEADERS] = {
		[HCE_HEADER_EVENT_ID] = {id_text, HCE_UUID_TEXT},
		[HCE_HEADER_EVENT_TYPE] = skeleton->skeleton.event_type,
		[HCE_HEADER_CONTENT_TYPE] = {"application/json", 16},
		[HCE_HEADER_SOURCE] = skeleton->skeleton.source,
		[HCE_HEADER_DB] = {relay->database, strlen(relay->database)},
		[HCE_HEADER_TABLE] = {skeleton->table, strlen(skeleton->table)},
		[HCE_HEADER_POSITION] = {position_text,
		format_position(position_text, epoch, position)}
	};
	int			count = 0;

	for (int i = 0; i < HCE_HEADERS; i++)
	{
		if (relay->headers[i])
			headers[count++] = (HceHeader) {hce_header_names[i], values[i].data,
			values[i].len};
	}
	if (more.data != NULL)
		count += hce_relay_more_headers(relay, more, headers + count);
	return count;
}
