/*-------------------------------------------------------------------------
 *
 * spec_tree.c
 *		Where a trigger's table stands in a tree of partitions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "capture/spec.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_trigger.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Follow a partition's trigger up to the one that was created by hand.
 *
 * Sets "relation" to that trigger's table.
 */
Oid
hce_spec_topmost_trigger(Oid trigger, Oid *relation)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			next = trigger;

	while (OidIsValid(next))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		trigger = next;
		next = InvalidOid;
		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(trigger));
		scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1,
								  &key);
		tuple = systable_getnext(scan);
		if (HeapTupleIsValid(tuple))
		{
			Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

			*relation = form->tgrelid;
			next = form->tgparentid;
		}
		systable_endscan(scan);
	}
	table_close(catalog, AccessShareLock);
	return trigger;
}

/* The numbers of the columns in a partition key's expressions. */
static Bitmapset *
columns_in_expressions(HeapTuple partitioned)
{
	Bitmapset  *result = NULL;
	bool		isnull;
	Datum		source = SysCacheGetAttr(PARTRELID, partitioned,
										 Anum_pg_partitioned_table_partexprs,
										 &isnull);

	if (!isnull)
		pull_varattnos(stringToNode(TextDatumGetCString(source)), 1, &result);
	return result;
}

/*
 * Is the column in the partition key of this partitioned table?  Not if the
 * table is gone: it was detached meanwhile, and an invalidation is on its way.
 */
static bool
in_partition_key(Oid relation, const char *column)
{
	AttrNumber	attnum = get_attnum(relation, column);
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relation));
	Form_pg_partitioned_table form;
	bool		found;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	found = bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber,
						  columns_in_expressions(tuple));
	for (int i = 0; i < form->partnatts; i++)
		found |= form->partattrs.values[i] == attnum;
	ReleaseSysCache(tuple);
	return found && attnum != InvalidAttrNumber;
}

/*
 * Set "tree", the topmost partitioned table above the trigger's, and which
 * columns of the key say where in it a row lies.
 *
 * Locks no table: as in the executor, which routes rows by what it has cached.
 * A partition that gets other ancestors is invalidated (ATTACH and DETACH
 * PARTITION do so down to the leaves).
 */
void
hce_spec_init_tree(HceSpec *spec, Relation rel)
{
	List	   *ancestors = NIL;
	ListCell   *cell;

	spec->tree = spec->relation;
	if (!rel->rd_rel->relispartition)
		return;
	ancestors = get_partition_ancestors(spec->relation);
	foreach(cell, ancestors)
	{
		spec->tree = lfirst_oid(cell);
		for (int i = 0; i < spec->nkeys; i++)
			spec->keys[i].routes |= in_partition_key(spec->tree,
													 spec->keys[i].name);
	}
}
