-- Other encodings: everything is published in UTF-8, or is a capture failure.
\set SHOW_CONTEXT never
CREATE DATABASE hce_latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE hce_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE hce_euc ENCODING 'EUC_JP' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';

\c hce_latin1
SET client_min_messages = warning;
SET client_encoding = 'UTF8';
CREATE EXTENSION hcevents;
CREATE EXTENSION hcevents_test;
CREATE TABLE "Bäume" (id text PRIMARY KEY, "größe" text, plain text);
SELECT hcevents.attach('"Bäume"', 'baum', '{größe,plain}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
SET hcevents.source = 'Prüfung';
INSERT INTO "Bäume" VALUES ('É"1', 'grün', 'x'), ('2', repeat('ü', 100), 'y');
SELECT hcevents.publish('baum.x', '{"baum_id": "ä"}', headers => '{"ö": "ü"}') IS NOT NULL AS published;
SELECT key, headers, table_name, envelope::json->'data'->>'größe' AS v, envelope::json->'metadata' AS metadata FROM hce_captured(:'lsn');
SELECT key, envelope::json->'data' AS data FROM hcevents.preview('"Bäume"', 1);
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO "Bäume" VALUES ('Ö"3', 'süß', 'z');
SELECT hcevents.publish('baum.x', '{"baum_id": "ä"}', headers => '{"ö": "ü"}') IS NOT NULL AS published;
SELECT key, data, envelope->'metadata' AS metadata, headers, source_table FROM hcevents.captured_events();
ROLLBACK;
-- whether it warns of undelivered events depends on the relay
SET client_min_messages = error;
DROP EXTENSION hcevents CASCADE;

\c hce_ascii
SET client_min_messages = warning;
CREATE EXTENSION hcevents;
CREATE EXTENSION hcevents_test;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT hcevents.attach('t', 'thing', '{v}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO t VALUES (1, 'plain');
INSERT INTO t VALUES (2, E'g\xc3\xbcltig');
INSERT INTO t VALUES (3, E'ung\xfcltig');
SELECT hcevents.publish('thing.x', jsonb_build_object('x', E'\xfc'));
SELECT key, envelope::json->'data' AS data, failed FROM hce_captured(:'lsn');
SELECT count(*) FROM t;
-- whether it warns of undelivered events depends on the relay
SET client_min_messages = error;
DROP EXTENSION hcevents CASCADE;

\c hce_euc
SET client_min_messages = warning;
SET client_encoding = 'UTF8';
CREATE EXTENSION hcevents;
CREATE EXTENSION hcevents_test;
CREATE TABLE t (id text PRIMARY KEY, v text);
SELECT hcevents.attach('t', 'thing', '{v}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO t VALUES ('漢"字', '日本');
SELECT key, envelope::json->'data' AS data, failed FROM hce_captured(:'lsn');
-- whether it warns of undelivered events depends on the relay
SET client_min_messages = error;
DROP EXTENSION hcevents CASCADE;

\c contrib_regression
DROP DATABASE hce_latin1 WITH (FORCE);
DROP DATABASE hce_ascii WITH (FORCE);
DROP DATABASE hce_euc WITH (FORCE);
