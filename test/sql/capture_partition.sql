-- Partitioned tables: a row that moves is one update.
\set SHOW_CONTEXT never
CREATE TABLE visits (
	id int, region text, status text, note text, PRIMARY KEY (id, region)
) PARTITION BY LIST (region);
CREATE TABLE visits_north PARTITION OF visits FOR VALUES IN ('north');
-- another order of columns, and a dropped one
CREATE TABLE visits_south (gone int, note text, status text, region text NOT NULL, id int NOT NULL);
ALTER TABLE visits_south DROP COLUMN gone;
ALTER TABLE visits ATTACH PARTITION visits_south FOR VALUES IN ('south');
CREATE TABLE visits_sub PARTITION OF visits FOR VALUES IN ('west', 'east') PARTITION BY LIST (region);
CREATE TABLE visits_west PARTITION OF visits_sub FOR VALUES IN ('west');
CREATE TABLE visits_east PARTITION OF visits_sub FOR VALUES IN ('east');

SELECT hcevents.attach('visits', 'visit', '{status,note}', key => '{id}',
	transitions => '[{"column":"status","from":"open","to":"closed","event":"closed"}]');
-- the same arguments change nothing, and other ones replace it everywhere
SELECT hcevents.attach('visits', 'visit', '{status,note,region}', key => '{id}',
	transitions => '[{"column":"status","from":"open","to":"closed","event":"closed"}]');
SELECT target, resource, columns, key, valid FROM hcevents.attachments;

CREATE FUNCTION seen(lsn pg_lsn, OUT event_type text, OUT key text, OUT table_name text, OUT data json)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT event_type, key, table_name, envelope::json->'data' FROM hce_captured(lsn) WHERE committed $$;

SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO visits VALUES (1, 'north', 'open', 'a'), (2, 'south', 'open', 'b'), (3, 'west', 'open', 'c');
-- in place
UPDATE visits SET note = 'A' WHERE id = 1;
-- moved: one update each
UPDATE visits SET region = 'south' WHERE id = 1;
UPDATE visits SET region = 'east' WHERE id = 2;
UPDATE visits SET region = 'north' WHERE id = 3;
-- moved, with a transition
UPDATE visits SET region = 'north', status = 'closed' WHERE id = 1;
-- many rows at once
UPDATE visits SET region = CASE region WHEN 'north' THEN 'south' ELSE 'north' END;
DELETE FROM visits WHERE id = 3;
SELECT * FROM seen(:'lsn');

-- a BEFORE trigger of the new partition swallows the row: a delete
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF new.note = 'swallow' THEN RETURN NULL; END IF; RETURN new; END $$;
CREATE TRIGGER swallow BEFORE INSERT ON visits_west FOR EACH ROW EXECUTE FUNCTION swallow();
INSERT INTO visits VALUES (10, 'north', 'open', 'swallow'), (11, 'north', 'open', 'x'), (12, 'north', 'open', 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = 'west' WHERE id IN (10, 11, 12);
SELECT * FROM seen(:'lsn');

-- before the events of the statement's next row, whichever trigger publishes them
INSERT INTO visits VALUES (13, 'north', 'open', 'swallow'), (14, 'north', 'open', 'x'), (15, 'north', 'open', 'swallow');
CREATE TRIGGER "a by hand" AFTER INSERT OR UPDATE OR DELETE ON visits
	FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.told', 'columns={region}', 'key={id}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET region = 'west' WHERE id IN (13, 14, 15);
SELECT hcevents.publish('visit.told', '{"by":"hand"}', '13') IS NOT NULL AS published;
COMMIT;
SELECT * FROM seen(:'lsn');
SET hcevents.on_missing_column = skip;
DROP TRIGGER "a by hand" ON visits;
RESET hcevents.on_missing_column;

-- followed by an INSERT of another statement in the same transaction
INSERT INTO visits VALUES (20, 'north', 'open', 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET region = 'west' WHERE id = 20;
INSERT INTO visits VALUES (21, 'west', 'open', 'new');
COMMIT;
SELECT * FROM seen(:'lsn');

-- rolled back to a savepoint, and released
INSERT INTO visits VALUES (30, 'north', 'open', 'swallow'), (31, 'north', 'open', 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
SAVEPOINT s;
UPDATE visits SET region = 'west' WHERE id = 30;
ROLLBACK TO s;
SAVEPOINT t;
UPDATE visits SET region = 'west' WHERE id = 31;
RELEASE t;
INSERT INTO visits VALUES (32, 'west', 'open', 'new');
COMMIT;
SELECT * FROM seen(:'lsn');

-- followed by a savepoint that is rolled back, and by one that is released
INSERT INTO visits VALUES (40, 'north', 'open', 'swallow'), (41, 'north', 'open', 'swallow'),
	(42, 'north', 'open', 'swallow'), (43, 'north', 'open', 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET region = 'west' WHERE id = 40;
SAVEPOINT s;
INSERT INTO visits VALUES (50, 'west', 'open', 'rolled back');
ROLLBACK TO s;
COMMIT;
BEGIN;
UPDATE visits SET region = 'west' WHERE id = 41;
SAVEPOINT s;
INSERT INTO visits VALUES (51, 'west', 'open', 'kept');
RELEASE s;
COMMIT;
BEGIN;
SAVEPOINT a;
UPDATE visits SET region = 'west' WHERE id = 42;
SAVEPOINT b;
SAVEPOINT c;
INSERT INTO visits VALUES (52, 'west', 'open', 'rolled back');
RELEASE c;
ROLLBACK TO b;
INSERT INTO visits VALUES (53, 'west', 'open', 'kept');
RELEASE a;
COMMIT;
BEGIN;
SAVEPOINT a;
UPDATE visits SET region = 'west' WHERE id = 43;
SAVEPOINT b;
INSERT INTO visits VALUES (54, 'west', 'open', 'rolled back');
RELEASE b;
ROLLBACK TO a;
COMMIT;
SELECT * FROM seen(:'lsn');

-- a trigger by hand on one partition does not stand between the halves
CREATE TRIGGER "a by hand" AFTER INSERT ON visits_south
	FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.told', 'columns={region}', 'key={id}');
INSERT INTO visits VALUES (60, 'north', 'open', 'a');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = 'south' WHERE id = 60;
SELECT * FROM seen(:'lsn');
SET hcevents.on_missing_column = skip;
DROP TRIGGER "a by hand" ON visits_south;
RESET hcevents.on_missing_column;

-- the INSERT of another row is no other half, though the command is the same
INSERT INTO visits VALUES (61, 'north', 'open', 'swallow'), (62, 'north', 'open', 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
MERGE INTO visits v USING (VALUES (61), (63)) AS s(id) ON v.id = s.id
	WHEN MATCHED THEN UPDATE SET region = 'west'
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'south', 'open', 'new');
WITH moved AS (UPDATE visits SET region = 'west' WHERE id = 62)
	INSERT INTO visits VALUES (64, 'south', 'open', 'new');
SELECT * FROM seen(:'lsn');
-- nor where one partition publishes nothing
INSERT INTO visits VALUES (65, 'north', 'open', 'a'), (66, 'south', 'open', 'b');
ALTER TABLE visits_south DISABLE TRIGGER hcevents_visit;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = CASE region WHEN 'north' THEN 'south' ELSE 'north' END WHERE id IN (65, 66);
ALTER TABLE visits_south ENABLE TRIGGER hcevents_visit;
SELECT * FROM seen(:'lsn');
-- so a row that moves and gets another key is deleted and created
INSERT INTO visits VALUES (67, 'north', 'open', 'a');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = 'south', id = 68 WHERE id = 67;
SELECT * FROM seen(:'lsn');
-- but the columns that say where it lies are no sign
SELECT hcevents.attach('visits', 'place', '{status}', key => '{region,id}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = 'north' WHERE id = 68;
SELECT * FROM seen(:'lsn') WHERE event_type LIKE 'place.%';
SELECT hcevents.detach('visits', 'place');

-- published when its statement ends: its TOAST may be gone afterwards
INSERT INTO visits SELECT 70 + i, 'north', repeat(md5(i::text), 100), 'swallow' FROM generate_series(0, 1) i;
ALTER TABLE visits_north ALTER COLUMN status SET STORAGE EXTERNAL;
UPDATE visits SET status = status || 'x' WHERE id IN (70, 71);
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET region = 'west' WHERE id = 70;
TRUNCATE visits_north;
COMMIT;
SELECT event_type, key, length(data ->> 'status') FROM seen(:'lsn');
INSERT INTO visits VALUES (72, 'north', repeat('long', 1000), 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET region = 'west' WHERE id = 72;
ALTER TABLE visits DETACH PARTITION visits_north;
DROP TABLE visits_north;
CREATE TABLE visits_north PARTITION OF visits FOR VALUES IN ('north');
COMMIT;
SELECT event_type, key, length(data ->> 'status') FROM seen(:'lsn');

-- and before what follows that statement, at whatever trigger depth
CREATE TABLE wards (id int PRIMARY KEY, visit int);
SELECT hcevents.attach('wards', 'ward');
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
	PERFORM hcevents.publish('ward.said', json_build_object('ward', new.id)::jsonb, new.id::text);
	INSERT INTO visits VALUES (new.visit, 'north', 'open', 'from a trigger');
	RETURN NULL;
END $$;
CREATE TRIGGER say AFTER INSERT ON wards FOR EACH ROW EXECUTE FUNCTION say();
CREATE CONSTRAINT TRIGGER say_late AFTER UPDATE ON wards DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION say();
INSERT INTO visits VALUES (80, 'north', 'open', 'swallow'), (81, 'north', 'open', 'swallow'), (82, 'north', 'open', 'swallow');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
UPDATE visits SET region = 'west' WHERE id = 80;
INSERT INTO wards VALUES (1, 80);
UPDATE wards SET visit = 81;
UPDATE visits SET region = 'west' WHERE id = 81;
COMMIT;
SELECT event_type, key FROM seen(:'lsn');
-- in one function, too
SELECT pg_current_wal_insert_lsn() AS lsn \gset
DO $$ BEGIN
	UPDATE visits SET region = 'west' WHERE id = 82;
	INSERT INTO wards VALUES (2, 82);
END $$;
SELECT event_type, key FROM seen(:'lsn');
DROP TABLE wards;
DROP FUNCTION say;
DELETE FROM visits WHERE id >= 60;

-- two resources on one table
SELECT hcevents.attach('visits', 'stay', '{status}', key => '{id}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = 'south' WHERE id = 11;
SELECT * FROM seen(:'lsn') ORDER BY event_type;
SELECT hcevents.detach('visits', 'stay');

-- a trigger on a partition of the move that writes to the same table
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
	INSERT INTO visits VALUES (old.id + 1000, 'north', 'open', 'echo');
	RETURN NULL;
END $$;
CREATE TRIGGER a_echo AFTER DELETE ON visits_south FOR EACH ROW EXECUTE FUNCTION echo();
CREATE TRIGGER z_echo AFTER DELETE ON visits_south FOR EACH ROW EXECUTE FUNCTION echo();
ALTER TABLE visits_south DISABLE TRIGGER a_echo;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE visits SET region = 'north' WHERE id = 11;
SELECT * FROM seen(:'lsn');

-- attached with other columns, each partition fires as it was told to
ALTER TABLE visits_south ENABLE ALWAYS TRIGGER hcevents_visit;
ALTER TABLE visits_north DISABLE TRIGGER hcevents_visit;
SELECT hcevents.attach('visits', 'visit', '{region}', key => '{id}');
SELECT tgrelid::regclass, tgenabled, encode(tgargs, 'escape') LIKE '%columns={region}%' AS new_columns
FROM pg_trigger WHERE tgname = 'hcevents_visit' ORDER BY tgrelid::regclass::text;
ALTER TABLE visits ENABLE TRIGGER hcevents_visit;

-- one written by hand cannot make one update of a moved row
CREATE TRIGGER by_hand AFTER UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.touched', 'key={id}');

-- partition keys of each level, expressions too, say where a row lies
CREATE TABLE tours (id int, region text, note text) PARTITION BY LIST ((lower(region)));
CREATE TABLE tours_north PARTITION OF tours FOR VALUES IN ('north');
CREATE TABLE tours_south PARTITION OF tours FOR VALUES IN ('south') PARTITION BY RANGE (id);
CREATE TABLE tours_south_1 PARTITION OF tours_south FOR VALUES FROM (0) TO (100);
CREATE TABLE tours_south_2 PARTITION OF tours_south FOR VALUES FROM (100) TO (200);
SELECT hcevents.attach('tours', 'tour', '{note}', key => '{id,region}');
INSERT INTO tours VALUES (1, 'North', 'a');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
UPDATE tours SET region = 'South';
UPDATE tours SET id = 150;
UPDATE tours SET region = 'north';
SELECT event_type, key FROM seen(:'lsn');
DROP TABLE tours;

-- a value of a user's type, in a savepoint that is released: rendered later
CREATE TYPE place AS (ward text, bed int);
CREATE TABLE stays (id int, region text, note text, place place, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE stays_north PARTITION OF stays FOR VALUES IN ('north');
CREATE TABLE stays_west PARTITION OF stays FOR VALUES IN ('west');
CREATE TRIGGER swallow BEFORE INSERT ON stays_west FOR EACH ROW EXECUTE FUNCTION swallow();
SELECT hcevents.attach('stays', 'stay', '{place}', key => '{id}');
INSERT INTO stays SELECT i, 'north', 'swallow', row('A', i)::place FROM generate_series(1, 4) i;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
SAVEPOINT s;
UPDATE stays SET region = 'west' WHERE id = 1;
RELEASE s;
COMMIT;
-- nothing: the outer one is rolled back
BEGIN;
SAVEPOINT s;
SAVEPOINT t;
UPDATE stays SET region = 'west' WHERE id = 2;
RELEASE t;
ROLLBACK TO s;
COMMIT;
-- still a delete: what it was published with is rolled back
BEGIN;
SAVEPOINT s;
UPDATE stays SET region = 'west' WHERE id = 3;
RELEASE s;
SAVEPOINT t;
INSERT INTO stays VALUES (5, 'west', 'rolled back', row('B', 5)::place);
ROLLBACK TO t;
COMMIT;
-- before the next statement's event
BEGIN;
SAVEPOINT s;
UPDATE stays SET region = 'west' WHERE id = 4;
RELEASE s;
INSERT INTO stays VALUES (6, 'west', 'kept', row('B', 6)::place);
COMMIT;
SELECT event_type, key, failed, envelope::json -> 'data' AS data FROM hce_captured(:'lsn') WHERE committed;
DROP TABLE stays;
DROP TYPE place;

-- a partition cannot be detached by itself; the whole table can
SELECT hcevents.detach('visits_south');
SELECT hcevents.detach('visits');
DROP TABLE visits;
DROP FUNCTION swallow, echo, seen;
