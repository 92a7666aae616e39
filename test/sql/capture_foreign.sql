-- A row that moves to a foreign partition is one update.  What comes back from
-- a foreign table has no tuple header that says which command wrote it.
\set SHOW_CONTEXT never
SELECT count(*) = 0 AS without FROM pg_available_extensions WHERE name = 'postgres_fdw' \gset
\if :without
\quit
\endif
SET client_min_messages = warning;
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN
	EXECUTE format('CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
END $$;
CREATE USER MAPPING FOR CURRENT_USER SERVER here;
CREATE TABLE beds (id int, region text, status text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE beds_north PARTITION OF beds FOR VALUES IN ('north');
CREATE TABLE beds_there (id int, region text, status text);
ALTER TABLE beds DROP CONSTRAINT beds_pkey;
CREATE FOREIGN TABLE beds_south PARTITION OF beds FOR VALUES IN ('south') SERVER here OPTIONS (table_name 'beds_there');
SELECT hcevents.attach('beds', 'bed', '{region,status}', key => '{id}') IS NOT NULL AS attached;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO beds VALUES (1, 'north', 'free'), (2, 'south', 'free');
-- (an UPDATE of the foreign partition itself would take no rows into it)
BEGIN;
UPDATE beds SET status = 'taken' WHERE id = 1;
UPDATE beds SET region = 'south' WHERE id = 1 AND region = 'north';
COMMIT;
UPDATE beds SET status = 'taken' WHERE id = 2;
DELETE FROM beds WHERE id = 1;
SELECT event_type, key, envelope::json -> 'data' AS data FROM hce_captured(:'lsn') WHERE committed;
DROP TABLE beds, beds_there;
DROP EXTENSION postgres_fdw CASCADE;
