-- Whoever runs DDL is told what it does to events.
\set SHOW_CONTEXT never
SET client_min_messages = notice;
CREATE TABLE visits (id int PRIMARY KEY, number text NOT NULL, status text, note text);
SELECT hcevents.attach('visits', 'visit', '{status,remark:note}',
	transitions => '[{"column":"status","to":"closed","event":"closed"}]');
SELECT hcevents.attach('visits', 'stay', '{note}', key => '{number,status}');
-- each attachment, each column once
ALTER TABLE visits RENAME COLUMN status TO state;
ALTER TABLE visits RENAME COLUMN state TO status;
ALTER TABLE visits RENAME COLUMN number TO no;
-- the primary key is published as the id, whatever its name
ALTER TABLE visits RENAME COLUMN id TO visit_id;

-- a name that means another column now: two columns swap
ALTER TABLE visits RENAME COLUMN status TO swap;
ALTER TABLE visits RENAME COLUMN note TO status;
ALTER TABLE visits RENAME COLUMN swap TO note;
SELECT resource, columns, key FROM hcevents.attachments ORDER BY resource;
-- one is added
ALTER TABLE visits ADD COLUMN number int;
-- whoever has been told is not told again
ALTER TABLE visits ADD COLUMN more int;
ALTER TABLE visits RENAME COLUMN more TO some_more;
DROP TABLE visits;

-- a composite primary key, and partitions: said once
CREATE TABLE logs (id int, region text, text text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_n PARTITION OF logs FOR VALUES IN ('n');
SELECT hcevents.attach('logs', 'log', '{text}');
ALTER TABLE logs RENAME COLUMN region TO area;
ALTER TABLE logs RENAME COLUMN text TO message;
ALTER TABLE logs ADD COLUMN text int;
ALTER TABLE logs DROP COLUMN text;
DROP TABLE logs_n;
CREATE SCHEMA tenant;
ALTER TABLE logs SET SCHEMA tenant;
\set VERBOSITY terse
DROP SCHEMA tenant CASCADE;
\set VERBOSITY default

-- what a restore may do, and nobody else
CREATE TABLE patients (id int PRIMARY KEY, name text);
SELECT hcevents.attach('patients', 'patient', '{name}');
SET check_function_bodies = off;
BEGIN;
DROP TRIGGER hcevents_patient ON patients;
ROLLBACK;
BEGIN;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE OR REPLACE TRIGGER hcevents_patient AFTER INSERT ON patients FOR EACH ROW EXECUTE FUNCTION nothing();
ROLLBACK;
SET hcevents.on_missing_column = skip;
BEGIN;
DROP TRIGGER hcevents_patient ON patients;
ROLLBACK;
RESET hcevents.on_missing_column;
-- attach() is as strict as ever
SELECT hcevents.attach('patients', 'patient', '{name,gone}');
SELECT hcevents.attach('patients', 'patient', '{name,name:id}');
SELECT current_setting('check_function_bodies');
SELECT hcevents.attach('patients', 'patient', '{name,number:id}');
SELECT current_setting('check_function_bodies');
-- CREATE TRIGGER tells what is wrong
CREATE TRIGGER by_hand AFTER INSERT ON patients FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('patient.made', 'columns=name, name:id');
RESET check_function_bodies;
CREATE TRIGGER other AFTER INSERT ON patients FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('patient.made', 'columns=name, name:id');
DROP TABLE patients;

-- an owner who may not even see our schema
SET client_min_messages = warning;
CREATE ROLE hce_migrator;
GRANT CREATE ON SCHEMA public TO hce_migrator;
CREATE TABLE owned (id int PRIMARY KEY, v text);
ALTER TABLE owned OWNER TO hce_migrator;
SELECT hcevents.attach('owned', 'owned', '{v}');
REVOKE USAGE ON SCHEMA hcevents FROM PUBLIC;
SET ROLE hce_migrator;
ALTER TABLE owned RENAME COLUMN v TO w;
DROP TRIGGER hcevents_owned ON owned;
SET hcevents.on_missing_column = skip;
DROP TRIGGER hcevents_owned ON owned;
RESET hcevents.on_missing_column;
RESET ROLE;
SELECT role, action, columns_before, columns_after FROM hcevents.attachment_log ORDER BY id DESC LIMIT 2;
SELECT hcevents.attach('owned', 'owned', '{w}');
SET ROLE hce_migrator;
DROP TABLE owned;
RESET ROLE;
GRANT USAGE ON SCHEMA hcevents TO PUBLIC;
REVOKE CREATE ON SCHEMA public FROM hce_migrator;
DROP ROLE hce_migrator;

-- a session that cannot write
CREATE TEMP TABLE temporary (id int PRIMARY KEY, name text);
SELECT hcevents.attach('temporary', 'patient', '{name}');
SET default_transaction_read_only = on;
DISCARD TEMP;
RESET default_transaction_read_only;
SELECT to_regclass('pg_temp.temporary') IS NULL AS gone;
