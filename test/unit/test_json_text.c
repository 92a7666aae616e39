/*
 * event/json_text.c: escapes, and the way from each server encoding to UTF-8.
 */
#include "postgres.h"

#include <iconv.h>

#include "event/json_text.h"
#include "utils/memutils.h"

#include "unit.h"

/* RFC 8259, written down as plainly as can be. */
static Size
naive_escape(char *out, const unsigned char *str, Size len)
{
	char	   *to = out;

	*to++ = '"';
	for (Size i = 0; i < len; i++)
	{
		unsigned char c = str[i];

		if (c == '"' || c == '\\')
			to += sprintf(to, "\\%c", c);
		else if (c == '\b')
			to += sprintf(to, "\\b");
		else if (c == '\f')
			to += sprintf(to, "\\f");
		else if (c == '\n')
			to += sprintf(to, "\\n");
		else if (c == '\r')
			to += sprintf(to, "\\r");
		else if (c == '\t')
			to += sprintf(to, "\\t");
		else if (c < 0x20)
			to += sprintf(to, "\\u%04x", c);
		else
			*to++ = (char) c;
	}
	*to++ = '"';
	return (Size) (to - out);
}

static void
escapes_and_back(void)
{
	for (int round = 0; round < unit_rounds(2000); round++)
	{
		unsigned char str[300];
		char		expected[6 * sizeof(str) + 3];
		char	   *back;
		Size		len = unit_below(sizeof(str) + 1);
		Size		expected_len;
		int			special = (int) unit_below(101);
		HceBytes	out;

		for (Size i = 0; i < len; i++)
			str[i] = unit_chance(special) ? (unsigned char) unit_below(36) :
				unit_chance(10) ? '\\' : (unsigned char) unit_random();
		expected_len = naive_escape(expected, str, len);
		hce_bytes_init(&out, CurrentMemoryContext, 1 + unit_below(10));
		hce_bytes_append(&out, "before", 6);
		hce_json_append_string(&out, (char *) str, len);
		CHECK_BYTES(out.data + 6, out.used - 6, expected, expected_len);

		/* in memory of just the length of what went in */
		back = palloc(Max(len, 1));
		CHECK_INT(hce_json_unescape(back, expected + 1, expected_len - 2), len);
		CHECK(memcmp(back, str, len) == 0);
		stub_context_reset(CurrentMemoryContext);
	}
}

/* The end of a string may cut an escape in two; nothing is read behind it. */
static void
unescape_cut_short(void)
{
	static const char json[] = "a\\u0001\\n\\\"";

	for (Size len = 0; len < sizeof(json); len++)
	{
		char	   *cut = palloc(Max(len, 1));
		char	   *out = palloc(Max(len, 1));

		memcpy(cut, json, len);
		CHECK(hce_json_unescape(out, cut, len) <= len);
	}
}

/* A column of type json may hold any escape. */
static void
unescape_any(void)
{
	static const struct
	{
		const char *json;
		const char *text;
	}			cases[] = {
		{"a\\u00e9\\/", "a\303\251/"},
		{"\\u007f\\u07FF\\u0800", "\177\337\277\340\240\200"},
		{"\\uffff", "\357\277\277"},
		{"\\ud83d\\ude00x", "\360\237\230\200x"},
		{"\\udbff\\udfff", "\364\217\277\277"},
		{"\\ud83dx", "\357\277\275x"},
		{"\\ud83d\\u0041", "\357\277\275A"},
		{"\\ude00", "\357\277\275"},
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		Size		len = strlen(cases[i].json);
		char	   *out = palloc(len);
		Size		written = hce_json_unescape(out, cases[i].json, len);

		CHECK_BYTES(out, written, cases[i].text, strlen(cases[i].text));
	}
}

/* Whether bytes of an encoding are this character, and not one like it. */
static bool
is_character(iconv_t back, char *encoded, size_t len, const char *utf8)
{
	char		result[16];
	char	   *out = result;
	size_t		out_left = sizeof(result);

	iconv(back, NULL, NULL, NULL, NULL);
	return iconv(back, &encoded, &len, &out, &out_left) == 0 &&
		iconv(back, NULL, NULL, &out, &out_left) == 0 &&
		sizeof(result) - out_left == (size_t) pg_utf_mblen((const unsigned char *) utf8) &&
		memcmp(result, utf8, sizeof(result) - out_left) == 0;
}

/* Each character of the basic plane that an encoding has, as one string. */
static Size
all_characters(iconv_t way, iconv_t back, char *utf8, char *encoded)
{
	char	   *to = encoded;
	Size		used = 0;

	for (uint32 c = 1; c <= 0xffff; c++)
	{
		char		one[4];
		char		converted[16];
		char	   *in = one;
		char	   *out = converted;
		size_t		in_left;
		size_t		out_left = sizeof(converted);

		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		unicode_to_utf8(c, (unsigned char *) one);
		in_left = (size_t) pg_utf_mblen((unsigned char *) one);
		if (iconv(way, &in, &in_left, &out, &out_left) != 0 ||
			iconv(way, NULL, NULL, &out, &out_left) != 0 || in_left != 0 ||
			!is_character(back, converted, sizeof(converted) - out_left, one))
		{
			iconv(way, NULL, NULL, NULL, NULL);
			continue;
		}
		memcpy(to, converted, sizeof(converted) - out_left);
		to += sizeof(converted) - out_left;
		memcpy(utf8 + used, one, (Size) pg_utf_mblen((unsigned char *) one));
		used += (Size) pg_utf_mblen((unsigned char *) one);
	}
	*to = '\0';
	return used;
}

/*
 * In each encoding that a server may have: only ASCII is escaped, the result
 * converts to UTF-8 and is then the escaped form of the UTF-8 text.
 */
static void
each_server_encoding(void)
{
	char	   *utf8 = palloc(0x10000 * 4);
	char	   *encoded = palloc(0x10000 * 4);
	char	   *expected = palloc(0x10000 * 6);
	int			tried = 0;

	for (int encoding = 1; encoding <= PG_ENCODING_BE_LAST; encoding++)
	{
		const char *name = stub_encoding_name(encoding);
		iconv_t		way;
		iconv_t		back;
		Size		len;
		HceBytes	out;

		if (name == NULL || (way = iconv_open(name, "UTF-8")) == (iconv_t) -1)
			continue;
		tried++;
		back = iconv_open("UTF-8", name);
		len = all_characters(way, back, utf8, encoded);
		iconv_close(way);
		iconv_close(back);
		stub_encoding = encoding;
		CHECK(len > 128);
		hce_bytes_init(&out, CurrentMemoryContext, 16);
		hce_bytes_append(&out, "\xff", 1);
		hce_json_append_string(&out, encoded, strlen(encoded));
		CHECK(hce_utf8_convert_tail(&out, 1));
		CHECK(out.data[0] == 0xff);
		CHECK_BYTES(out.data + 1, out.used - 1, expected,
					naive_escape(expected, (unsigned char *) utf8, len));
		CHECK(strncmp(hce_utf8_from_server(encoded), utf8, len) == 0);
		hce_bytes_free(&out);
	}
	stub_encoding = PG_UTF8;
	CHECK(tried >= 30);
}

/* Bytes that are no text in the database's encoding are refused. */
static void
no_text_in_the_encoding(void)
{
	static const struct
	{
		int			encoding;
		const char *text;
		bool		good;
	}			cases[] = {
		{PG_SQL_ASCII, "plain", true},
		{PG_SQL_ASCII, "J\303\274rgen", true},
		{PG_SQL_ASCII, "J\374rgen", false},
		{PG_SQL_ASCII, "cut \303", false},
		{PG_SQL_ASCII, "\355\240\200", false},	/* a surrogate */
		{PG_EUC_JP, "\244\242", true},
		{PG_EUC_JP, "\244", false},
		{PG_WIN1252, "\201", false},
		{PG_MULE_INTERNAL, "\201\344", false},	/* no conversion here */
	};

	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		stub_encoding = cases[i].encoding;
		CHECK_INT(hce_utf8_from_server(cases[i].text) != NULL, cases[i].good);
	}
	stub_encoding = PG_UTF8;
}

const UnitTest json_text_tests[] = {
	{"json text: escapes and back", escapes_and_back},
	{"json text: unescape cut short", unescape_cut_short},
	{"json text: unescape what json holds", unescape_any},
	{"json text: each server encoding", each_server_encoding},
	{"json text: no text in the encoding", no_text_in_the_encoding},
	{NULL, NULL}
};
