-- Transitions name the text of values.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION seen(lsn pg_lsn, OUT event_type text, OUT data json)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT event_type, envelope::json->'data' FROM hce_captured(lsn) WHERE committed $$;
CREATE TYPE mood AS ENUM ('open', 'closed', 'lost');
CREATE TYPE other AS ENUM ('open', 'closed');
CREATE DOMAIN checked AS mood CHECK (value <> 'lost');
CREATE TABLE visits (id int PRIMARY KEY, status mood, state checked, free text, n int, flag boolean);
SELECT hcevents.attach('visits', 'visit', '{status}',
	transitions => '[{"column":"status","from":"open","to":"closed","event":"closed"},{"column":"state","to":"closed","event":"ended"}]');
SELECT hcevents.attach('visits', 'stay', '{free}',
	transitions => '[{"column":"free","to":"closed","event":"closed"},{"column":"n","to":"7","event":"seventh"},{"column":"flag","to":"t","event":"flagged"}]');

-- a value that a transition names is not renamed
ALTER TYPE mood RENAME VALUE 'closed' TO 'done';
ALTER TYPE mood RENAME VALUE 'open' TO 'begun';
\set VERBOSITY sqlstate
ALTER TYPE mood RENAME VALUE 'open' TO 'begun';
\set VERBOSITY default
-- others are
ALTER TYPE mood RENAME VALUE 'lost' TO 'away';
ALTER TYPE mood ADD VALUE 'later';
ALTER TYPE other RENAME VALUE 'closed' TO 'done';
-- the way around
BEGIN;
SELECT hcevents.attach('visits', 'visit', '{status}',
	transitions => '[{"column":"status","from":"open","to":"done","event":"closed"},{"column":"state","to":"done","event":"ended"}]');
ALTER TYPE mood RENAME VALUE 'closed' TO 'done';
COMMIT;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO visits VALUES (1, 'open', 'open', 'x', 1, false);
UPDATE visits SET status = 'done' WHERE id = 1;
UPDATE visits SET state = 'done' WHERE id = 1;
SELECT event_type, data FROM seen(:'lsn') WHERE event_type LIKE 'visit.%';
-- or without the transitions
SET hcevents.on_missing_column = skip;
ALTER TYPE mood RENAME VALUE 'done' TO 'over';
RESET hcevents.on_missing_column;

-- other types: a warning, unless the text is the same
ALTER TABLE visits ALTER COLUMN free TYPE varchar(20), ALTER COLUMN n TYPE bigint;
ALTER TABLE visits ALTER COLUMN free TYPE varchar(30), ALTER COLUMN n TYPE bigint;
ALTER TABLE visits ALTER COLUMN flag TYPE text;
ALTER TABLE visits ALTER COLUMN status TYPE text, ALTER COLUMN state TYPE text;
ALTER TABLE visits DROP COLUMN n, ADD COLUMN n date;
ALTER TABLE visits ALTER COLUMN free TYPE other USING 'open'::other;
SELECT resource, valid FROM hcevents.attachments ORDER BY resource;
DROP TABLE visits;
DROP DOMAIN checked;
DROP TYPE mood, other;
DROP FUNCTION seen;
