-- A column that is renamed keeps its published name.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION seen(lsn pg_lsn, OUT event_type text, OUT key text, OUT data json, OUT failed text)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT event_type, key, envelope::json->'data', failed FROM hce_captured(lsn) WHERE committed $$;
CREATE FUNCTION arguments(tab regclass) RETURNS TABLE (target regclass, name name, enabled "char", args text) LANGUAGE sql AS
$$ SELECT tgrelid::regclass, tgname, tgenabled, substring(pg_get_triggerdef(oid) FROM 'emit\(.*\)')
   FROM pg_trigger WHERE tgrelid IN (SELECT relid FROM pg_partition_tree(tab) UNION SELECT tab::oid)
	AND tgfoid = 'hcevents.emit'::regproc ORDER BY tgrelid::regclass::text COLLATE "C", tgname $$;

-- columns, transitions and key of several attachments
CREATE TABLE visits (id int PRIMARY KEY, number text NOT NULL, status text, note text);
SELECT hcevents.attach('visits', 'visit', '{status,remark:note}',
	transitions => '[{"column":"status","from":"open","to":"closed","event":"closed"},{"column":"note","to":"x","event":"crossed"}]');
SELECT hcevents.attach('visits', 'stay', '{number,note}', on_delete => NULL, key => '{number}');
CREATE TRIGGER by_hand AFTER UPDATE OF status ON visits FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status)
	EXECUTE FUNCTION hcevents.emit('visit.touched', 'key=number', 'columns=status, note');
CREATE CONSTRAINT TRIGGER deferred AFTER DELETE ON visits DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('visit.gone', 'columns=status');
ALTER TABLE visits ENABLE ALWAYS TRIGGER hcevents_visit;
ALTER TABLE visits ENABLE REPLICA TRIGGER by_hand;
ALTER TABLE visits DISABLE TRIGGER hcevents_stay;
CREATE TEMP TABLE before AS SELECT * FROM arguments('visits');
SELECT * FROM before;
SELECT coalesce(max(id), 0) AS since FROM hcevents.attachment_log \gset
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO visits VALUES (1, 'n1', 'open', 'a'), (2, 'n2', 'open', 'a');
ALTER TABLE visits RENAME COLUMN status TO state;
ALTER TABLE visits RENAME COLUMN note TO notes;
ALTER TABLE visits RENAME COLUMN number TO no;
ALTER TABLE visits RENAME COLUMN id TO visit_id;
SELECT * FROM arguments('visits');
ALTER TABLE visits ENABLE TRIGGER hcevents_stay;
UPDATE visits SET state = 'closed' WHERE visit_id = 1;
UPDATE visits SET notes = 'x' WHERE visit_id = 1;
DELETE FROM visits WHERE visit_id = 2;
ALTER TABLE visits DISABLE TRIGGER hcevents_stay;
SELECT * FROM seen(:'lsn');
SELECT resource, columns, key, enabled, valid, unpublished_columns, definition FROM hcevents.attachments WHERE target = 'visits'::regclass ORDER BY resource, events;
-- who did it is in the log
SELECT action, resource, columns_before, columns_after FROM hcevents.attachment_log WHERE id > :since ORDER BY id;
-- twice, and back: the plain form
ALTER TABLE visits RENAME COLUMN state TO phase;
ALTER TABLE visits RENAME COLUMN phase TO status;
ALTER TABLE visits RENAME COLUMN notes TO note;
ALTER TABLE visits RENAME COLUMN no TO number;
ALTER TABLE visits RENAME COLUMN visit_id TO id;
SELECT count(*) AS same FROM before NATURAL JOIN arguments('visits');
-- so attach() of old finds nothing to do
SELECT oid AS trigger, xmin AS trigger_xmin FROM pg_trigger WHERE tgrelid = 'visits'::regclass AND tgname = 'hcevents_visit' \gset
SELECT hcevents.attach('visits', 'visit', '{status,remark:note}',
	transitions => '[{"column":"status","from":"open","to":"closed","event":"closed"},{"column":"note","to":"x","event":"crossed"}]');
SELECT oid = :trigger AND xmin::text = :'trigger_xmin' AS untouched FROM pg_trigger WHERE tgrelid = 'visits'::regclass AND tgname = 'hcevents_visit';
-- with other arguments it goes on firing on a subscriber
SELECT hcevents.attach('visits', 'visit', '{status}');
SELECT name, enabled FROM arguments('visits');

-- two columns swap their names; each keeps its published one
SELECT hcevents.attach('visits', 'visit', '{status,note}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
ALTER TABLE visits RENAME COLUMN status TO swap;
ALTER TABLE visits RENAME COLUMN note TO status;
UPDATE visits SET status = 'was note' WHERE id = 1;
ALTER TABLE visits RENAME COLUMN swap TO note;
UPDATE visits SET note = 'was status' WHERE id = 1;
COMMIT;
SELECT event_type, data FROM seen(:'lsn') WHERE event_type = 'visit.updated';
SELECT columns FROM hcevents.attachments WHERE target = 'visits'::regclass AND resource = 'visit' AND cardinality(events) = 3;
-- rolled back: as if nothing had been
BEGIN;
SAVEPOINT s;
ALTER TABLE visits RENAME COLUMN note TO gone;
ROLLBACK TO s;
UPDATE visits SET note = 'still' WHERE id = 1;
ROLLBACK;
BEGIN;
ALTER TABLE visits RENAME COLUMN note TO gone;
ROLLBACK;
SELECT columns FROM hcevents.attachments WHERE target = 'visits'::regclass AND resource = 'visit' AND cardinality(events) = 3;

-- with other DDL in one transaction, from functions and procedures
SET hcevents.on_missing_column = skip;
DROP TRIGGER by_hand ON visits;
DROP TRIGGER deferred ON visits;
RESET hcevents.on_missing_column;
CREATE FUNCTION migrate() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE visits ADD COLUMN status2 int DEFAULT 5;
	ALTER TABLE visits RENAME COLUMN note TO remarks;
	BEGIN
		ALTER TABLE visits RENAME COLUMN remarks TO never;
		RAISE EXCEPTION 'x';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	EXECUTE 'ALTER TABLE visits ALTER COLUMN remarks TYPE varchar(100)';
	ALTER TABLE visits RENAME TO consultations;
END $$;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET note = 'one' WHERE id = 1;
SELECT migrate();
UPDATE consultations SET remarks = 'two' WHERE id = 1;
COMMIT;
SELECT event_type, data FROM seen(:'lsn') WHERE event_type = 'visit.updated';
CREATE PROCEDURE migrate_in_steps() LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE consultations RENAME COLUMN remarks TO a;
	COMMIT;
	ALTER TABLE consultations RENAME COLUMN a TO b;
	ROLLBACK;
	ALTER TABLE consultations RENAME COLUMN a TO c;
	COMMIT;
END $$;
CALL migrate_in_steps();
SELECT columns, valid FROM hcevents.attachments WHERE target = 'consultations'::regclass AND resource = 'visit' AND cardinality(events) = 3;
DROP PROCEDURE migrate_in_steps;
DROP FUNCTION migrate;
DROP TABLE consultations;

-- a composite primary key: its columns are published
CREATE TABLE beds (ward text, number int, state text, PRIMARY KEY (ward, number));
SELECT hcevents.attach('beds', 'bed', '{state}', transitions => '[{"column":"state","to":"free","event":"freed"}]');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO beds VALUES ('a', 1, 'free');
ALTER TABLE beds RENAME COLUMN ward TO unit;
INSERT INTO beds VALUES ('a', 2, 'free');
SELECT columns, key, definition FROM hcevents.attachments WHERE target = 'beds'::regclass;
SELECT * FROM arguments('beds');
SELECT * FROM seen(:'lsn');
ALTER TABLE beds RENAME COLUMN unit TO ward;
SELECT * FROM arguments('beds');
SELECT hcevents.attach('beds', 'bed', '{state}', key => '{x:ward,x:number}');
DROP TABLE beds;

-- partitions, with columns in another order, and sub-partitions
CREATE TABLE logs (id int, region text, text text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_n PARTITION OF logs FOR VALUES IN ('n');
CREATE TABLE logs_s (gone int, text text, region text NOT NULL, id int NOT NULL);
ALTER TABLE logs_s DROP COLUMN gone;
ALTER TABLE logs ATTACH PARTITION logs_s FOR VALUES IN ('s');
CREATE TABLE logs_we PARTITION OF logs FOR VALUES IN ('w', 'e') PARTITION BY LIST (region);
CREATE TABLE logs_w PARTITION OF logs_we FOR VALUES IN ('w');
SELECT hcevents.attach('logs', 'log', '{text}');
ALTER TABLE logs_s ENABLE ALWAYS TRIGGER hcevents_log;
SELECT hcevents.attach('logs_n', 'north', '{text}', on_update => NULL, on_delete => NULL);
SELECT pg_current_wal_insert_lsn() AS lsn \gset
ALTER TABLE logs RENAME COLUMN text TO message;
ALTER TABLE logs RENAME COLUMN region TO area;
SELECT * FROM arguments('logs');
CREATE TABLE logs_e PARTITION OF logs_we FOR VALUES IN ('e');
INSERT INTO logs VALUES (1, 'n', 'a'), (2, 's', 'b'), (3, 'w', 'c'), (4, 'e', 'd');
UPDATE logs SET area = 's' WHERE id = 3;
SELECT * FROM seen(:'lsn') ORDER BY event_type, key;
ALTER TABLE logs DETACH PARTITION logs_n;
ALTER TABLE logs ATTACH PARTITION logs_n FOR VALUES IN ('n');
ALTER TABLE logs RENAME COLUMN message TO text;
SELECT * FROM arguments('logs');
SELECT target, resource, valid FROM hcevents.attachments ORDER BY resource;
DROP TABLE logs;

-- children of a table, and typed tables
CREATE TABLE beings (id int PRIMARY KEY, name text);
CREATE TABLE cats (lives int, PRIMARY KEY (id)) INHERITS (beings);
CREATE TYPE thing AS (id int, name text);
CREATE TABLE things OF thing (PRIMARY KEY (id));
SELECT hcevents.attach('cats', 'cat', '{name,lives}');
SELECT hcevents.attach('things', 'thing', '{name}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
ALTER TABLE beings RENAME COLUMN name TO title;
ALTER TYPE thing RENAME ATTRIBUTE name TO title CASCADE;
INSERT INTO cats VALUES (1, 'cat', 9);
INSERT INTO things VALUES (1, 'thing');
SELECT * FROM seen(:'lsn');
SELECT target, columns FROM hcevents.attachments ORDER BY resource;
DROP TABLE beings, cats, things;
DROP TYPE thing;

-- names that take quoting, and names with a colon
CREATE TABLE odd ("the id" int PRIMARY KEY, "a:b" text, "Weird ""name" text, "c,d" text, plain text);
SELECT hcevents.attach('odd', 'odd', '{a:b,"Weird \"name","c,d",other:plain}');
CREATE TRIGGER by_hand AFTER DELETE ON odd FOR EACH ROW EXECUTE FUNCTION hcevents.emit('odd.gone', 'columns=plain');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO odd VALUES (1, 'ab', 'w', 'cd', 'p');
ALTER TABLE odd RENAME COLUMN "a:b" TO "x y";
ALTER TABLE odd RENAME COLUMN "Weird ""name" TO "Other ""name\";
ALTER TABLE odd RENAME COLUMN "c,d" TO "{e";
ALTER TABLE odd RENAME COLUMN plain TO "f, g";
INSERT INTO odd VALUES (2, 'ab', 'w', 'cd', 'p');
DELETE FROM odd WHERE "the id" = 2;
SELECT * FROM seen(:'lsn');
SELECT columns, valid, definition FROM hcevents.attachments WHERE target = 'odd'::regclass ORDER BY events;
SELECT definition FROM hcevents.attachments WHERE target = 'odd'::regclass AND cardinality(events) = 3 \gset
SELECT hcevents.detach('odd');
:definition;
SELECT definition = :'definition' AS same FROM hcevents.attachments WHERE target = 'odd'::regclass;
-- what would silently mean another column is refused
ALTER TABLE odd RENAME COLUMN "the id" TO "other:f, g";
ALTER TABLE odd ADD COLUMN "other:f, g" text;
DROP TABLE odd;

-- a trigger that was renamed goes on, and attach() makes no second one
CREATE TABLE things (id int PRIMARY KEY, v text);
SELECT hcevents.attach('things', 'thing', '{v}');
ALTER TRIGGER hcevents_thing ON things RENAME TO mine;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
ALTER TABLE things RENAME COLUMN v TO w;
INSERT INTO things VALUES (1, 'x');
SELECT hcevents.attach('things', 'thing', '{v:w}');
SELECT hcevents.attach('things', 'other', '{w}');
SELECT resource, definition FROM hcevents.attachments WHERE target = 'things'::regclass ORDER BY resource;
ALTER TRIGGER mine ON things RENAME TO hcevents_thing;
SELECT hcevents.attach('things', 'thing', '{v:w}');
SELECT event_type, data FROM seen(:'lsn');
DROP TABLE things;

-- the owner of a table, who has no right to anything of ours
CREATE ROLE hce_migrator;
GRANT CREATE ON SCHEMA public TO hce_migrator;
CREATE TABLE owned (id int PRIMARY KEY, v text);
ALTER TABLE owned OWNER TO hce_migrator;
SELECT hcevents.attach('owned', 'owned', '{v}');
SET ROLE hce_migrator;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
ALTER TABLE owned RENAME v TO w;
INSERT INTO owned VALUES (1, 'x');
CREATE TABLE unattached (a int, b int);
ALTER TABLE unattached RENAME COLUMN a TO c;
ALTER TABLE unattached DROP COLUMN b;
DROP TABLE unattached;
RESET ROLE;
SELECT * FROM seen(:'lsn');
SELECT role, action, columns_after FROM hcevents.attachment_log ORDER BY id DESC LIMIT 1;
DROP TABLE owned;
REVOKE CREATE ON SCHEMA public FROM hce_migrator;
DROP ROLE hce_migrator;
DROP FUNCTION seen, arguments;
