-- What would silently end events is refused, unless hcevents.on_missing_column
-- says otherwise.
\set SHOW_CONTEXT never
\set VERBOSITY default
CREATE FUNCTION seen(lsn pg_lsn, OUT event_type text, OUT key text, OUT data json, OUT failed text)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT event_type, key, envelope::json->'data', failed FROM hce_captured(lsn) WHERE committed $$;
CREATE FUNCTION sqlstate_of(command text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN EXECUTE command; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;
CREATE TABLE patients (id int PRIMARY KEY, name text, email text, status text, phone text, other int);
SELECT hcevents.attach('patients', 'patient', '{name,mail:email}',
	transitions => '[{"column":"status","to":"gone","event":"left"},{"column":"name","to":"x","event":"anonymised"}]');
SHOW hcevents.on_missing_column;
SET hcevents.on_missing_column = 'perhaps';

-- as Django, Alembic and psql send it
ALTER TABLE "patients" DROP COLUMN "email" CASCADE;
ALTER TABLE patients DROP COLUMN email;
ALTER TABLE patients DROP COLUMN IF EXISTS status;
ALTER TABLE patients DROP COLUMN id CASCADE;
ALTER TABLE patients ADD COLUMN more int, DROP COLUMN email, ALTER COLUMN name TYPE varchar(10);
DROP TRIGGER hcevents_patient ON patients;
DROP TRIGGER hcevents_patient ON patients CASCADE;
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE OR REPLACE TRIGGER hcevents_patient AFTER INSERT ON patients FOR EACH ROW EXECUTE FUNCTION other();
SELECT sqlstate_of('ALTER TABLE patients DROP COLUMN email');
SELECT sqlstate_of('ALTER TABLE patients DROP COLUMN id');
SELECT sqlstate_of('DROP TRIGGER hcevents_patient ON patients');
SELECT columns, valid FROM hcevents.attachments;
-- renamed before: the same
ALTER TABLE patients RENAME COLUMN email TO address;
ALTER TABLE patients DROP COLUMN address;
ALTER TABLE patients RENAME COLUMN address TO email;
-- what is not published goes
ALTER TABLE patients DROP COLUMN other, DROP COLUMN phone;
-- dropped and made again by one command: nothing is missing
SELECT pg_current_wal_insert_lsn() AS lsn \gset
ALTER TABLE patients DROP COLUMN email, ADD COLUMN email int DEFAULT 3;
ALTER TABLE patients DROP COLUMN id, ADD COLUMN id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
INSERT INTO patients (name) VALUES ('n');
SELECT * FROM seen(:'lsn');
-- a primary key may be dropped and made again
BEGIN;
ALTER TABLE patients DROP CONSTRAINT patients_pkey;
ALTER TABLE patients ADD PRIMARY KEY (id);
COMMIT;
ALTER TABLE patients ALTER COLUMN id TYPE bigint;
SELECT columns, key, valid FROM hcevents.attachments;
-- the way around: attach without the column first
BEGIN;
SELECT hcevents.attach('patients', 'patient', '{name}');
ALTER TABLE patients DROP COLUMN email, DROP COLUMN status;
COMMIT;
SELECT columns, valid FROM hcevents.attachments;

-- a type that goes with its columns
CREATE TYPE mood AS ENUM ('good');
ALTER TABLE patients ADD COLUMN mood mood;
SELECT hcevents.attach('patients', 'patient', '{name,mood}');
DROP TYPE mood CASCADE;
SELECT hcevents.attach('patients', 'patient', '{name}');
DROP TYPE mood CASCADE;

-- written by hand, with conditions that CASCADE takes along
CREATE TRIGGER by_hand AFTER UPDATE ON patients FOR EACH ROW WHEN (old.name IS DISTINCT FROM new.name)
	EXECUTE FUNCTION hcevents.emit('patient.renamed');
SELECT hcevents.attach('patients', 'patient');
ALTER TABLE patients DROP COLUMN name CASCADE;
DROP TRIGGER by_hand ON patients;
SELECT resource, events FROM hcevents.attachments ORDER BY events;
SELECT hcevents.detach('patients');
ALTER TABLE patients DROP COLUMN name CASCADE;
DROP TABLE patients;

-- skip: events go on without the column
CREATE TABLE visits (id int PRIMARY KEY, status text, note text, ward text);
SELECT hcevents.attach('visits', 'visit', '{status,remark:note,ward}',
	transitions => '[{"column":"status","to":"closed","event":"closed"},{"column":"ward","to":"x","event":"moved"}]');
SELECT hcevents.attach('visits', 'stay', '{}', on_insert => NULL, on_update => NULL, on_delete => NULL,
	transitions => '[{"column":"ward","to":"x","event":"moved"}]');
SELECT hcevents.attach('visits', 'note', '{note}', on_update => NULL);
CREATE TRIGGER by_hand AFTER INSERT ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.made', 'columns=note, ward', 'key=id');
SELECT coalesce(max(id), 0) AS since FROM hcevents.attachment_log \gset
CREATE ROLE hce_migrator;
ALTER TABLE visits OWNER TO hce_migrator;
SET ROLE hce_migrator;
SET hcevents.on_missing_column = skip;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
ALTER TABLE visits DROP COLUMN note CASCADE;
INSERT INTO visits VALUES (1, 'open', 'w');
-- not the key, and not all that an attachment publishes
ALTER TABLE visits DROP COLUMN id CASCADE;
ALTER TABLE visits DROP COLUMN ward;
RESET ROLE;
SELECT hcevents.detach('visits', 'stay');
SET ROLE hce_migrator;
BEGIN;
ALTER TABLE visits DROP COLUMN ward;
INSERT INTO visits VALUES (2, 'open');
UPDATE visits SET status = 'closed' WHERE id = 2;
COMMIT;
DROP TRIGGER by_hand ON visits;
DROP TRIGGER hcevents_note ON visits;
RESET hcevents.on_missing_column;
RESET ROLE;
SELECT * FROM seen(:'lsn') ORDER BY key, event_type;
SELECT resource, columns, valid, definition FROM hcevents.attachments;
SELECT role = 'hce_migrator' AS migrator, action, resource, columns_before, columns_after FROM hcevents.attachment_log WHERE id > :since ORDER BY id;
DROP TABLE visits;
DROP ROLE hce_migrator;

-- partitions and children
CREATE TABLE logs (id int, region text, text text, more text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_n PARTITION OF logs FOR VALUES IN ('n');
CREATE TABLE logs_s PARTITION OF logs FOR VALUES IN ('s') PARTITION BY LIST (region);
CREATE TABLE logs_s1 PARTITION OF logs_s FOR VALUES IN ('s');
SELECT hcevents.attach('logs', 'log', '{text,more}');
ALTER TABLE logs DROP COLUMN text;
DROP TRIGGER hcevents_log ON logs;
DROP TRIGGER hcevents_log ON logs_n;
SET hcevents.on_missing_column = skip;
ALTER TABLE logs DROP COLUMN text;
RESET hcevents.on_missing_column;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO logs VALUES (1, 'n', 'm'), (2, 's', 'm');
SELECT * FROM seen(:'lsn');
-- what goes with its table, or leaves it, is free
ALTER TABLE logs DETACH PARTITION logs_n;
ALTER TABLE logs DETACH PARTITION logs_s CONCURRENTLY;
ALTER TABLE logs ATTACH PARTITION logs_s FOR VALUES IN ('s');
DROP TABLE logs_s;
DROP TABLE logs_n;
DROP TABLE logs;
CREATE TABLE beings (id int PRIMARY KEY, name text);
CREATE TABLE cats (lives int, PRIMARY KEY (id)) INHERITS (beings);
SELECT hcevents.attach('cats', 'cat', '{name,lives}');
ALTER TABLE beings DROP COLUMN name;
DROP TABLE beings CASCADE;

-- schemas, owners, temporary tables
CREATE SCHEMA tenant;
CREATE TABLE tenant.patients (id int PRIMARY KEY, name text);
SELECT hcevents.attach('tenant.patients', 'patient', '{name}');
SET client_min_messages = warning;
DROP SCHEMA tenant CASCADE;
CREATE ROLE hce_tenant;
CREATE SCHEMA tenant AUTHORIZATION hce_tenant;
CREATE TABLE tenant.patients (id int PRIMARY KEY, name text);
ALTER TABLE tenant.patients OWNER TO hce_tenant;
SELECT hcevents.attach('tenant.patients', 'patient', '{name}');
DROP OWNED BY hce_tenant CASCADE;
DROP ROLE hce_tenant;
CREATE TEMP TABLE temporary (id int PRIMARY KEY, name text);
SELECT hcevents.attach('temporary', 'patient', '{name}');
DISCARD TEMP;
CREATE PROCEDURE with_temporary() LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE temporary (id int PRIMARY KEY, name text) ON COMMIT DROP;
	PERFORM hcevents.attach('temporary', 'patient', '{name}');
	ALTER TABLE temporary RENAME COLUMN name TO title;
	COMMIT;
	CREATE TEMP TABLE temporary (id int PRIMARY KEY);
	DROP TABLE temporary;
END $$;
CALL with_temporary();
DROP PROCEDURE with_temporary;
SELECT count(*) AS attached FROM hcevents.attachments;

-- a restore drops what it makes again, and makes what was there
CREATE TABLE patients (id int, name text);
SET client_min_messages = notice;
SET check_function_bodies = off;
CREATE TRIGGER hcevents_patient AFTER INSERT OR DELETE OR UPDATE ON public.patients FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('resource=patient', 'insert=created', 'update=updated', 'delete=deleted', 'columns={name}');
CREATE TRIGGER hcevents_broken AFTER INSERT OR DELETE OR UPDATE ON public.patients FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('resource=broken', 'insert=created', 'columns={gone}', 'key={id}');
CREATE TRIGGER hcevents_wrong AFTER INSERT ON public.patients FOR EACH ROW
	EXECUTE FUNCTION hcevents.emit('nonsense');
ALTER TABLE ONLY public.patients ADD CONSTRAINT patients_pkey PRIMARY KEY (id);
SELECT resource, valid FROM hcevents.attachments ORDER BY resource;
DROP TRIGGER hcevents_broken ON public.patients;
DROP TRIGGER hcevents_patient ON public.patients;
RESET check_function_bodies;
DROP TABLE patients;

-- the extension goes with all attachments
CREATE TABLE patients (id int PRIMARY KEY, name text);
SELECT hcevents.attach('patients', 'patient', '{name}');
DROP EXTENSION hcevents;
BEGIN;
SET LOCAL client_min_messages = error;
DROP EXTENSION hcevents CASCADE;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'patients'::regclass;
ALTER TABLE patients DROP COLUMN name;
ROLLBACK;
SELECT resource, columns, valid FROM hcevents.attachments;
SELECT hcevents.detach('patients');
DROP TABLE patients;
DROP FUNCTION seen, sqlstate_of, other;
