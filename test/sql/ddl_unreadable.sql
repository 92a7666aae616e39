-- Triggers whose arguments make no sense, as they can be made while the library
-- is not loaded: nothing follows them, and everything can be done to get rid of
-- them.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
-- Give a trigger other arguments behind the library's back.
CREATE FUNCTION spoil(tab regclass, name name, VARIADIC args text[]) RETURNS void LANGUAGE sql AS $$
	UPDATE pg_trigger SET tgnargs = cardinality(args),
		tgargs = (SELECT string_agg(convert_to(a, 'UTF8') || '\x00'::bytea, '' ORDER BY n) FROM unnest(args) WITH ORDINALITY u (a, n))
	WHERE tgrelid = tab AND tgname = name;
	UPDATE pg_class SET relhastriggers = true WHERE oid = tab;
$$;
SET allow_system_table_mods = on;
CREATE TABLE visits (id int PRIMARY KEY, status text, note text);
SELECT hcevents.attach('visits', 'visit', '{status}');
SELECT hcevents.attach('visits', 'stay', '{note}');
CREATE TRIGGER by_hand AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.made');
CREATE TRIGGER other AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.other');
SELECT spoil('visits', 'hcevents_stay', 'resource=stay', 'insert=created', 'columns={note');
SELECT spoil('visits', 'by_hand', 'nonsense');
SELECT spoil('visits', 'other', 'resource=other', 'transitions=[{"column":');
SELECT coalesce(max(id), 0) AS since FROM hcevents.attachment_log \gset

-- the others are followed, and these are shown
ALTER TABLE visits RENAME COLUMN status TO state;
ALTER TABLE visits ADD COLUMN more int;
ALTER TABLE visits DROP COLUMN note;
SELECT resource, events, columns, key, enabled, valid, unpublished_columns, definition FROM hcevents.attachments ORDER BY resource, definition;
SELECT status, detail FROM hcevents.check() WHERE "check" = 'attachments';
SELECT hcevents.attach('visits', 'visit', '{status:state}');
SELECT hcevents.attach('visits', 'third');

-- every way out
BEGIN;
SELECT hcevents.detach('visits', 'stay');
SELECT hcevents.detach('visits', 'other');
SELECT hcevents.detach('visits');
SELECT count(*) FROM hcevents.attachments;
ROLLBACK;
DROP TRIGGER hcevents_stay ON visits;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE OR REPLACE TRIGGER other AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT action, resource, columns_before, columns_after FROM hcevents.attachment_log WHERE id > :since ORDER BY id;
BEGIN;
CREATE OR REPLACE TRIGGER by_hand AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.made', 'columns=state');
SELECT resource, columns, valid FROM hcevents.attachments ORDER BY resource, events;
ROLLBACK;
BEGIN;
DROP TABLE visits;
ROLLBACK;
BEGIN;
CREATE SCHEMA tenant;
ALTER TABLE visits SET SCHEMA tenant;
SET LOCAL client_min_messages = error;
DROP SCHEMA tenant CASCADE;
ROLLBACK;
BEGIN;
SET LOCAL client_min_messages = error;
DROP EXTENSION hcevents CASCADE;
ROLLBACK;
DROP TABLE visits;

-- also with partitions, and where a child goes with its parent's column
CREATE TABLE logs (id int, region text, text text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_n PARTITION OF logs FOR VALUES IN ('n');
CREATE TRIGGER by_hand AFTER INSERT ON logs FOR EACH ROW EXECUTE FUNCTION hcevents.emit('log.made');
SELECT spoil('logs', 'by_hand', 'nonsense');
SELECT spoil('logs_n', 'by_hand', 'nonsense');
ALTER TABLE logs RENAME COLUMN text TO message;
ALTER TABLE logs DETACH PARTITION logs_n;
DROP TABLE logs;
DROP TABLE logs_n;
-- CREATE TRIGGER itself refuses them, also in a restore
CREATE TABLE visits (id int PRIMARY KEY);
SET check_function_bodies = off;
CREATE TRIGGER by_hand AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('nonsense');
RESET check_function_bodies;
DROP TABLE visits;
DROP FUNCTION spoil, nothing;
