/*-------------------------------------------------------------------------
 *
 * json_text.h
 *		JSON strings, and the way from the database's encoding to UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HCE_JSON_TEXT_H
#define HCE_JSON_TEXT_H

#include "event/bytes.h"
#include "mb/pg_wchar.h"

extern void hce_json_append_string(HceBytes *out, const char *str, Size len);
extern Size hce_json_unescape(char *out, const char *json, Size len);

extern bool hce_utf8_convert_tail(HceBytes *out, Size start);
extern char *hce_utf8_from_server(const char *str);

/* True if text of this database has to be checked or converted. */
static inline bool
hce_utf8_needs_work(void)
{
	return GetDatabaseEncoding() != PG_UTF8;
}

#endif							/* HCE_JSON_TEXT_H */
