/*-------------------------------------------------------------------------
 *
 * spec_cache.c
 *		The specs of the triggers that this session has fired.
 *
 * A spec is built at a trigger's first firing and follows ALTER TABLE and the
 * like through invalidation callbacks.  A callback may come while the spec is
 * in use (any catalog access may deliver one), so it only marks; the spec is
 * rebuilt at the next call, and the old one is kept until the transaction
 * ends, because an outer trigger call or a held row may still refer to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/spec.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct CacheEntry
{
	Oid			trigger;		/* hash key */
	HceSpec    *spec;			/* NULL while it is built */
} CacheEntry;

static HTAB *cache = NULL;

/* The spec used last: rows come in runs of one table. */
static HceSpec *last_used = NULL;

/* Specs that were replaced in this transaction, in TopMemoryContext. */
static List *replaced = NIL;

/* Does the cache hold a spec that is not to outlast the transaction? */
static bool any_invalid = false;

/* How many invalidations there were: one may come while a spec is built. */
static uint64 invalidations = 0;

/* Mark the specs that depend on a relation; InvalidOid = all. */
static void
invalidate_relation(Datum arg, Oid relation)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	invalidations++;
	if (cache == NULL)
		return;
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->spec != NULL &&
			(!OidIsValid(relation) || entry->spec->relation == relation ||
			 entry->spec->root == relation))
		{
			entry->spec->valid = false;
			any_invalid = true;
		}
	}
}

/* A schema was renamed, or a cast was made: rare enough to mark them all. */
static void
invalidate_all(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate_relation(arg, InvalidOid);
}

static void
create_cache(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(Oid);
	info.entrysize = sizeof(CacheEntry);
	info.hcxt = TopMemoryContext;
	cache = hash_create("hcevents attachments", 64, &info,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_all, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, invalidate_all, (Datum) 0);
}

/* Keep a spec that is no longer current until the transaction ends. */
static void
retire(HceSpec *spec)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	replaced = lappend(replaced, spec);
	MemoryContextSwitchTo(old);
}

/*
 * The trigger as the catalogs have it: the executor's own copy is as old as
 * the statement, which may have called attach() meanwhile.
 */
static const Trigger *
newest(Relation rel, const Trigger *trigger)
{
	const TriggerDesc *desc = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgoid == trigger->tgoid)
			return &desc->triggers[i];
	}
	return trigger;
}

/*
 * The spec of a trigger on "rel".
 *
 * Valid until the end of the transaction.  An error while it is built leaves
 * the cache without an entry's spec, to be tried again.
 */
HceSpec *
hce_spec_get(Relation rel, const Trigger *trigger)
{
	CacheEntry *entry;
	HceSpec    *spec = last_used;
	bool		found;

	if (likely(spec != NULL && spec->trigger == trigger->tgoid && spec->valid))
		return spec;

	if (cache == NULL)
		create_cache();
	entry = hash_search(cache, &trigger->tgoid, HASH_ENTER, &found);
	if (!found)
		entry->spec = NULL;
	if (entry->spec != NULL && !entry->spec->valid)
	{
		retire(entry->spec);
		entry->spec = NULL;
		last_used = NULL;
	}
	if (entry->spec == NULL)
	{
		uint64		before = invalidations;

		/*
		 * The table is locked, but not its root's name, a schema's or a cast.
		 * What changes meanwhile has the next row build the spec anew.
		 */
		spec = hce_spec_build(rel, newest(rel, trigger), false);
		MemoryContextSetParent(spec->context, TopMemoryContext);
		spec->valid = invalidations == before;
		any_invalid |= spec->problem != NULL || !spec->valid;
		entry = hash_search(cache, &trigger->tgoid, HASH_ENTER, &found);
		entry->spec = spec;
	}
	last_used = entry->spec;
	return last_used;
}

/*
 * Free the invalid specs in the cache, such as a dropped trigger's, and those
 * with a problem, which the next transaction shall find out for itself.
 */
static void
sweep(void)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->spec != NULL && entry->spec->valid &&
			entry->spec->problem == NULL)
			continue;
		if (entry->spec != NULL)
			MemoryContextDelete(entry->spec->context);
		hash_search(cache, &entry->trigger, HASH_REMOVE, NULL);
	}
	last_used = NULL;
	any_invalid = false;
}

/*
 * Free the specs that nobody can refer to any more.  Must not fail.
 */
void
hce_spec_end_transaction(void)
{
	ListCell   *cell;

	foreach(cell, replaced)
		MemoryContextDelete(((HceSpec *) lfirst(cell))->context);
	list_free(replaced);
	replaced = NIL;
	if (any_invalid)
		sweep();
}
