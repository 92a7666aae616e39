"""The psql script of a case, and of the database that it needs."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
SESSIONS = [
    "", "SET TimeZone = 'Asia/Kathmandu';", "SET TimeZone = 'America/New_York';",
    "SET DateStyle = 'German, DMY';", "SET IntervalStyle = iso_8601;",
    "SET bytea_output = escape;", "SET extra_float_digits = 0;",
    "SET xmloption = content;",
]


def prepare():
    """What the database needs, once."""
    with open(os.path.join(HERE, "model.sql"), encoding="utf-8") as file:
        return ("SET client_min_messages = error;\n"
                "CREATE EXTENSION IF NOT EXISTS hcevents;\n"
                "CREATE EXTENSION IF NOT EXISTS hcevents_test;\n"
                + file.read())


def case_script(case, units=None, show=False):
    """One case; "units" are those of its pieces that are to run."""
    session = SESSIONS[case.number % len(SESSIONS)]
    head = """\\set ON_ERROR_ROLLBACK on
SET client_min_messages = error;
SET lock_timeout = '500ms';
SET statement_timeout = '60s';
%s
CALL model.begin_case();
SELECT pg_current_wal_insert_lsn() AS lsn \\gset
\\o /dev/null
""" % session
    tail = """
\\o
ROLLBACK;
RESET ALL;
SET client_min_messages = error;
-- a case that is being shortened may have lost the end of one
SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database() \\gexec
"""
    if show:
        tail += """\\pset format unaligned
\\pset tuples_only on
\\echo 'expected:'
SELECT expected FROM model.both(:'lsn') WHERE expected IS NOT NULL ORDER BY list, n;
\\echo
\\echo 'captured:'
SELECT captured FROM model.both(:'lsn') WHERE captured IS NOT NULL ORDER BY list, n;
\\echo
\\echo 'they differ in:'
SELECT n || chr(10) || '  expected ' || coalesce(expected, '-') || chr(10) || '  captured ' || coalesce(captured, '-')
FROM model.both(:'lsn') WHERE expected IS DISTINCT FROM captured ORDER BY list, n;
"""
    else:
        tail += """SELECT 'case', %d, * FROM model.compare(:'lsn');
DROP SCHEMA %s CASCADE;
DROP SCHEMA %s CASCADE;
""" % (case.number, '"%s"' % case.schema, '"%sb"' % case.schema)
    return head + "\n".join(case.units if units is None else units) + tail
