/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		Attachments under DDL: noticed, logged, followed, refused.
 *
 * ddl.c notices what a command does to attachments and their columns;
 * attachment_log.c writes down what was made and removed; ddl_follow.c takes
 * an attachment along when its columns change; ddl_arguments.c rewrites a
 * trigger's arguments.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_DDL_H
#define HCE_DDL_H

#include "capture/spec.h"
#include "nodes/bitmapset.h"

/* An attachment as it is, or was.  Lists hold C strings. */
typedef struct HceAttachment
{
	Oid			table;
	char	   *table_name;		/* quoted and qualified */
	char	   *trigger_name;
	char	   *resource;
	List	   *columns;
} HceAttachment;

/* A table with attachments whose columns a command changes, as it was. */
typedef struct HceChangedTable
{
	Oid			table;
	TupleDesc	before;
	Bitmapset  *lost_key;		/* numbers of the columns of a primary key
								 * that the command drops */
} HceChangedTable;

/*
 * What following the columns of one attachment takes.  The caller sets the
 * first part, hce_ddl_arguments_follow() the second.
 */
typedef struct HceFollow
{
	TupleDesc	before;
	TupleDesc	after;
	const Bitmapset *lost_key;
	List	   *primary_key;	/* names; NIL = none */
	const char *table;			/* names for messages */
	const HceSpecArgs *args;	/* as they are */

	bool		changed;
	List	   *skipped;		/* columns left out of the events */
	List	   *lost_events;	/* event types of transitions left out */
} HceFollow;

/* attachment_log.c */
extern HceAttachment *hce_attachment_of(Relation rel, const Trigger *trigger);
extern void hce_attachment_log_write(const char *action,
									 const HceAttachment *attachment,
									 const HceAttachment *before,
									 const HceAttachment *after);

/* ddl.c */
extern void hce_ddl_detach(const char *command);

/* ddl_arguments.c */
extern List *hce_ddl_arguments_follow(HceFollow *follow,
									  const Trigger *trigger);

/* ddl_follow.c */
extern void hce_ddl_follow(List *tables);
extern void hce_ddl_refuse_drop(const HceAttachment *attachment);

#endif							/* HCE_DDL_H */
