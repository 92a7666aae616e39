/*-------------------------------------------------------------------------
 *
 * kafka_options.h
 *		The librdkafka options of hcevents.kafka_config and its file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_KAFKA_OPTIONS_H
#define HCE_KAFKA_OPTIONS_H

#include "nodes/pg_list.h"

#define HCE_MAX_OPTIONS			64	/* places; the allow-list has fewer */
#define HCE_MAX_OPTIONS_FILE	65536	/* bytes */

/* What an option of the allow-list is. */
#define HCE_OPTION_CLIENT		0x01	/* any client's, not just a producer's */
#define HCE_OPTION_SECRET		0x02	/* allowed in the file only */
#define HCE_OPTION_PATH			0x04	/* names a file that is read */
#define HCE_OPTION_OURS			0x08	/* the only value allowed is ours */

/* Why options cannot be used; never holds a value of the file. */
typedef struct HceOptionsError
{
	char		detail[512];	/* without a full stop at its end */
	const char *hint;			/* a full sentence, or NULL */
} HceOptionsError;

/* A value for each option of the allow-list, NULL = not given. */
typedef struct HceKafkaOptions
{
	char	   *values[HCE_MAX_OPTIONS];
	int			lines[HCE_MAX_OPTIONS]; /* in the file; 0: not from there */
} HceKafkaOptions;

/* kafka_options.c */
extern int	hce_option_count(void);
extern const char *hce_option_name(int number);
extern int	hce_option_flags(int number);
extern const char *hce_option_value(const HceKafkaOptions *options,
									const char *name);
extern bool hce_options_add_list(HceKafkaOptions *options, const char *list,
								 HceOptionsError *error);
extern bool hce_options_add_text(HceKafkaOptions *options, char *content,
								 const char *file, HceOptionsError *error);

/* kafka_options_load.c */
extern bool hce_options_load(HceKafkaOptions *options, const char *list,
							 const char *file, HceOptionsError *error);
extern void hce_options_wipe(HceKafkaOptions *options);
extern char *hce_files_identity(const List *paths);
extern List *hce_options_paths(const HceKafkaOptions *options);
extern bool hce_options_in_the_clear(const HceKafkaOptions *options,
									 const char *bootstrap_servers,
									 char *host, Size size);

#endif							/* HCE_KAFKA_OPTIONS_H */
