/*-------------------------------------------------------------------------
 *
 * parking_pauses.c
 *		hcevents.pause() and what it holds back.
 *
 * hcevents.pause() of one event type pauses each topic that carries it: other
 * types on that topic wait with it, since order within a topic is promised.
 * Its events are parked at once, so that other topics go on.  Which types a
 * topic carries is learned from what is read, of the journal and of the table,
 * before any of it is sent: settings give a type another topic, or several.  A
 * pause of everything leaves events in the WAL until the limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "relay/parking.h"
#include "relay/statement.h"

/* Whether hcevents.pause() of this type is in force. */
static bool
is_paused(const HceRelay *relay, int type)
{
	ListCell   *cell;

	foreach(cell, relay->parking->paused_types)
	{
		if (strcmp(lfirst(cell), relay->types[type].event_type) == 0)
			return true;
	}
	return false;
}

/* A topic carries events of a type. */
void
hce_parking_note_type(HceRelay *relay, HceParkTopic *park, int type)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);

	park->types = list_append_unique_int(park->types, type);
	park->paused |= is_paused(relay, type);
	MemoryContextSwitchTo(old);
}

/* Read hcevents.pauses, in a transaction of its own. */
static void
load_pauses(HceRelay *relay)
{
	HceParking *parking = relay->parking;

	if (!hce_position_begin())
		hce_relay_end(HCE_EXIT_GONE);
	list_free_deep(parking->paused_types);
	parking->paused_types = NIL;
	parking->paused = false;
	hce_statement_query("SELECT event_type, coalesce(reason, 'no reason given')"
						" FROM hcevents.pauses", SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *event_type = hce_text_string(hce_result(i, 1, NULL));
		MemoryContext old;

		if (strcmp(event_type, "*") == 0)
		{
			parking->paused = true;
			strlcpy(parking->pause_reason, hce_text_string(hce_result(i, 2, NULL)), HCE_MAX_REASON);
			continue;
		}
		old = MemoryContextSwitchTo(relay->context);
		parking->paused_types = lappend(parking->paused_types, pstrdup(event_type));
		MemoryContextSwitchTo(old);
	}
	hce_position_commit();
}

/* hcevents.pauses has changed. */
void
hce_parking_note_pauses(HceRelay *relay)
{
	load_pauses(relay);
	for (HceParkTopic *park = relay->parking->topics; park != NULL; park = park->next)
	{
		ListCell   *cell;

		park->paused = false;
		foreach(cell, park->types)
			park->paused |= is_paused(relay, lfirst_int(cell));
	}
}

/*
 * What the counters tell of topics whose rows were not read yet: a paused one
 * then need not drain until the first row of the paused type.  Only a hint:
 * newer events may go to another topic.
 */
static void
guess_types(HceRelay *relay)
{
	for (int i = 0; i < relay->ntypes; i++)
	{
		HceParkTopic *park = relay->parking->topics;

		while (park != NULL && strcmp(park->name, relay->types[i].settled.topic) != 0)
			park = park->next;
		if (park != NULL && park->rows > 0)
			hce_parking_note_type(relay, park, i);
	}
}

/* What was paused before this relay began. */
void
hce_parking_start_pauses(HceRelay *relay)
{
	hce_parking_note_pauses(relay);
	guess_types(relay);
}

/* hcevents.pause() of everything: the reason, or NULL. */
const char *
hce_parking_paused(const HceRelay *relay)
{
	return relay->parking->paused ? relay->parking->pause_reason : NULL;
}
