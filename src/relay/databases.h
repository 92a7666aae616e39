/*-------------------------------------------------------------------------
 *
 * databases.h
 *		Which databases have the extension, and who needs one alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_DATABASES_H
#define HCE_DATABASES_H

#define HCE_LABEL_PROVIDER	"hcevents"
#define HCE_LABEL_ON		"on"

extern void hce_databases_init(void);

#endif							/* HCE_DATABASES_H */
