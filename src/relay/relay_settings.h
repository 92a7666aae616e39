/*-------------------------------------------------------------------------
 *
 * relay_settings.h
 *		Whether a relay's settings have changed under it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_RELAY_SETTINGS_H
#define HCE_RELAY_SETTINGS_H

extern void hce_relay_settings_remember(void);
extern bool hce_relay_settings_stale(void);
extern bool hce_relay_settings_changed_in_catalog(void);

#endif							/* HCE_RELAY_SETTINGS_H */
