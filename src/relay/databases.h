/*-------------------------------------------------------------------------
 *
 * databases.h
 *		Which databases have the extension, and who needs one alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_DATABASES_H
#define HCE_DATABASES_H

#include "nodes/pg_list.h"

#include "stats/shared.h"

#define HCE_LABEL_PROVIDER	"hcevents"
#define HCE_LABEL_ON		"on"
#define HCE_LABEL_TEST		"test"	/* excluded when it was made */

extern void hce_databases_init(void);
extern void hce_database_label_on(void);

/* labels.c */
extern void hce_labels_read(void);
extern bool hce_database_allows_connections(Oid dboid);
extern void hce_forget_database(HceDatabase *db);

#endif							/* HCE_DATABASES_H */
