/*-------------------------------------------------------------------------
 *
 * settings.h
 *		The hcevents.* settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_SETTINGS_H
#define HCE_SETTINGS_H

extern bool hce_enabled;
extern char *hce_bootstrap_servers;
extern char *hce_topic_prefix;
extern char *hce_topic;
extern char *hce_source;
extern char *hce_schema_version;
extern char *hce_headers;
extern char *hce_kafka_config;
extern char *hce_kafka_config_file;
extern char *hce_slot_name;
extern bool hce_detect_copies;
extern bool hce_keep_captured;
extern int	hce_max_event_size; /* kB */
extern int	hce_relay_memory;	/* kB */
extern int	hce_max_retained_wal;	/* MB, -1 = never park */
extern int	hce_max_parked_size;	/* MB, -1 = no limit */
extern int	hce_dead_letter_retention;	/* minutes; -1 = for ever */

/* What becomes of a command that takes a column or a trigger away. */
typedef enum HceOnMissingColumn
{
	HCE_MISSING_ERROR,			/* it fails */
	HCE_MISSING_SKIP			/* events go on without the column */
} HceOnMissingColumn;

extern int	hce_on_missing_column;	/* HceOnMissingColumn */

/*
 * Grows with every change of a setting that is part of the envelope
 * (source, schema_version): skeletons made before it are stale.
 */
extern uint64 hce_envelope_generation;

/* The headers of a message, in the order in which they are sent. */
typedef enum HceHeaderName
{
	HCE_HEADER_EVENT_ID,
	HCE_HEADER_EVENT_TYPE,
	HCE_HEADER_CONTENT_TYPE,
	HCE_HEADER_SOURCE,
	HCE_HEADER_DB,
	HCE_HEADER_TABLE,
	HCE_HEADER_POSITION,
	HCE_HEADERS
} HceHeaderName;

extern const char *const hce_header_names[HCE_HEADERS];

extern void hce_settings_init(void);
extern bool hce_headers_parse(const char *list, bool *wanted,
							  const char **unknown);
extern bool hce_topic_name(const char *event_type, const char *schema,
						   char *topic, Size size);

#endif							/* HCE_SETTINGS_H */
