/*-------------------------------------------------------------------------
 *
 * drain_leave.c
 *		How rows leave hcevents.parked_store, and are counted.
 *
 * What became of a row is noted when its report comes, and its row is deleted
 * in the transaction that writes the next position row.
 *
 * The deletion decides how an event is counted: who deletes its row counts it.
 * hcevents.forget() may have taken a row that is with Kafka; then it is dead,
 * and its acknowledgement is of no account.  Rows that a transaction which is
 * open has locked are left for the next time, since the relay waits for
 * nobody; until then their topic sends what is behind them from the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "relay/parking.h"

/*
 * A row is to be deleted with the next position row: its event was delivered
 * or, with a letter, is dead.
 */
void
hce_drain_leave(HceRelay *relay, const HceParkedEvent *event,
				HceParkTopic *park, uint32 bytes, bool resent,
				HceDeadLetter *letter)
{
	HceParking *parking = relay->parking;
	HceLeaving *row;

	if (parking->nleaving == parking->leaving_capacity)
	{
		parking->leaving_capacity = Max(1024, parking->leaving_capacity * 2);
		parking->leaving = parking->leaving == NULL ?
			MemoryContextAlloc(relay->context,
							   parking->leaving_capacity * sizeof(HceLeaving)) :
			repalloc_huge(parking->leaving,
						  parking->leaving_capacity * sizeof(HceLeaving));
	}
	if (parking->nleaving == parking->nheld)
		parking->leaving_since = relay->poll_time;
	row = &parking->leaving[parking->nleaving++];
	row->key = event->key;
	row->park = park;
	row->type = event->skeleton->type;
	row->bytes = bytes;
	row->commit_time = event->commit_time;
	row->settled_time = relay->poll_time;
	row->letter = letter;
	row->resent = resent;
	row->fate = HCE_ROW_DELETED;
	parking->letters_leave |= letter != NULL;
	park->leaving++;
	park->rows--;
	park->bytes -= bytes + HCE_PARKED_OVERHEAD;
	park->to_store = true;
}

/* A row was deleted: count its event. */
static void
count_row(HceRelay *relay, const HceLeaving *row)
{
	HceRelayType *type = &relay->types[row->type];

	type->settled.parked--;
	if (row->resent)
		type->settled.redelivered++;
	type->to_publish = type->to_store = true;
	if (row->letter == NULL)
		hce_relay_count_delivered(relay, type, row->bytes, row->commit_time,
								  row->settled_time);
	else
	{
		type->settled.dead++;
		hce_dead_letter_keep_copy(relay, row->letter);
	}
}

/* Somebody else has deleted a row, and counted it, also in its topic. */
static void
forget_row(HceRelay *relay, const HceLeaving *row)
{
	row->park->rows++;
	row->park->bytes += row->bytes + HCE_PARKED_OVERHEAD;
	if (row->letter != NULL)
		hce_dead_letter_free(relay, row->letter);
}

/*
 * Delete the rows that are to leave, inside the transaction that writes the
 * position row, before dead letters and counters.
 */
void
hce_drain_store(HceRelay *relay)
{
	HceParking *parking = relay->parking;
	int			held = 0;

	if (parking->nleaving == 0)
		return;
	hce_parked_delete(parking->leaving, parking->nleaving);
	for (HceParkTopic *park = parking->topics; park != NULL; park = park->next)
		park->leaving = park->held = 0;
	for (int i = 0; i < parking->nleaving; i++)
	{
		HceLeaving *row = &parking->leaving[i];

		if (row->fate == HCE_ROW_DELETED)
			count_row(relay, row);
		else if (row->fate == HCE_ROW_GONE)
			forget_row(relay, row);
		else
		{
			row->park->leaving++;
			row->park->held++;
			if (row->letter != NULL)
				hce_dead_letter_discount(relay, row->letter);
			parking->leaving[held++] = *row;
		}
	}
	if (held > 0 && parking->nheld == 0)
		ereport(LOG,
				errmsg("%d delivered events stay in hcevents.parked_store of database \"%s\" for now: other transactions have locked them",
					   held, relay->database));
	parking->nleaving = parking->nheld = held;
	parking->leaving_since = relay->poll_time;
	parking->letters_leave = false;
}

/* Whether a row is to be deleted, so that it must not be sent again. */
bool
hce_drain_leaves(const HceRelay *relay, HceParkedKey key)
{
	const HceParking *parking = relay->parking;

	for (int i = 0; i < parking->nleaving; i++)
	{
		const HceParkedKey *leaves = &parking->leaving[i].key;

		if (leaves->position.lsn == key.position.lsn &&
			leaves->position.index == key.position.index &&
			leaves->epoch == key.epoch)
			return true;
	}
	return false;
}
