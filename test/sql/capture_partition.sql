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
FROM pg_trigger WHERE tgname = 'hcevents_visit' ORDER BY 1;
ALTER TABLE visits ENABLE TRIGGER hcevents_visit;

-- one written by hand cannot make one update of a moved row
CREATE TRIGGER by_hand AFTER UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION hcevents.emit('visit.touched', 'key={id}');

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
