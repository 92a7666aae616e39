/*-------------------------------------------------------------------------
 *
 * holds.h
 *		Commands that need a database alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_HOLDS_H
#define HCE_HOLDS_H

#include "nodes/parsenodes.h"

#include "stats/shared.h"

extern void hce_holds_take(Node *statement);
extern int	hce_holder(const HceDatabase *db);
extern Oid	hce_template_of(const CreatedbStmt *statement);

#endif							/* HCE_HOLDS_H */
