/*-------------------------------------------------------------------------
 *
 * attach.h
 *		Making attachments, and looking at them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_ATTACH_H
#define HCE_ATTACH_H

#include "capture/spec.h"
#include "utils/array.h"

/* attach_columns.c */
extern List *hce_attach_columns(Relation rel, const char *resource,
								List *elements, List *key);

/* attach_lookup.c */
extern Relation hce_attach_open_owned(Oid target);
extern Oid	hce_attach_emit_function(void);
extern Oid	hce_attach_extension_owner(void);
extern const Trigger *hce_attach_find_trigger(Relation rel, const char *name);
extern bool hce_attach_is_ours(const Trigger *trigger);
extern bool hce_attach_is_plain(const Trigger *trigger);
extern List *hce_attach_list_of_array(ArrayType *array, const char *what);
extern ArrayType *hce_attach_array_of_list(List *strings);
extern List *hce_attach_event_types(const HceSpecArgs *args);

#endif							/* HCE_ATTACH_H */
