/*-------------------------------------------------------------------------
 *
 * relay_answers.c
 *		What the producer says, and asks, of the events that it was given.
 *
 * An event is one of two: sent from the WAL, then the settle list knows it by
 * its number, or one that was parked, then drain.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "relay/parking.h"

/* Producer's callback: Kafka acknowledged an event. */
void
hce_relay_delivered(void *arg, uint64 number)
{
	HceRelay   *relay = arg;
	HceInFlight *event;
	HceRelaySkeleton *skeleton;

	if (hce_drain_delivered(relay, number))
		return;
	event = hce_settle_event(relay->settle, number);
	event->settled_time = relay->poll_time;
	skeleton = event->skeleton;
	skeleton->park->unsettled--;
	hce_settle_done(relay->settle, number, HCE_DELIVERED);
}

/* Producer's callback: Kafka will never take an event. */
void
hce_relay_refused(void *arg, const HceMessage *message, const char *error)
{
	HceRelay   *relay = arg;
	HceInFlight *event;
	unsigned char id[HCE_UUID_SIZE] = {0};
	HceDeadLetter letter;

	if (hce_drain_refused(relay, message, error))
		return;
	event = hce_settle_event(relay->settle, message->number);
	((HceRelaySkeleton *) event->skeleton)->park->unsettled--;
	/* the envelope begins with its id */
	(void) hce_event_id_parse(message->value + sizeof("{\"event_id\":\"") - 1, id);
	hce_dead_letter_init(&letter, event->skeleton, event->position,
						 event->commit_time, id);
	if (message->key != NULL)
		letter.key = pnstrdup(message->key, message->key_len);
	hce_dead_letter_set_headers(&letter, message->headers, message->nheaders);
	letter.reason = "refused";
	letter.error = error;
	letter.envelope = pnstrdup(message->value, message->value_len);
	letter.size = (int64) message->value_len;
	hce_dead_letter_keep(relay, &letter);
	hce_settle_done(relay->settle, message->number, HCE_DEAD);
}

/* Producer's question: the timestamp of an event in flight. */
int64
hce_relay_timestamp_ms(void *arg, uint64 number)
{
	HceRelay   *relay = arg;
	int64		ms;

	if (hce_drain_timestamp_ms(relay, number, &ms))
		return ms;
	return hce_relay_kafka_time(hce_settle_event(relay->settle, number)->commit_time);
}

/* Producer's callback: an event may be in Kafka already and is sent again. */
void
hce_relay_resent(void *arg, uint64 number)
{
	HceRelay   *relay = arg;

	if (!hce_drain_resent(relay, number))
		hce_settle_event(relay->settle, number)->resent = true;
}
