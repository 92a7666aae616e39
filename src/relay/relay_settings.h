/*-------------------------------------------------------------------------
 *
 * relay_settings.h
 *		The settings of a relay: those it must have, and whether others changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_RELAY_SETTINGS_H
#define HCE_RELAY_SETTINGS_H

extern void hce_relay_settings_override(const char *name);
extern void hce_relay_settings_remember(void);
extern bool hce_relay_settings_stale(void);
extern bool hce_relay_settings_changed_in_catalog(void);

#endif							/* HCE_RELAY_SETTINGS_H */
