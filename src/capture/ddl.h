/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		Attachments under DDL: noticed, logged, followed, refused.
 *
 * ddl.c notices what a command does to attachments and their columns;
 * attachment_log.c writes down what was made and removed; ddl_follow.c takes
 * an attachment along when its columns change; ddl_arguments.c rewrites a
 * trigger's arguments, and ddl_columns.c each column in them; ddl_values.c looks after values of enum types;
 * ddl_report.c has what is said about all this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_DDL_H
#define HCE_DDL_H

#include "capture/spec.h"
#include "nodes/parsenodes.h"

/*
 * An attachment as it is, or was.  The first part is as the catalogs have it;
 * hce_attachment_parse() sets the second, which nobody may need.
 */
typedef struct HceAttachment
{
	Oid			table;
	Oid			owner;			/* of the table */
	char	   *table_name;		/* quoted and qualified */
	char	   *trigger_name;
	int			nargs;
	char	  **args;

	const HceSpecArgs *parsed;	/* NULL = they make no sense */
} HceAttachment;

/* A table with attachments whose columns a command changes, as it was. */
typedef struct HceChangedTable
{
	Oid			table;
	TupleDesc	before;
	List	   *lost_key;		/* numbers of the columns of a primary key
								 * that the command drops, in its order */
} HceChangedTable;

/*
 * What following the columns of one attachment takes.  The caller sets the
 * first part, hce_ddl_arguments_follow() the second.  Lists hold C strings.
 */
typedef struct HceFollow
{
	TupleDesc	before;
	TupleDesc	after;
	List	   *lost_key;		/* as above */
	List	   *primary_key;	/* names; NIL = none */
	const char *table;			/* names for messages */
	const HceSpecArgs *args;	/* as they were */
	const HceSpecArgs *now;		/* as they are; the caller sets it last */

	bool		changed;
	List	   *renamed;		/* pairs: old name, new name */
	List	   *retyped;		/* columns of transitions with another type */
	List	   *skipped;		/* columns left out of the events */
	List	   *lost_events;	/* event types of transitions left out */
} HceFollow;

/* What a column is to an attachment. */
typedef enum HceUse
{
	HCE_USE_COLUMN,
	HCE_USE_KEY,
	HCE_USE_TRANSITION
} HceUse;

/* attachment_log.c */
extern HceAttachment *hce_attachment_read(Oid trigger);
extern void hce_attachment_parse(HceAttachment *attachment);
extern const char *hce_attachment_resource(const HceAttachment *attachment);
extern void hce_attachment_log_write(const char *action,
									 const HceAttachment *attachment,
									 const HceSpecArgs *before,
									 const HceSpecArgs *after);

/* ddl.c */
extern void hce_ddl_attach(Relation rel, const char *name, List *arguments,
						   char fires);
extern void hce_ddl_attach_again(Relation rel, const Trigger *trigger,
								 List *arguments);
extern void hce_ddl_detach(const char *command);

/* ddl_arguments.c */
extern List *hce_ddl_arguments_follow(HceFollow *follow,
									  const Trigger *trigger);

/* ddl_columns.c */
extern char *hce_ddl_follow_element(HceFollow *follow, const char *element,
									HceUse use);
extern List *hce_ddl_follow_primary_key(HceFollow *follow);

/* ddl_follow.c */
extern void hce_ddl_follow(List *tables);
extern void hce_ddl_write_trigger(Oid table, const char *name, List *arguments);

/* ddl_values.c */
extern void hce_ddl_value_renamed(const AlterEnumStmt *stmt);

/* ddl_report.c */
extern void hce_ddl_refuse_drop(const HceAttachment *attachment);
extern void hce_ddl_report_end(const HceAttachment *attachment);
extern void hce_ddl_report_unreadable(const char *trigger, const char *table,
									  const char *problem);
extern void hce_ddl_report_follow(const HceFollow *follow);

#endif							/* HCE_DDL_H */
