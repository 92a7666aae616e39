/*-------------------------------------------------------------------------
 *
 * excluded.h
 *		hcevents.excluded_databases: names of databases without a relay.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_EXCLUDED_H
#define HCE_EXCLUDED_H

extern void hce_excluded_init(void);
extern bool hce_excluded_by(const char *database, const char *patterns_text);
extern bool hce_excluded_database(const char *database, bool made_excluded);

#endif							/* HCE_EXCLUDED_H */
