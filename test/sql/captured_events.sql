-- captured_events(): what a transaction has captured so far.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE TABLE pets (id int PRIMARY KEY, name text, secret text);
SELECT hcevents.attach('pets', 'pet', '{name}');
CREATE TABLE homes (id int, city text, note text, PRIMARY KEY (id, city)) PARTITION BY LIST (city);
CREATE TABLE homes_oslo PARTITION OF homes FOR VALUES IN ('oslo');
CREATE TABLE homes_rome PARTITION OF homes FOR VALUES IN ('rome');
SELECT hcevents.attach('homes', 'home', '{city}', key => '{id}');

-- off: an error, not an empty answer
SHOW hcevents.keep_captured;
SELECT * FROM hcevents.captured_events();

-- all columns
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO pets VALUES (1, 'Åsa "x"', 's');
UPDATE pets SET name = NULL;
DELETE FROM pets;
SELECT hcevents.publish('pet.seen', '{"pet_id": 7, "by": "me"}', headers => '{"trace_id": "4b", "x": "ü\"\n"}') IS NOT NULL AS published;
SELECT hcevents.publish('visit.seen', '{"n": 1}') IS NOT NULL AS published;
SELECT event_type, key, data, headers, topic, source_table, error FROM hcevents.captured_events();
SELECT bool_and(envelope->>'event_id' = event_id::text AND envelope->>'event_type' = event_type
	AND (envelope->'data')::text = data::text AND envelope->'metadata'->>'source' = 'healthcore-api') AS consistent,
	count(DISTINCT event_id) FROM hcevents.captured_events();
SELECT left(envelope::text, 13), regexp_replace(envelope::text, '.*("data".*)', '\1') FROM hcevents.captured_events() LIMIT 1;
-- the list is the transaction's, to its end and no further
COMMIT;
SELECT count(*) FROM hcevents.captured_events();
BEGIN;
INSERT INTO pets VALUES (1);
SELECT count(*) FROM hcevents.captured_events();
ROLLBACK;
SELECT count(*) FROM hcevents.captured_events();

-- what it shows is what the journal has if the transaction commits: ids, envelopes, order
CREATE TEMP TABLE shown (n bigint, event_id uuid, envelope text);
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
INSERT INTO pets SELECT i, 'pet ' || i FROM generate_series(1, 700) i;
SAVEPOINT a;
UPDATE pets SET name = 'lost' WHERE id < 500;
SAVEPOINT b;
DELETE FROM pets WHERE id < 5;
RELEASE b;
ROLLBACK TO a;
UPDATE pets SET name = 'kept' WHERE id < 300;
SAVEPOINT c;
SELECT count(hcevents.publish('pet.fed', jsonb_build_object('pet_id', i))) FROM generate_series(1, 300) i;
SAVEPOINT d;
INSERT INTO homes VALUES (1, 'oslo');
RELEASE d;
RELEASE c;
DO $$
BEGIN
	FOR i IN 1..50 LOOP
		BEGIN
			UPDATE pets SET name = 'loop' WHERE id = i;
			IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$;
INSERT INTO shown SELECT ordinality, event_id, envelope FROM hcevents.captured_events() WITH ORDINALITY;
SELECT event_type, count(*) FROM hcevents.captured_events() GROUP BY event_type ORDER BY event_type COLLATE "C";
COMMIT;
SELECT count(*) FROM shown;
SELECT count(*) AS different FROM (SELECT row_number() OVER () AS n, event_id, envelope FROM hce_captured(:'lsn') WHERE committed) j
	FULL JOIN shown s USING (n) WHERE (s.event_id, s.envelope) IS DISTINCT FROM (j.event_id, j.envelope);

-- savepoints, as Django's TestCase and nested atomic blocks make them
BEGIN;
SAVEPOINT test_1;
INSERT INTO pets VALUES (1001, 'a');
SAVEPOINT atomic_1;
INSERT INTO pets VALUES (1002, 'b');
RELEASE atomic_1;
SELECT key FROM hcevents.captured_events();
ROLLBACK TO test_1;
SELECT count(*) FROM hcevents.captured_events();
SAVEPOINT test_2;
INSERT INTO pets VALUES (1003, 'c');
SELECT key FROM hcevents.captured_events();
ROLLBACK TO test_2;
-- a statement that fails takes its events along
SAVEPOINT s;
INSERT INTO pets SELECT i, 'x' FROM generate_series(1005, 0, -1) i;
ROLLBACK TO s;
SELECT count(*) FROM hcevents.captured_events();
ROLLBACK;

-- on and off in the middle: what was captured while it was on
BEGIN;
SET LOCAL hcevents.keep_captured = off;
INSERT INTO pets VALUES (2001, 'unseen');
SET LOCAL hcevents.keep_captured = on;
INSERT INTO pets VALUES (2002, 'seen');
SET LOCAL hcevents.keep_captured = off;
INSERT INTO pets VALUES (2003, 'unseen');
SET LOCAL hcevents.keep_captured = on;
INSERT INTO pets VALUES (2004, 'seen');
SELECT key FROM hcevents.captured_events();
ROLLBACK;

-- a row that moves to another partition is one update; a swallowed one, a delete
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF new.note = 'swallow' THEN RETURN NULL; END IF; RETURN new; END $$;
CREATE TRIGGER swallow BEFORE INSERT ON homes_rome FOR EACH ROW EXECUTE FUNCTION swallow();
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
INSERT INTO homes VALUES (10, 'oslo', 'x'), (11, 'oslo', 'swallow');
UPDATE homes SET city = 'rome' WHERE id IN (10, 11);
SELECT event_type, data FROM hcevents.captured_events();
INSERT INTO homes VALUES (12, 'oslo', 'swallow');
UPDATE homes SET city = 'rome' WHERE id = 12;
SAVEPOINT s;
-- held by the level outside: published in this one, and again when it is rolled back
SELECT count(*) FROM hcevents.captured_events();
ROLLBACK TO s;
SELECT event_type, key FROM hcevents.captured_events();
COMMIT;
SELECT event_type, key FROM hce_captured(:'lsn') WHERE committed;

-- called in a trigger while a row moves: the moved row is still one update
CREATE TABLE counted (what text, n bigint);
CREATE FUNCTION count_them() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO counted SELECT TG_OP, count(*) FROM hcevents.captured_events(); RETURN NULL; END $$;
CREATE TRIGGER zz_count AFTER INSERT OR DELETE ON homes FOR EACH ROW EXECUTE FUNCTION count_them();
BEGIN;
UPDATE homes SET city = 'oslo' WHERE id = 10;
SELECT event_type, key, data FROM hcevents.captured_events();
SELECT * FROM counted;
ROLLBACK;

-- a capture that fails is shown with its reason
SET hcevents.max_event_size = '1kB';
SET client_min_messages = error;
BEGIN;
INSERT INTO pets VALUES (3001, repeat('x', 5000));
SELECT event_type, key, data, envelope, source_table, error FROM hcevents.captured_events();
ROLLBACK;
SET client_min_messages = warning;
RESET hcevents.max_event_size;

-- no capture: said, rather than an empty answer only
SET hcevents.enabled = off;
BEGIN;
INSERT INTO pets VALUES (4001);
SELECT count(*) FROM hcevents.captured_events();
ROLLBACK;
RESET hcevents.enabled;

-- the limit: the write goes on, the list is refused; a rollback gives room
SET hcevents.max_event_size = '20MB';
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
INSERT INTO pets VALUES (5000, 'small');
SAVEPOINT s;
INSERT INTO pets SELECT i, repeat('y', 10000000) FROM generate_series(5001, 5010) i;
SELECT * FROM hcevents.captured_events();
ROLLBACK TO s;
SELECT event_type, key FROM hcevents.captured_events();
SAVEPOINT t;
INSERT INTO pets SELECT i, repeat('y', 10000000) FROM generate_series(5001, 5007) i;
RELEASE t;
INSERT INTO pets VALUES (5020, 'after');
SAVEPOINT u;
SELECT count(*) FROM hcevents.captured_events();
ROLLBACK TO u;
COMMIT;
SELECT count(*), count(DISTINCT key) FROM hce_captured(:'lsn') WHERE committed;
-- the next transaction has room again
BEGIN;
INSERT INTO pets VALUES (5030, 'next');
SELECT key FROM hcevents.captured_events();
ROLLBACK;
RESET hcevents.max_event_size;
-- so many savepoints that give back what they kept take no room
DO $$
BEGIN
	FOR i IN 1..300 LOOP
		BEGIN
			PERFORM hcevents.publish('pet.told', jsonb_build_object('pet_id', i, 'text', repeat('z', 500000)));
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
	PERFORM hcevents.publish('pet.told', '{"pet_id": 301}');
	IF (SELECT array_agg(key) FROM hcevents.captured_events()) <> '{301}' THEN
		RAISE 'not only the last one';
	END IF;
END $$;

-- who may: any role may keep, and nobody look who was not granted it; what an
-- UPDATE publishes its role need not be able to read
CREATE ROLE hce_tester;
GRANT UPDATE (secret), SELECT (id) ON pets TO hce_tester;
INSERT INTO pets VALUES (6001, 'not for the tester');
SET ROLE hce_tester;
SET hcevents.keep_captured = on;
BEGIN;
UPDATE pets SET secret = 'z' WHERE id = 6001;
SELECT count(*) FROM hcevents.captured_events();
ROLLBACK;
RESET ROLE;
SELECT hcevents.grant_access('hce_tester', 'test');
SET ROLE hce_tester;
BEGIN;
UPDATE pets SET secret = 'z' WHERE id = 6001;
SELECT event_type, data FROM hcevents.captured_events();
ROLLBACK;
RESET ROLE;
SELECT hcevents.revoke_access('hce_tester', 'test');
SELECT has_function_privilege('hce_tester', 'hcevents.captured_events()', 'EXECUTE');
REVOKE ALL ON pets FROM hce_tester;
DROP ROLE hce_tester;
DROP TABLE pets, homes, counted, shown;
DROP FUNCTION swallow, count_them;
