/*-------------------------------------------------------------------------
 *
 * databases.h
 *		Which databases have the extension: their labels.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_DATABASES_H
#define HCE_DATABASES_H

#include "nodes/pg_list.h"

#include "stats/shared.h"

#define HCE_LABEL_PROVIDER	"hcevents"
/*
 * What a label says: a relay delivers, or is to (a copy that waits for its
 * resume() is not asked about it); the database was excluded when it was made,
 * and no relay has run; it has been excluded since.
 */
#define HCE_LABEL_ON		"on"
#define HCE_LABEL_TEST		"test"
#define HCE_LABEL_EXCLUDED	"excluded"

extern void hce_databases_init(void);
extern bool hce_database_label_set(const char *label);
extern bool hce_database_label_is_on(void);

/* labels.c */
extern void hce_labels_read(void);
extern bool hce_database_allows_connections(Oid dboid);
extern void hce_forget_database(HceDatabase *db);

#endif							/* HCE_DATABASES_H */
