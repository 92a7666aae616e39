-- What becomes an event, through every way a row can change.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION seen(lsn pg_lsn, OUT committed boolean, OUT event_type text, OUT key text, OUT data json)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT committed, event_type, key, envelope::json->'data' FROM hce_captured(lsn) $$;
CREATE TABLE patients (id int PRIMARY KEY, name text, email text, upper text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE appointments (id int PRIMARY KEY, patient_id int REFERENCES patients ON DELETE CASCADE ON UPDATE CASCADE, status varchar(20));
SELECT hcevents.attach_healthcore(patient_columns => '{name,email,shout:upper}');

-- the envelope, byte for byte but for id and time
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO patients VALUES (1, 'Ada "the first"', NULL);
SELECT regexp_replace(envelope, '[0-9a-f-]{36}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', '***', 'g') AS envelope,
	envelope::json->>'event_id' = event_id::text AS id_matches,
	(envelope::json->>'timestamp')::timestamptz BETWEEN now() - interval '1 min' AND now() AS time_is_now,
	schema_name, table_name
FROM hce_captured(:'lsn');

-- INSERT, UPDATE, DELETE, COPY, ON CONFLICT, MERGE, a CTE that writes
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO patients VALUES (2, 'b', 'b@x'), (3, 'c', 'c@x');
COPY patients (id, name, email) FROM stdin;
4	d	\N
5	e	e@x
\.
UPDATE patients SET name = 'B' WHERE id = 2;
INSERT INTO patients VALUES (2, 'again', NULL), (6, 'f', NULL) ON CONFLICT (id) DO UPDATE SET name = excluded.name;
INSERT INTO patients VALUES (2, 'ignored', NULL) ON CONFLICT DO NOTHING;
MERGE INTO patients p USING (VALUES (3, 'merged'), (4, NULL), (7, 'new')) AS v (id, name) ON p.id = v.id
	WHEN MATCHED AND v.name IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET name = v.name
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.name, NULL);
WITH gone AS (DELETE FROM patients WHERE id = 5 RETURNING *) INSERT INTO patients SELECT id + 100, name, email FROM gone;
SELECT * FROM seen(:'lsn');

-- appointments: transitions; no event where none matches
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO appointments VALUES (1, 1, 'booked'), (2, 1, 'booked'), (3, 2, 'booked'), (4, 1, 'cancelled');
UPDATE appointments SET status = 'confirmed' WHERE id = 1;
UPDATE appointments SET status = 'cancelled' WHERE id = 1;
UPDATE appointments SET status = 'cancelled' WHERE id = 1;
UPDATE appointments SET status = 'completed' WHERE id = 2;
UPDATE appointments SET status = NULL WHERE id = 2;
UPDATE appointments SET status = 'completed' WHERE id = 2;
DELETE FROM appointments WHERE id = 3;
SELECT * FROM seen(:'lsn');

-- foreign-key cascades
SELECT hcevents.attach('appointments', 'appointment', '{patient_id}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE patients SET id = 50 WHERE id = 1;
DELETE FROM patients WHERE id = 50;
SELECT * FROM seen(:'lsn');

-- savepoints, nested, released and rolled back
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
INSERT INTO patients VALUES (1000, 'top', NULL);
SAVEPOINT a;
INSERT INTO patients VALUES (1001, 'lost', NULL);
SAVEPOINT b;
INSERT INTO patients VALUES (1002, 'lost', NULL);
RELEASE b;
INSERT INTO patients VALUES (1003, 'lost', NULL);
ROLLBACK TO a;
INSERT INTO patients VALUES (1004, 'kept', NULL);
SAVEPOINT c;
SAVEPOINT d;
INSERT INTO patients VALUES (1005, 'kept', NULL);
RELEASE d;
SAVEPOINT e;
INSERT INTO patients VALUES (1006, 'lost', NULL);
ROLLBACK TO e;
RELEASE c;
UPDATE patients SET name = 'kept, updated' WHERE id = 1005;
COMMIT;
DO $$
BEGIN
	INSERT INTO patients VALUES (1010, 'kept', NULL);
	BEGIN
		INSERT INTO patients VALUES (1011, 'lost', NULL);
		PERFORM 1/0;
	EXCEPTION WHEN division_by_zero THEN
		INSERT INTO patients VALUES (1012, 'kept', NULL);
	END;
	FOR i IN 1020..1023 LOOP
		BEGIN
			INSERT INTO patients VALUES (i, 'loop', NULL);
			IF i % 2 = 0 THEN RAISE EXCEPTION 'even'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
BEGIN;
INSERT INTO patients VALUES (1030, 'lost', NULL);
ROLLBACK;
INSERT INTO patients VALUES (1031, 'lost', NULL), (1, 'fails', NULL), (1000, 'fails', NULL);
SELECT * FROM seen(:'lsn');

-- the same with more than a buffer in each savepoint
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
SAVEPOINT a;
INSERT INTO patients SELECT i, repeat('x', 100), NULL FROM generate_series(10001, 11000) i;
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO patients SELECT i, repeat('y', 100), NULL FROM generate_series(11001, 12000) i;
RELEASE b;
INSERT INTO patients SELECT i, repeat('z', 100), NULL FROM generate_series(12001, 13000) i;
SAVEPOINT c;
DELETE FROM patients WHERE id > 11000;
ROLLBACK TO c;
SAVEPOINT d;
SAVEPOINT e;
INSERT INTO patients VALUES (13001, 'e', NULL);
RELEASE e;
INSERT INTO patients SELECT i, repeat('d', 100), NULL FROM generate_series(13002, 14000) i;
ROLLBACK TO d;
COMMIT;
SELECT committed, event_type, left(data->>'name', 1) AS name, count(*), count(DISTINCT key), min(key), max(key) FROM seen(:'lsn') WHERE committed GROUP BY 1, 2, 3 ORDER BY 2, 3;
SELECT count(*) = count(DISTINCT event_id) AS ids_are_distinct, count(*) FILTER (WHERE NOT committed) > 0 AS some_were_flushed_early FROM hce_captured(:'lsn');

-- many savepoints in one transaction
SELECT pg_current_wal_insert_lsn() AS lsn \gset
DO $$
BEGIN
	FOR i IN 20001..22000 LOOP
		BEGIN
			INSERT INTO patients VALUES (i, 's', NULL);
			IF i % 3 = 0 THEN RAISE EXCEPTION 'x'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT count(*), count(DISTINCT key) FROM seen(:'lsn') WHERE committed;
SELECT count(*) FROM patients WHERE id BETWEEN 20001 AND 22000;

-- deferred triggers write at commit
CREATE FUNCTION follow_up() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE patients SET email = 'deferred' WHERE id = new.id; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER follow_up AFTER INSERT ON patients DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION follow_up();
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
INSERT INTO patients VALUES (30000, 'd', NULL);
COMMIT;
SELECT * FROM seen(:'lsn');
DROP TRIGGER follow_up ON patients;

-- prepared transactions
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
INSERT INTO patients VALUES (40000, 'prepared', NULL);
SAVEPOINT a;
INSERT INTO patients VALUES (40001, 'prepared', NULL);
RELEASE a;
PREPARE TRANSACTION 'hce_one';
BEGIN;
INSERT INTO patients VALUES (40002, 'never', NULL);
PREPARE TRANSACTION 'hce_two';
INSERT INTO patients VALUES (40003, 'before', NULL);
COMMIT PREPARED 'hce_one';
ROLLBACK PREPARED 'hce_two';
SELECT * FROM seen(:'lsn');

-- columns added and dropped
SET hcevents.on_missing_column = skip;
ALTER TABLE patients DROP COLUMN upper;
RESET hcevents.on_missing_column;
SELECT hcevents.attach('patients', 'patient', '{name,added}');
ALTER TABLE patients ADD COLUMN added int DEFAULT 7;
SELECT hcevents.attach('patients', 'patient', '{name,added}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE patients SET name = 'after' WHERE id = 2;
ALTER TABLE patients ALTER COLUMN added TYPE text USING 'n' || added;
UPDATE patients SET name = 'text' WHERE id = 2;
SELECT * FROM seen(:'lsn');

-- settings of the envelope follow SET; names follow RENAME
SELECT pg_current_wal_insert_lsn() AS lsn \gset
SET hcevents.source = 'test "source"';
SET hcevents.schema_version = '2.0';
UPDATE patients SET name = 'settings' WHERE id = 2;
RESET hcevents.source;
RESET hcevents.schema_version;
ALTER TABLE patients RENAME TO people;
UPDATE people SET name = 'renamed' WHERE id = 2;
CREATE SCHEMA clinic;
ALTER TABLE people SET SCHEMA clinic;
UPDATE clinic.people SET name = 'moved' WHERE id = 2;
ALTER SCHEMA clinic RENAME TO hospital;
UPDATE hospital.people SET name = 'schema' WHERE id = 2;
SELECT schema_name, table_name, envelope::json->'metadata' AS metadata, envelope::json->'data'->>'name' AS name FROM hce_captured(:'lsn');

-- inheritance: a child's rows are the child's
CREATE TABLE beings (id int PRIMARY KEY, name text);
CREATE TABLE cats (lives int, PRIMARY KEY (id)) INHERITS (beings);
SET client_min_messages = notice;
SELECT hcevents.attach('beings', 'being', '{name}');
SET client_min_messages = warning;
SELECT hcevents.attach('cats', 'cat', '{name,lives}', key => '{id}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO beings VALUES (1, 'being');
INSERT INTO cats VALUES (2, 'cat', 9);
UPDATE beings SET name = 'x';
SELECT * FROM seen(:'lsn');

-- session_replication_role
SELECT pg_current_wal_insert_lsn() AS lsn \gset
SET session_replication_role = replica;
UPDATE beings SET name = 'y';
RESET session_replication_role;
SELECT * FROM seen(:'lsn');

-- the pure parts
SELECT hce_test_event_id(1000);
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO beings SELECT i, 'n' || i FROM generate_series(100, 300) i;
SELECT hce_test_fuzz(:'lsn', 20000) > 1000 AS refused_many;

DROP SCHEMA hospital CASCADE;
DROP TABLE appointments, beings, cats;
DROP FUNCTION seen, follow_up;
