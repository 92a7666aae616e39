"""Random names, types and values for the property test."""

# Names that need quotes, and that need care in trigger arguments, in JSON and
# in array literals.  (In a list of attach() '*' is always all columns.)
NAMES = [
    "name", "email", "status", "note", "id", "patient_id", "select", "user",
    "CamelCase", "with space", 'dou"ble', "sin'gle", "com,ma", "a:b", "b:c",
    ":lead", "trail:", "{brace}", "b\\slash", "tab\there", "new\nline",
    "per%cent", "dollar$1", "ünïcode", "日本語", "имя", "اسم", "😀emoji",
    "x=y", " lead space", "NULL", "null", "{*}", "1number", "-", "(p)",
    "[q]", "Password", "api_key_2", "long_" + "y" * 58, "ж" * 31, "\x01ctl",
    "semi;colon", "$$", "--", "/*", "key", "columns", "insert",
]

TEXTS = [
    "", " ", "a", "booked", "cancelled", "NULL", "null", "x" * 300,
    'quote " and \\ back', "tab\tand\nnewline\rreturn", "\x01\x02\x1f\x7f",
    "\b\f\v", "</script>", "naïve café", "Ελληνικά", "中文字符", "עברית",
    "العربية", "हिन्दी", "ไทย", "👩‍⚕️ 🩺", "\u2028\u2029", "\ufeffbom",
    "\u200b", "{1,2}", "{}", "[]", "true", "1e5", "\\u0041", "%s %d",
    "line\\nnot newline", "'", "''", '"', "\U0010ffff", "trailing  ",
]

JSONS = [
    "1", '"s"', "null", "[]", "{}", "true", "1.0", "-0", "1e-7",
    '{"b": 1, "a" :  [1,2, {"x":null}]}', '{"a":1,"a":2}',
    '"\\u00e9\\n\\"\\\\"', '[ 1 , "\ttab" ]'.replace("\t", "\\t"),
    '{"": {"": ""}}', "12345678901234567890.123456789",
]

# Type: values as PostgreSQL reads them.
TYPES = {
    "boolean": ["t", "f"],
    "int2": ["0", "-32768", "32767", "7"],
    "int4": ["0", "1", "-2147483648", "2147483647"],
    "int8": ["0", "-9223372036854775808", "9223372036854775807"],
    "numeric": ["0", "NaN", "Infinity", "-Infinity", "1.50", "-0.000",
                "1e-30", "123456789012345678901234567890.5", "1e100"],
    "numeric(8,2)": ["1", "NaN", "-999999.99", "0.005"],
    "float4": ["0", "-0", "NaN", "Infinity", "-Infinity", "1e-40", "0.1",
               "3.4e38"],
    "float8": ["0", "-0", "NaN", "-Infinity", "5e-324", "0.1", "1e22",
               "1.7976931348623157e308"],
    "text": TEXTS,
    "varchar(300)": TEXTS,
    "char(5)": ["", "a", "ab ", "täglx", '"', "\\", "\t"],
    '"char"': ["a", "", '"', "\\"],
    "name": ["n", 'a"b', "x" * 63, ""],
    "bytea": ["\\x", "\\x00ff", "\\x5c22", "\\x" + "ab" * 200],
    "date": ["2024-02-29", "infinity", "-infinity", "0044-03-15 BC",
             "99999-12-31", "epoch"],
    "time": ["00:00", "24:00:00", "12:34:56.789012"],
    "timetz": ["00:00+14", "23:59:59.999999-15:59:59"],
    "timestamp": ["2024-02-29 12:00", "infinity", "-infinity",
                  "0001-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"],
    "timestamptz": ["2024-02-29 12:00+00", "infinity", "-infinity",
                    "1883-11-18 12:03:57+00", "0044-03-15 BC",
                    "2024-03-31 01:30:00.000001+00"],
    "interval": ["1 day", "24 hours", "-1 mon +2 days", "00:00:00.000001",
                 "178000000 years"],
    "uuid": ["00000000-0000-0000-0000-000000000000",
             "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "json": JSONS + [' {"spaced" : 1 } ', '"\\ud83d\\ude00"'],
    "jsonb": JSONS,
    "inet": ["::1", "10.0.0.1/8", "192.168.0.1"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "point": ["(1,2)", "(NaN,Infinity)"],
    "box": ["(1,2),(3,4)"],
    "path": ["[(1,2),(3,4)]"],
    "circle": ["<(0,0),1>"],
    "bit(4)": ["1010", "0000"],
    "varbit": ["", "1", "10110"],
    "money": ["$1.50", "-92233720368547758.08"],
    "xml": ["<a>&lt;\"</a>", ""],
    "tsvector": ["", "'a':1A 'qu''ote':2"],
    "tsquery": ["a & !b", "'x y'"],
    "oid": ["0", "4294967295"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "xid8": ["0", "18446744073709551615"],
    "jsonpath": ["$.a", '$."x y"[*] ? (@ > 1)'],
    "int4range": ["empty", "[1,5)", "(,)"],
    "numrange": ["[1.0,Infinity]", "empty", "(,NaN]"],
    "tstzrange": ['["2024-01-01 00:00+00",infinity)'],
    "daterange": ["[2024-01-01,2024-01-31]", "empty"],
    "int4multirange": ["{}", "{[1,3),[7,9)}"],
    "int4[]": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={7,8}"],
    "text[]": ["{}", '{a,NULL,"NULL","q\\"x","b\\\\","c,d",""}',
               "{{日,本},{語,\"\"}}"],
    "numeric[]": ["{NaN,Infinity,1.0}"],
    "timestamptz[]": ['{infinity,"2024-01-01 00:00+00"}'],
    "jsonb[]": ['{"{\\"a\\": [1]}",NULL,"null"}'],
    "bytea[]": ['{"\\\\x00ff"}'],
    "boolean[]": ["{t,f,NULL}"],
    "types.mood": ["sad", "ok", 'happy "quoted"', "schön"],
    "types.mood[]": ['{sad,NULL,"happy \\"quoted\\""}'],
    "types.pair": ["(1,a)", "(,)", '(2,"a ""b"" c")', "(,日)"],
    "types.pair[]": ['{"(1,a)",NULL}', "{}"],
    "types.deep": ['("(1,x)",infinity,"{NaN,1.50}")', "(,,)"],
    "types.positive": ["1", "2147483647"],
    "types.short": ["", "short", "ünï"],
    "types.moods": ["{sad,ok}"],
    "types.amount": ["1.5", "NaN"],
    "types.small": ["2.25", "-7"],
}

# What a primary key is made of here: types of which value N is its own.
KEYS = {
    "int4": str,
    "int8": lambda n: str(n - 2 ** 62),
    "int2": str,
    "numeric": lambda n: ["NaN", "Infinity", "-Infinity"][n]
        if n < 3 else "%d.%d0" % (n, n),
    "text": lambda n: "%s#%d" % (TEXTS[n % len(TEXTS)], n),
    "varchar(80)": lambda n: 'k"\\\t%d' % n,
    "char(9)": lambda n: "c%d" % n,
    "uuid": lambda n: "a0eebc99-9c0b-4ef8-bb6d-%012x" % n,
    "bytea": lambda n: "\\x%08x" % n,
    "date": lambda n: "2024-01-01" if n == 0 else
        "%04d-02-%02d" % (1900 + n // 28, 1 + n % 28),
    "timestamptz": lambda n: ["infinity", "-infinity"][n] if n < 2 else
        "2024-01-01 00:00:00.%06d+00" % n,
    "float8": lambda n: ["NaN", "-Infinity"][n] if n < 2 else "%d.25" % n,
    "boolean[]": lambda n: "{" + ",".join("tf"[int(b)] for b in bin(n)[2:]) + "}",
    "jsonb": lambda n: '{"n": %d, "q\\"": "é"}' % n,
    "types.pair": lambda n: '(%d,"x ""y")' % n,
    "types.positive": lambda n: str(n + 1),
    "types.small": lambda n: "%d.5" % n,
    "inet": lambda n: "10.0.%d.%d" % (n // 256, n % 256),
    "int4range": lambda n: "[%d,%d)" % (n, n + 5),
}

# Their "IS DISTINCT FROM" means that the texts differ.
PLAIN = ["boolean", "int2", "int4", "int8", "text", "varchar(300)", "uuid",
         "types.mood", "bytea"]

# ALTER COLUMN ... TYPE from anything goes by way of text.
TARGETS = ["text", "varchar(300)", "json", "text[]"]
CONVERT = {
    "text": "(%s)::text",
    "varchar(300)": "left((%s)::text, 300)",
    "json": "to_json(%s)",
    "text[]": "ARRAY[(%s)::text]",
}


def ident(name):
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    """A string constant; control characters as escapes."""
    if text is None:
        return "NULL"
    if text.isprintable() and "\\" not in text:
        return "'" + text.replace("'", "''") + "'"
    out = []
    for char in text:
        if char == "'":
            out.append("''")
        elif char == "\\":
            out.append("\\\\")
        elif ord(char) < 32 or ord(char) == 127:
            out.append("\\x%02x" % ord(char))
        else:
            out.append(char)
    return "E'" + "".join(out) + "'"


def array(strings):
    """text[] constant."""
    if strings is None:
        return "NULL"
    return "ARRAY[" + ", ".join(literal(s) for s in strings) + "]::text[]"


def braces(strings):
    """An array literal, as it stands in a trigger's arguments."""
    return "{" + ",".join(
        '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for s in strings) + "}"


def copied(text):
    """A value in COPY's text format."""
    if text is None:
        return "\\N"
    for char, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"),
                         ("\t", "\\t"), ("\b", "\\b"), ("\f", "\\f"),
                         ("\v", "\\v")):
        text = text.replace(char, escape)
    return text
