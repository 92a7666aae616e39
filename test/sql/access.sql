-- Who may do what: privileges on every object of the schema, grant_access(),
-- the attachment log.
\set SHOW_CONTEXT never
CREATE ROLE hce_nothing;
CREATE ROLE hce_watch IN ROLE pg_monitor;
CREATE ROLE hce_monitor;
CREATE ROLE hce_attach;
CREATE ROLE hce_publish;
CREATE ROLE hce_operate;

SELECT hcevents.grant_access('hce_monitor', 'monitor');
SELECT hcevents.grant_access('hce_attach', 'attach');
SELECT hcevents.grant_access('hce_publish', 'publish');
SELECT hcevents.grant_access('hce_operate', 'operate');

-- a level grants what it should, and the level monitor what pg_monitor has
CREATE VIEW may AS
SELECT r.rolname AS role, o.object
FROM (VALUES ('hce_nothing'), ('hce_watch'), ('hce_monitor'), ('hce_attach'), ('hce_publish'), ('hce_operate')) AS r(rolname),
LATERAL (
	SELECT p.proname || '()' AS object FROM pg_proc p
	WHERE pronamespace = 'hcevents'::regnamespace AND has_function_privilege(r.rolname, p.oid, 'EXECUTE')
	UNION ALL
	SELECT c.relname FROM pg_class c
	WHERE relnamespace = 'hcevents'::regnamespace AND relkind IN ('r', 'v', 'S', 'm', 'p')
		AND CASE relkind WHEN 'S' THEN has_sequence_privilege(r.rolname, c.oid, 'USAGE,SELECT,UPDATE')
			ELSE has_table_privilege(r.rolname, c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER') END) AS o;
SELECT object, array_agg(role ORDER BY role) FROM may
WHERE object NOT IN (SELECT object FROM may WHERE role = 'hce_nothing') GROUP BY object ORDER BY object COLLATE "C";
SELECT object AS for_everybody FROM may WHERE role = 'hce_nothing' ORDER BY object COLLATE "C";
-- nobody but the owner writes a table, and no sequence is open
SELECT c.relname, a.grantee::regrole, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'hcevents'::regnamespace AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT';
-- the search_path of what runs as its owner is fixed
SELECT p.oid::regprocedure, proconfig FROM pg_proc p
WHERE pronamespace = 'hcevents'::regnamespace AND prosecdef
	AND coalesce(proconfig, '{}') <> '{"search_path=pg_catalog, pg_temp"}';
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = prolang
WHERE pronamespace = 'hcevents'::regnamespace AND lanname IN ('sql', 'plpgsql')
	AND proconfig IS NULL AND prosqlbody IS NULL;

-- each takes back its own and no more
SELECT hcevents.revoke_access('hce_monitor', 'monitor'), hcevents.revoke_access('hce_attach', 'attach'),
	hcevents.revoke_access('hce_publish', 'publish'), hcevents.revoke_access('hce_operate', 'operate');
SELECT role, object FROM may WHERE role NOT IN ('hce_nothing', 'hce_watch')
	AND object NOT IN (SELECT object FROM may WHERE role = 'hce_nothing');
DROP VIEW may;

-- errors
SELECT hcevents.grant_access('hce_monitor', 'everything');
SELECT hcevents.grant_access('hce_monitor', NULL);
SELECT hcevents.grant_access(NULL, 'monitor');
SELECT hcevents.grant_access('hce_missing', 'monitor');
SET ROLE hce_nothing;
SELECT hcevents.grant_access('hce_nothing', 'monitor');
RESET ROLE;
GRANT EXECUTE ON FUNCTION hcevents.grant_access, hcevents.change_access TO hce_nothing;
SET ROLE hce_nothing;
SELECT hcevents.grant_access('hce_nothing', 'operate');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION hcevents.grant_access, hcevents.change_access FROM hce_nothing;

-- objects that shadow pg_catalog's do not run as the owner
CREATE SCHEMA hce_evil;
CREATE FUNCTION hce_evil.split_part(text, text, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'shadowed'; END $$;
CREATE FUNCTION hce_evil.num_nulls(VARIADIC "any") RETURNS int LANGUAGE internal AS 'pg_num_nulls';
CREATE FUNCTION hce_evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'shadowed'; END $$;
CREATE FUNCTION hce_evil.concat_text(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'shadowed'; END $$;
CREATE OPERATOR hce_evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hce_evil.concat_text);
CREATE TEMP TABLE pg_class (oid int);
CREATE TEMP TABLE pg_proc (oid int);
CREATE TEMP TABLE pg_extension (oid int);
SET search_path = hce_evil, pg_temp, pg_catalog, public;
SELECT hcevents.forget('none', 'none'), hcevents.retry_dead_letters('{-1}'), hcevents.discard_dead_letters('{-1}'),
	hcevents.event_payload('00000000-0000-0000-0000-000000000000');
SELECT hcevents.grant_access('hce_monitor', 'monitor'), hcevents.revoke_access('hce_monitor', 'monitor');
SELECT count(*) OPERATOR(pg_catalog.>) 2 AS checked FROM hcevents.check_losses(), hcevents.check_slot(), hcevents.check_attachments();
SELECT hcevents.acknowledge_gap(-1);
RESET search_path;
DROP TABLE pg_temp.pg_class, pg_temp.pg_proc, pg_temp.pg_extension;
SET client_min_messages = warning;
DROP SCHEMA hce_evil CASCADE;
RESET client_min_messages;

-- the attachment log
CREATE TABLE logged (id int PRIMARY KEY, a text, b text);
GRANT CREATE ON SCHEMA public TO hce_attach;
ALTER TABLE logged OWNER TO hce_attach;
SELECT hcevents.grant_access('hce_attach', 'attach');
SELECT coalesce(max(id), 0) AS since FROM hcevents.attachment_log \gset
SET ROLE hce_attach;
SELECT hcevents.attach('logged', 'thing', '{a}');
SELECT hcevents.attach('logged', 'thing', '{a}');
SELECT hcevents.attach('logged', 'thing', '{a,b}');
BEGIN;
SELECT hcevents.attach('logged', 'thing', '{b}');
ROLLBACK;
SELECT hcevents.detach('logged');
RESET ROLE;
CREATE TRIGGER by_hand AFTER INSERT ON logged FOR EACH ROW EXECUTE FUNCTION hcevents.emit('thing.made', 'columns=a');
SET hcevents.on_missing_column = skip;
DROP TRIGGER by_hand ON logged;
RESET hcevents.on_missing_column;
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10);
SELECT hcevents.attach('parts', 'part');
SELECT hcevents.attach('logged', 'thing', '{a}');
DROP TABLE parts;
BEGIN;
DROP OWNED BY hce_attach;
ROLLBACK;
SET client_min_messages = warning;
CREATE SCHEMA gone;
ALTER TABLE logged SET SCHEMA gone;
DROP SCHEMA gone CASCADE;
RESET client_min_messages;
SELECT CASE role WHEN current_user THEN 'superuser' ELSE role END AS role, session_role = current_user AS session, action, table_name, resource, columns_before, columns_after
FROM hcevents.attachment_log WHERE id > :since ORDER BY id;
UPDATE hcevents.attachment_log SET role = 'x';
DELETE FROM hcevents.attachment_log;
TRUNCATE hcevents.attachment_log;
SET session_replication_role = replica;
DELETE FROM hcevents.attachment_log;
RESET session_replication_role;

-- the relay may delete from its tables, also when all tables are published
SELECT oid::regclass AS without_replica_identity FROM pg_class c
WHERE relnamespace = 'hcevents'::regnamespace AND relkind = 'r'
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND indisprimary);

REVOKE CREATE ON SCHEMA public FROM hce_attach;
SELECT hcevents.revoke_access('hce_attach', 'attach');
DROP ROLE hce_nothing, hce_watch, hce_monitor, hce_attach, hce_publish, hce_operate;

-- attach() runs nothing for a superuser: neither what an event trigger finds in
-- the caller's search_path, nor for who may attach but does not own the table
CREATE ROLE hce_app;
SELECT hcevents.grant_access('hce_app', 'attach');
CREATE SCHEMA hce_evil AUTHORIZATION hce_app;
CREATE FUNCTION hce_watch_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE command record;
BEGIN FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP NULL; END LOOP; END $$;
CREATE EVENT TRIGGER hce_watch_ddl ON ddl_command_end EXECUTE FUNCTION hce_watch_ddl();
SET ROLE hce_app;
CREATE TABLE hce_evil.things (id int PRIMARY KEY, name text, more text);
CREATE FUNCTION hce_evil.pg_event_trigger_ddl_commands() RETURNS TABLE (x int) LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
		RAISE WARNING 'evil runs as a superuser';
	END IF;
END $$;
SET search_path = hce_evil, pg_catalog;
SELECT hcevents.attach('hce_evil.things', 'thing', '{name}');
ALTER TABLE hce_evil.things ENABLE ALWAYS TRIGGER hcevents_thing;
SELECT hcevents.attach('hce_evil.things', 'thing', '{name,more}');
SELECT tgenabled FROM pg_catalog.pg_trigger WHERE tgrelid = 'hce_evil.things'::regclass;
SELECT hcevents.detach('hce_evil.things');
RESET search_path;
RESET ROLE;
DROP EVENT TRIGGER hce_watch_ddl;
DROP FUNCTION hce_watch_ddl;
DROP OWNED BY hce_app;

-- the privilege TRIGGER does not let anybody end what is published
CREATE TABLE hce_clinic (id int PRIMARY KEY);
CREATE FUNCTION hce_other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT hcevents.attach('hce_clinic', 'clinic');
GRANT TRIGGER ON hce_clinic TO hce_app;
SET ROLE hce_app;
SET hcevents.on_missing_column = skip;
CREATE OR REPLACE TRIGGER hcevents_clinic AFTER INSERT ON hce_clinic FOR EACH ROW EXECUTE FUNCTION hce_other();
RESET hcevents.on_missing_column;
RESET ROLE;
SELECT events FROM hcevents.attachments;
DROP TABLE hce_clinic;
DROP FUNCTION hce_other;
DROP ROLE hce_app;

-- in a database without the extension anybody may use its names: nothing of
-- his is taken for ours, and nothing runs for a superuser
CREATE ROLE hce_tenant;
CREATE DATABASE hce_plain OWNER hce_tenant;
\set former :DBNAME
\c hce_plain
\set SHOW_CONTEXT never
SET ROLE hce_tenant;
CREATE SCHEMA hcevents;
CREATE FUNCTION hcevents.emit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TABLE hcevents.attachment_log (id bigint GENERATED ALWAYS AS IDENTITY, time timestamptz, role text,
	session_role text, action text, table_oid oid, table_name text, resource text, columns_before text[], columns_after text[]);
CREATE FUNCTION hcevents.evil() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'evil runs as a superuser: %', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER evil AFTER INSERT ON hcevents.attachment_log DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION hcevents.evil();
CREATE TABLE hcevents.bait (id int PRIMARY KEY, a int);
CREATE TRIGGER bait AFTER INSERT ON hcevents.bait FOR EACH ROW EXECUTE FUNCTION hcevents.emit('x.y', 'columns=a');
CREATE TRIGGER nonsense AFTER INSERT ON hcevents.bait FOR EACH ROW EXECUTE FUNCTION hcevents.emit('no event');
RESET ROLE;
DROP TABLE hcevents.bait;
SELECT count(*) AS logged FROM hcevents.attachment_log;
\c :former
DROP DATABASE hce_plain;
DROP ROLE hce_tenant;
