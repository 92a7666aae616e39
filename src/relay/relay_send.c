/*-------------------------------------------------------------------------
 *
 * relay_send.c
 *		The relay's second half: from committed transactions to the producer.
 *
 * A cursor walks over the events of the oldest visible transaction, makes
 * each one's envelope and headers, and hands it to the producer.  It stops
 * wherever the producer takes no more and goes on there later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "relay/parking.h"

/* Events sent in one turn of the loop, so that reports are served. */
#define SEND_PER_TURN	5000

/*
 * Events between the settled prefix and the last one sent.  One event that
 * Kafka does not acknowledge, while others pass it, must neither fill memory
 * nor let the position fall behind without end: after a crash all that is
 * beyond the position is sent again.
 */
#define MAX_UNSETTLED	200000

/*
 * Grouping, when commits follow each other fast (relay.c): while Kafka has not
 * answered yet, so few events wait for the others that will come, but no longer
 * than so.  Few large requests cost the broker, the relay and with them the
 * writers less than many small ones.
 */
#define WORTH_A_REQUEST	2000
#define GATHER_US		(20 * 1000)

/* Milliseconds between 1970 and 2000. */
#define EPOCH_SHIFT_MS \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) 86400000)

/* Kafka's timestamp of an event is the time of its commit. */
int64
hce_relay_kafka_time(TimestampTz commit_time)
{
	return commit_time / 1000 + EPOCH_SHIFT_MS;
}

/* Register the cursor's event as sent; returns its in-flight entry. */
static void
register_event(HceRelay *relay, const HceRelaySkeleton *skeleton,
			   const HceCommitted *committed, size_t bytes, HceSettled settled)
{
	HceInFlight in_flight;

	memset(&in_flight, 0, sizeof(in_flight));
	in_flight.position.lsn = committed->commit_lsn;
	in_flight.position.index = relay->cursor.index;
	in_flight.commit_time = committed->commit_time;
	in_flight.bytes = (uint32) bytes;
	in_flight.skeleton = unconstify(HceRelaySkeleton *, skeleton);
	in_flight.settled = (uint8) settled;
	in_flight.resent = hce_position_before(in_flight.position, relay->resend_to);
	hce_settle_add(relay->settle, &in_flight);
	if (settled == HCE_UNSETTLED)
		skeleton->park->unsettled++;
	if (!in_flight.resent)
	{
		relay->sent = in_flight.position;
		relay->sent.index++;
	}
}

/* An event that could not be captured: what there is of it becomes a dead letter. */
static void
bury_failed(HceRelay *relay, const HceRelaySkeleton *skeleton,
			const HceCommitted *committed, const HceEventParts *parts,
			const unsigned char *id)
{
	HcePosition position = {committed->commit_lsn, relay->cursor.index};
	const uint8 *pos = parts->values;
	HceSlice	reason = {"unknown", 7};
	HceSlice	error = {"unknown", 7};
	HceDeadLetter letter;

	(void) hce_get_string(&pos, parts->values_end, &reason);
	(void) hce_get_string(&pos, parts->values_end, &error);
	register_event(relay, skeleton, committed, 0, HCE_DEAD);
	hce_dead_letter_init(&letter, skeleton, position, committed->commit_time, id);
	if (parts->key.data != NULL)
		letter.key = pnstrdup(parts->key.data, parts->key.len);
	letter.reason = pnstrdup(reason.data, reason.len);
	letter.error = pnstrdup(error.data, error.len);
	hce_dead_letter_keep(relay, &letter);
}

/* An event that has no topic: a dead letter with all that a retry needs. */
static void
bury_unsendable(HceRelay *relay, const HceRelaySkeleton *skeleton,
				const HceCommitted *committed, const HceEventParts *parts,
				const unsigned char *id, HceSlice envelope)
{
	HcePosition position = {committed->commit_lsn, relay->cursor.index};
	HceHeader	headers[HCE_MAX_HEADERS];
	HceDeadLetter letter;

	hce_dead_letter_init(&letter, skeleton, position, committed->commit_time, id);
	if (parts->key.data != NULL)
		letter.key = pnstrdup(parts->key.data, parts->key.len);
	if (parts->headers.data != NULL)
		hce_dead_letter_set_headers(&letter, headers,
									hce_relay_more_headers(relay, parts->headers,
														   headers));
	letter.reason = "invalid_topic";
	letter.error = psprintf("\"%s\" is no topic name that Kafka accepts",
							skeleton->topic_name);
	letter.envelope = pnstrdup(envelope.data, envelope.len);
	letter.size = envelope.len;
	hce_dead_letter_keep(relay, &letter);
}

/* A growing buffer for an envelope that is not sent. */
static char *
envelope_buffer(HceRelay *relay, Size size)
{
	if (relay->envelope_size < size)
	{
		if (relay->envelope != NULL)
			pfree(relay->envelope);
		relay->envelope_size = Max(size, 8192);
		relay->envelope = MemoryContextAllocHuge(relay->context,
												 relay->envelope_size);
	}
	return relay->envelope;
}

/*
 * Make the envelope of the cursor's event, and for one that is sent a copy of
 * its key, in the memory where whoever takes it expects them.
 */
static HceSlice
make_envelope(HceRelay *relay, const HceSkeleton *skeleton,
			  HceEventParts *parts, const char *id_text, bool sent)
{
	const HceJournalEvent *event = &relay->cursor.event;
	Size		bound = hce_event_envelope_bound(skeleton, event);
	char	   *envelope;
	char	   *end;

	envelope = sent ? hce_producer_space(relay->producer, bound + parts->key.len) :
		envelope_buffer(relay, bound);
	end = hce_event_envelope(envelope, skeleton, event, parts, id_text);
	if (sent && parts->key.data != NULL)
		parts->key.data = memcpy(end, parts->key.data, parts->key.len);
	return (HceSlice) {envelope, (uint32) (end - envelope)};
}

/* Send the cursor's event; false when the producer takes it later. */
static bool
send_event(HceRelay *relay, const HceCommitted *committed)
{
	HceCursor  *cursor = &relay->cursor;
	HceJournalEvent *event = &cursor->event;
	HceRelaySkeleton *skeleton =
		committed->segments[cursor->segment].record->skeletons[event->skeleton];
	HcePosition position = {committed->commit_lsn, cursor->index};
	HceEventParts parts;
	unsigned char id[HCE_UUID_SIZE];
	char		id_text[HCE_UUID_TEXT + 1];
	char		position_text[HCE_POSITION_TEXT];
	HceHeader	headers[HCE_MAX_HEADERS];
	HceMessage	message;
	HceSend		result = HCE_SEND_NEVER;
	HceSlice	envelope;
	bool		parked;

	if (!hce_event_parts(&skeleton->skeleton, event, &parts))
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("malformed event at %X/%X",
					   LSN_FORMAT_ARGS(committed->segments[cursor->segment].record->lsn)));
	hce_event_id_derive(cursor->reader.seed, event->number, event->captured_at,
						id);
	if (skeleton->skeleton.key_mode == HCE_KEY_FAILED)
	{
		bury_failed(relay, skeleton, committed, &parts, id);
		return true;
	}
	hce_event_id_format(id, id_text);
	parked = skeleton->park != NULL && hce_parking_holds(relay, skeleton->park);
	envelope = make_envelope(relay, &skeleton->skeleton, &parts, id_text,
							 !parked && skeleton->topic != NULL);
	if (parked)
	{
		HceSettled	how = hce_parking_park(relay, skeleton, position,
										   committed->commit_time, id,
										   parts.key, parts.headers, envelope);

		if (how != HCE_UNSETTLED)
			register_event(relay, skeleton, committed,
						   envelope.len + parts.key.len, how);
		return how != HCE_UNSETTLED;
	}
	if (skeleton->topic != NULL)
	{
		message.topic = skeleton->topic;
		message.key = parts.key.data;
		message.key_len = parts.key.len;
		message.value = envelope.data;
		message.value_len = envelope.len;
		message.timestamp_ms = hce_relay_kafka_time(committed->commit_time);
		message.headers = headers;
		message.nheaders = hce_relay_headers(relay, skeleton, parts.headers,
											 id_text, position_text,
											 relay->stored.epoch, position,
											 headers);
		message.number = hce_settle_next(relay->settle);
		result = hce_producer_send(relay->producer, &message);
	}
	if (result == HCE_SEND_LATER)
		return false;
	if (result == HCE_SENT)
		register_event(relay, skeleton, committed,
					   envelope.len + parts.key.len, HCE_UNSETTLED);
	else
	{
		register_event(relay, skeleton, committed, envelope.len, HCE_DEAD);
		bury_unsendable(relay, skeleton, committed, &parts, id, envelope);
	}
	return true;
}

/*
 * An event that the position covers already, at the start of a transaction
 * that was settled in part: it is counted there.
 */
static bool
skip_settled(HceRelay *relay, const HceCommitted *committed)
{
	HceCursor  *cursor = &relay->cursor;
	HceRelaySkeleton *skeleton;

	if (committed->commit_lsn != relay->stored_at_start.lsn ||
		cursor->index >= relay->stored_at_start.index)
		return false;
	skeleton = committed->segments[cursor->segment].record->skeletons[cursor->event.skeleton];
	relay->types[skeleton->type].captured--;
	relay->types[skeleton->type].to_publish = true;
	return true;
}

/*
 * How long events that are ready are to wait for more, in milliseconds; 0 = not
 * at all.
 */
long
hce_relay_gather_ms(const HceRelay *relay)
{
	int64		waited = relay->poll_time - relay->sent_time;

	if (!relay->busy || relay->held_up || relay->producer == NULL ||
		hce_producer_in_flight(relay->producer) == 0 ||
		hce_assembler_committed_events(relay->assembler) >= WORTH_A_REQUEST ||
		waited < 0 || waited >= GATHER_US)
		return 0;
	return (long) ((GATHER_US - waited) / 1000 + 1);
}

/*
 * Send or park what is committed and visible, as much as the producer and the
 * buffer of parked events take, at most a turn's share.  Returns whether there
 * is more that may be sent at once.
 */
static bool
send_committed(HceRelay *relay)
{
	HceCursor  *cursor = &relay->cursor;
	HceCommitted *committed;
	int			sent = 0;

	if (hce_parking_stopped(relay) || hce_relay_gather_ms(relay) > 0)
		return false;
	relay->held_up = false;
	while ((committed = hce_assembler_head(relay->assembler)) != NULL &&
		   committed->visible)
	{
		if (!cursor->open)
		{
			cursor->open = true;
			cursor->index = 0;
			cursor->segment = 0;
			hce_settle_begin(relay->settle, committed->first_lsn);
		}
		while (hce_cursor_next(relay, committed))
		{
			if (sent++ == SEND_PER_TURN)
				return true;
			if (hce_settle_count(relay->settle) >= MAX_UNSETTLED)
			{
				relay->held_up = true;
				return false;
			}
			if (!hce_dead_letters_room(relay))
				return true;
			if (!skip_settled(relay, committed) && !send_event(relay, committed))
			{
				relay->held_up = true;
				return !hce_parking_room(relay);
			}
			hce_cursor_done(cursor);
		}
		hce_assembler_pop(relay->assembler);
		cursor->open = false;
		cursor->segment_open = false;
	}
	return false;
}

/*
 * The same; then what was gathered, here and from the rows of parked events
 * (drain.c), is handed over to librdkafka.
 */
bool
hce_relay_send(HceRelay *relay)
{
	bool		more = send_committed(relay);

	if (relay->producer != NULL && hce_producer_hand_over(relay->producer))
		relay->sent_time = relay->poll_time;
	return more;
}
