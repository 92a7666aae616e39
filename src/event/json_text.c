/*-------------------------------------------------------------------------
 *
 * json_text.c
 *		JSON strings, and the way from the database's encoding to UTF-8.
 *
 * Escaping is what PostgreSQL's escape_json() does, byte for byte.  It works
 * on bytes: in every encoding a server may have, all bytes of a multibyte
 * character have the high bit set, so that no quote, backslash or control
 * character can be a part of one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "event/json_text.h"
#include "utils/memutils.h"

/*
 * What a byte becomes: 0 = itself, 'u' = \u00xx, anything else = a backslash
 * and that character.
 */
static const char escapes[256] = {
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
	['"'] = '"',
	['\\'] = '\\',
};

/* Write one byte that cannot stand for itself; the caller has room for 6. */
static uint8 *
put_escaped(uint8 *to, uint8 c)
{
	static const char hex[] = "0123456789abcdef";

	*to++ = '\\';
	*to++ = (uint8) escapes[c];
	if (escapes[c] == 'u')
	{
		*to++ = '0';
		*to++ = '0';
		*to++ = (uint8) hex[c >> 4];
		*to++ = (uint8) hex[c & 0x0f];
	}
	return to;
}

/*
 * Append a JSON string, with its quotes.
 *
 * Room is taken for the case that nothing needs an escape, and again behind
 * each escape: asking for six times the length at once would touch far too
 * much memory for a large value.
 */
void
hce_json_append_string(HceBytes *out, const char *str, Size len)
{
	const uint8 *from = (const uint8 *) str;
	const uint8 *end = from + len;
	uint8	   *to;

	hce_bytes_reserve(out, len + 2);
	to = out->data + out->used;
	*to++ = '"';
	while (from < end)
	{
		if (likely(escapes[*from] == 0))
		{
			*to++ = *from++;
			continue;
		}
		out->used = to - out->data;
		hce_bytes_reserve(out, 6 + (end - from) + 1);
		to = put_escaped(out->data + out->used, *from++);
	}
	*to++ = '"';
	out->used = to - out->data;
}

/* The four hex digits behind "\u"; -1 if they are cut short. */
static int
unicode_escape(const char *digits, Size len)
{
	char		code[5];

	if (len < 4)
		return -1;
	memcpy(code, digits, 4);
	code[4] = '\0';
	return (int) strtol(code, NULL, 16);
}

/* A code point in UTF-8: at most four bytes. */
static char *
put_utf8(char *to, int c)
{
	if (c < 0x80)
		*to++ = (char) c;
	else
	{
		if (c < 0x800)
			*to++ = (char) (0xc0 | c >> 6);
		else
		{
			if (c < 0x10000)
				*to++ = (char) (0xe0 | c >> 12);
			else
			{
				*to++ = (char) (0xf0 | c >> 18);
				*to++ = (char) (0x80 | (c >> 12 & 0x3f));
			}
			*to++ = (char) (0x80 | (c >> 6 & 0x3f));
		}
		*to++ = (char) (0x80 | (c & 0x3f));
	}
	return to;
}

/*
 * Undo one "\uXXXX", or two that are a surrogate pair; half a pair becomes
 * U+FFFD.  "json" is behind the first "\u".  Returns how many bytes of it
 * were used.
 */
static Size
unescape_unicode(char **to, const char *json, Size len)
{
	int			c = unicode_escape(json, len);
	int			low;
	Size		used = 4;

	if (c < 0)
		return len;
	if (c >= 0xd800 && c <= 0xdbff && len >= 10 &&
		json[4] == '\\' && json[5] == 'u' &&
		(low = unicode_escape(json + 6, len - 6)) >= 0xdc00 && low <= 0xdfff)
	{
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		used = 10;
	}
	else if (c >= 0xd800 && c <= 0xdfff)
		c = 0xfffd;
	*to = put_utf8(*to, c);
	return used;
}

/*
 * The text of a JSON string in UTF-8: "json" is what is between its quotes.
 *
 * Writes at most "len" bytes and returns how many.  Knows all the escapes of
 * JSON: a string may have been written by hce_json_append_string(), or be the
 * value of a column of type json.
 */
Size
hce_json_unescape(char *out, const char *json, Size len)
{
	char	   *to = out;

	for (Size i = 0; i < len; i++)
	{
		if (json[i] != '\\' || i + 1 >= len)
		{
			*to++ = json[i];
			continue;
		}
		i++;
		switch (json[i])
		{
			case 'b':
				*to++ = '\b';
				break;
			case 't':
				*to++ = '\t';
				break;
			case 'n':
				*to++ = '\n';
				break;
			case 'f':
				*to++ = '\f';
				break;
			case 'r':
				*to++ = '\r';
				break;
			case 'u':
				i += unescape_unicode(&to, json + i + 1, len - i - 1);
				break;
			default:
				*to++ = json[i];
		}
	}
	return to - out;
}

static bool
is_ascii(const uint8 *data, Size len)
{
	uint8		seen = 0;

	for (Size i = 0; i < len; i++)
		seen |= data[i];
	return seen < 0x80;
}

/*
 * Replace out's bytes from "start" on by the same text in UTF-8.
 *
 * The text is in the database's encoding.  False if it has no UTF-8 form; the
 * bytes are then undefined and the caller forgets them.  An SQL_ASCII
 * database may hold anything: there the bytes must be UTF-8 already.
 */
bool
hce_utf8_convert_tail(HceBytes *out, Size start)
{
	int			encoding = GetDatabaseEncoding();
	Size		len = out->used - start;
	uint8	   *converted;
	Size		room;
	Oid			proc;
	int			done;

	if (encoding == PG_UTF8 || is_ascii(out->data + start, len))
		return true;
	if (encoding == PG_SQL_ASCII)
		return pg_encoding_verifymbstr(PG_UTF8, (char *) out->data + start,
									   (int) len) == (int) len;

	proc = FindDefaultConversionProc(encoding, PG_UTF8);
	room = (len + 2) * MAX_CONVERSION_GROWTH;
	if (!OidIsValid(proc) || room > PG_INT32_MAX)
		return false;
	converted = MemoryContextAllocHuge(CurrentMemoryContext, room);

	/* the conversion function wants a closing NUL */
	hce_bytes_append_char(out, '\0');
	done = pg_do_encoding_conversion_buf(proc, encoding, PG_UTF8,
										 out->data + start, (int) len,
										 converted, (int) room, true);
	out->used = start;
	if (done == (int) len)
		hce_bytes_append(out, converted, strlen((char *) converted));
	pfree(converted);
	return done == (int) len;
}

/*
 * A copy of "text" in UTF-8, in the current memory context; NULL if there is
 * none.
 */
char *
hce_utf8_from_server(const char *str)
{
	HceBytes	out;

	hce_bytes_init(&out, CurrentMemoryContext, strlen(str) + 1);
	hce_bytes_append(&out, str, strlen(str));
	if (!hce_utf8_convert_tail(&out, 0))
		return NULL;
	hce_bytes_append_char(&out, '\0');
	return (char *) out.data;
}
