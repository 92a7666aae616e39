-- What cannot be captured never fails the write.
\set SHOW_CONTEXT never
SET client_min_messages = notice;
CREATE FUNCTION failures(lsn pg_lsn, OUT event_type text, OUT key text, OUT data json, OUT failed text)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT event_type, key, envelope::json->'data', failed FROM hce_captured(lsn) WHERE committed $$;

-- too large: before and after detoasting, by one column and by the sum
SET hcevents.max_event_size = '4kB';
CREATE TABLE papers (id int PRIMARY KEY, a text, b text);
SELECT hcevents.attach('papers', 'paper', '{a,b}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO papers VALUES (1, repeat('x', 100000), 'b');
INSERT INTO papers VALUES (2, repeat('x', 3000), repeat('y', 3000));
INSERT INTO papers VALUES (3, repeat(E'\t', 3000), NULL);
INSERT INTO papers VALUES (4, repeat('z', 100), 'fits');
-- one WARNING per transaction and attachment, an event for each row
INSERT INTO papers SELECT i, repeat('x', 5000) FROM generate_series(5, 7) i;
SELECT event_type, key, left(data::text, 40) AS data, failed FROM failures(:'lsn');
SELECT count(*) FROM papers;
-- exactly at the limit, and one byte above
TRUNCATE papers;
INSERT INTO papers VALUES (1, '', '');
SELECT 4096 - length(envelope) AS room FROM hcevents.preview('papers') \gset
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO papers VALUES (2, repeat('x', :room - 40), '');
INSERT INTO papers VALUES (3, repeat('x', :room + 1), '');
SELECT key, data IS NOT NULL AS captured, failed IS NOT NULL AS failed FROM failures(:'lsn');
RESET hcevents.max_event_size;

-- large values that fit
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO papers SELECT 100, string_agg(md5(i::text), ''), repeat('q', 300000) FROM generate_series(1, 5000) i;
UPDATE papers SET id = 101 WHERE id = 100;
DELETE FROM papers WHERE id = 101;
SELECT event_type, key, length(data->>'a') AS a, length(data->>'b') AS b, failed FROM failures(:'lsn');

-- a column that is gone, as in a restored dump whose attachment was not valid
SELECT hcevents.attach('papers', 'paper', '{a}');
ALTER TABLE papers DROP COLUMN b;
SET check_function_bodies = off;
CREATE OR REPLACE TRIGGER hcevents_paper AFTER INSERT OR UPDATE OR DELETE ON papers FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('resource=paper', 'insert=created', 'update=updated', 'delete=deleted', 'columns={a,b}');
RESET check_function_bodies;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO papers VALUES (200, 'a');
SELECT * FROM failures(:'lsn');
SELECT valid, unpublished_columns FROM hcevents.attachments;
-- it comes back, and keeps its published name when it is renamed
ALTER TABLE papers ADD COLUMN b text;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO papers VALUES (201, 'a', 'b');
ALTER TABLE papers RENAME COLUMN b TO c;
INSERT INTO papers VALUES (202, 'a', 'c');
SELECT columns, valid FROM hcevents.attachments;
-- the primary key is gone
ALTER TABLE papers DROP CONSTRAINT papers_pkey;
INSERT INTO papers VALUES (204, 'a', 'c');
SELECT * FROM failures(:'lsn');

-- rendering that runs a user's function, which fails, or writes
CREATE TYPE pair AS (l int, r int);
CREATE TABLE log_of_casts (id serial PRIMARY KEY, what text);
SELECT hcevents.attach('log_of_casts', 'cast', '{what}');
CREATE TYPE shape AS ENUM ('round', 'square');
CREATE FUNCTION shape_json(shape) RETURNS json LANGUAGE plpgsql AS
$$ BEGIN
	IF $1 = 'square' THEN RAISE EXCEPTION 'no squares'; END IF;
	INSERT INTO log_of_casts (what) VALUES ('shape');
	RETURN '{"shape":"round"}';
END $$;
CREATE CAST (shape AS json) WITH FUNCTION shape_json(shape);
CREATE TABLE things (id int PRIMARY KEY, s shape, p pair);
SELECT hcevents.attach('things', 'thing', '{s,p}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO things VALUES (1, 'round', (1, 2));
INSERT INTO things VALUES (2, 'square', (1, 2));
INSERT INTO things VALUES (3, NULL, NULL);
SELECT * FROM failures(:'lsn');
SELECT count(*) FROM things;
SELECT count(*) FROM log_of_casts;
-- a cancelled statement is not a capture failure
CREATE OR REPLACE FUNCTION shape_json(shape) RETURNS json LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(10); RETURN 'null'; END $$;
SET statement_timeout = '50ms';
INSERT INTO things VALUES (4, 'round', NULL);
RESET statement_timeout;
SELECT count(*) FROM things;

-- off: nothing is captured
SET hcevents.enabled = off;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO things VALUES (5, NULL, NULL);
SELECT hcevents.publish('a.b', '{}');
RESET hcevents.enabled;
SELECT * FROM failures(:'lsn');

DROP TABLE papers, things, log_of_casts;
DROP TYPE pair, shape CASCADE;
DROP FUNCTION failures;
