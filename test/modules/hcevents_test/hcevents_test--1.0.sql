\echo Use "CREATE EXTENSION hcevents_test" to load this file. \quit

-- What has been captured from from_lsn on, committed or not, in the order of
-- the commits (what did not commit comes last).
CREATE FUNCTION hce_captured(
	from_lsn pg_lsn,
	OUT xid xid,
	OUT committed boolean,
	OUT event_id uuid,
	OUT event_type text,
	OUT key text,
	OUT headers text,
	OUT schema_name text,
	OUT table_name text,
	OUT envelope text,
	OUT failed text)
RETURNS SETOF record
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_captured';

-- Checks of src/event that SQL cannot reach; returns a line for each.
CREATE FUNCTION hce_test_event_id(count integer) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_event_id';

-- Decodes "rounds" damaged copies of a record; returns how many were refused.
CREATE FUNCTION hce_test_fuzz(from_lsn pg_lsn, rounds integer) RETURNS integer
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_fuzz';

-- Unit tests of src/relay's pure modules: "ok", or an error.
CREATE FUNCTION hce_test_settle(seed integer) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_settle';
CREATE FUNCTION hce_test_assembler() RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_assembler';

-- The relay's WAL reader beside the server's, from a place on for so long, and
-- again from so many places behind it: how many records there are, and how many
-- it passed by.
CREATE FUNCTION hce_test_wal_reader(from_lsn pg_lsn, places integer,
	milliseconds integer) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_wal_reader';

-- Whether a value of hcevents.excluded_databases matches a name.
CREATE FUNCTION hce_test_excluded(name text, patterns text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'hce_test_excluded';

-- A trigger function that sleeps so many milliseconds, whatever signal comes.
CREATE FUNCTION hce_test_sleep() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hce_test_sleep';

-- A row trigger that does nothing.
CREATE FUNCTION hce_test_noop() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hce_test_noop';
