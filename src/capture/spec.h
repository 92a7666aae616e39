/*-------------------------------------------------------------------------
 *
 * spec.h
 *		What an attachment publishes, ready to use.
 *
 * A trigger's arguments are text.  spec_args.c takes them apart (HceSpecArgs),
 * spec_build.c and spec_tree.c resolve them against the table (HceSpec),
 * spec_cache.c keeps the results per trigger and session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_SPEC_H
#define HCE_SPEC_H

#include "access/tupdesc.h"
#include "capture/capture.h"
#include "commands/trigger.h"
#include "event/json_value.h"
#include "event/skeleton.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

/* One element of transitions. */
typedef struct HceTransitionArg
{
	char	   *column;
	char	   *from;			/* NULL = from any value */
	char	   *to;
	char	   *event;			/* the action, without the resource */
} HceTransitionArg;

/* Trigger arguments, taken apart.  Lists hold C strings. */
typedef struct HceSpecArgs
{
	char	   *resource;
	char	   *always;			/* hand-written: the event type, whatever
								 * happens to the row */
	char	   *on_insert;		/* actions; NULL = no event */
	char	   *on_update;
	char	   *on_delete;
	List	   *columns;		/* "column" or "published:column" */
	List	   *key;			/* NIL = the primary key */
	List	   *transitions;	/* HceTransitionArg */
} HceSpecArgs;

/* A column whose value is rendered. */
typedef struct HceColumn
{
	AttrNumber	attnum;
	char	   *name;			/* the column's */
	char	   *published;		/* in "data" */
	bool		routes;			/* of a key: in a partition key of the tree */
	HceEncoder	encoder;
} HceColumn;

/* One event type of an attachment. */
typedef struct HceAction
{
	char	   *event_type;
	HceTemplate with_key;
	HceTemplate without_key;	/* the key column is NULL */
	HceTemplate failed;			/* capture failed */
} HceAction;

typedef struct HceTransition
{
	HceColumn	column;
	bool		text;			/* text, varchar: compare bytes */
	FmgrInfo	output;
	char	   *from;
	char	   *to;
	HceAction  *action;
} HceTransition;

/*
 * All of it lives in "context", a child of TopMemoryContext, until the end of
 * the transaction in which the spec became invalid.
 */
typedef struct HceSpec
{
	Oid			trigger;		/* hash key */
	bool		valid;
	Oid			relation;
	Oid			root;			/* the table that was attached: the topmost
								 * partitioned table, or relation itself */
	Oid			tree;			/* the topmost partitioned table, attached or
								 * not, or relation itself */
	MemoryContext context;
	TupleDesc	tupdesc;
	char	   *trigger_name;
	char	   *resource;
	char	   *schema;			/* of root, UTF-8 */
	char	   *table;			/* of root, UTF-8 */
	char	   *table_label;	/* of root, for messages */

	HceAction  *always;
	HceAction  *on_insert;
	HceAction  *on_update;
	HceAction  *on_delete;
	int			ntransitions;
	HceTransition *transitions;

	int			nkeys;
	HceColumn  *keys;
	int			ncolumns;
	HceColumn  *columns;
	AttrNumber	last_attnum;	/* the highest that is read */
	bool		user_code;		/* rendering may run a user's function */

	/* Why nothing can be captured; NULL = it can. */
	const char *problem_reason; /* as in HCE_FAILED_REASON */
	char	   *problem;

	uint64		warned_in;		/* transaction of the last WARNING */
} HceSpec;

/* A row, as arrays of values. */
typedef struct HceRow
{
	const Datum *values;
	const bool *isnull;
} HceRow;

/* Resources: the name of the trigger is "hcevents_" and the resource. */
#define HCE_TRIGGER_PREFIX		"hcevents_"
#define HCE_MAX_RESOURCE		(NAMEDATALEN - 1 - (int) sizeof(HCE_TRIGGER_PREFIX) + 1)

/* What stands for the resource of a trigger whose arguments make no sense. */
#define HCE_UNREADABLE_RESOURCE	"?"

/* spec_args.c */
extern HceSpecArgs *hce_spec_args_parse(int nargs, char **args);
extern HceSpecArgs *hce_spec_args_try(int nargs, char **args, char **problem);
extern List *hce_spec_args_list(const char *text);
extern char *hce_spec_args_event_type(const HceSpecArgs *args,
									  const char *action);
extern void hce_spec_check_event_type(const char *event_type);
extern void hce_spec_check_resource(const char *resource);

/* spec_literals.c */
extern List *hce_spec_args_array(const char *text);
extern List *hce_spec_args_transitions(const char *json);

/* spec_build.c */
extern HceSpec *hce_spec_build(Relation rel, const Trigger *trigger,
							   bool strict);
extern AttrNumber hce_spec_column_number(TupleDesc tupdesc, const char *name);
extern AttrNumber hce_spec_find_column(TupleDesc tupdesc, const char *element,
									   char **published);
extern const char *hce_spec_published_twice(const HceSpec *spec);
extern List *hce_spec_primary_key(Relation rel);

/* spec_tree.c */
extern Oid	hce_spec_topmost_trigger(Oid trigger, Oid *relation);
extern void hce_spec_init_tree(HceSpec *spec, Relation rel);

/* spec_cache.c */
extern void hce_spec_cache_init(void);
extern HceSpec *hce_spec_get(Relation rel, const Trigger *trigger);
extern void hce_spec_end_transaction(void);

/* Why an event could not be captured.  Holds no value of the row. */
typedef struct HceFault
{
	const char *reason;			/* as in HCE_FAILED_REASON */
	char	   *error;
} HceFault;

/* render.c */
extern HceTemplate *hce_render_template(HceSpec *spec, HceAction *action,
										HceRow row);
extern bool hce_render_body(HceSpec *spec, HceRow row,
							const HceSlice *prepared, HceBytes *out,
							Size fixed_size, int *flags, HceFault *fault);
extern bool hce_render_id(HceSpec *spec, HceRow row, const HceSlice *prepared,
						  HceBytes *out, HceFault *fault);
extern bool hce_render_key(HceSpec *spec, HceRow row, HceBytes *out,
						   Size id, Size id_end);
extern void hce_render_event(HceSpec *spec, HceAction *action, HceRow row);

/* template.c */
extern void hce_template_make(HceTemplate *keep,
							  const HceSkeletonParts *parts,
							  MemoryContext context);
extern void hce_template_prepare(HceSpec *spec, const HceAction *action,
								 HceKeyMode mode, HceTemplate *keep);

/* guard.c */
extern ErrorData *hce_guard_call(void (*function) (void *arg), void *arg);
extern bool hce_guard_prepare(HceSpec *spec, HceRow row, HceSlice *prepared,
							  HceFault *fault);
extern bool hce_guard_choose_update(HceSpec *spec, HceRow old_row,
									HceRow new_row, HceAction **action,
									HceFault *fault);

/* transition.c */
extern HceAction *hce_transition_choose(HceSpec *spec, HceRow old_row,
										HceRow new_row);

/* failure.c */
extern void hce_failure_capture(HceSpec *spec, HceAction *action, HceRow row,
								const HceFault *fault);

/* moved.c */
extern void hce_moved_init(void);
extern bool hce_moved_pending(void);
extern void hce_moved_hold(HceSpec *spec, HeapTuple tuple);
extern bool hce_moved_match(HceSpec *spec, const TriggerData *trigdata,
							HceRow new_row, HceRow *old_row);
extern void hce_moved_settle(HceSpec *spec, const TriggerData *trigdata);
extern void hce_moved_release_sub(SubTransactionId subid,
								  SubTransactionId parent);
extern void hce_moved_abort_sub(SubTransactionId subid);
extern void hce_moved_release_all(void);
extern void hce_moved_release_done(void);
extern void hce_moved_forget(void);

#endif							/* HCE_SPEC_H */
