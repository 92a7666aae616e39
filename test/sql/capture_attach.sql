-- attach(), detach(), attachments, and triggers written by hand.
\set SHOW_CONTEXT never
\set VERBOSITY default
CREATE TABLE people (id int PRIMARY KEY, name text, email text, password text, api_key text, "a:b" text, "Weird ""name" text);
CREATE TABLE nokey (a int, b int);
CREATE VIEW people_view AS SELECT * FROM people;

-- what is published has to be said
SELECT hcevents.attach('people', 'person');
SELECT hcevents.attach('people', 'person', '{*}');
SELECT hcevents.attach('people', 'person', '{name,full_name:name,password,a:b,x:a:b,"Weird \"name"}');
INSERT INTO people VALUES (1, 'n', 'e', 'p', 'k', 'ab', 'w');
SELECT event_type, key, envelope::json->'data' AS data FROM hcevents.preview('people');
SELECT * FROM hcevents.attachments \gx
-- the definition makes it again
SELECT definition FROM hcevents.attachments \gset
SELECT hcevents.detach('people');
SET client_min_messages = error;
:definition;
RESET client_min_messages;
SELECT definition = :'definition' AS same FROM hcevents.attachments;

-- attaching again: the same trigger, and no lock above ACCESS SHARE
SET client_min_messages = error;
SELECT oid AS trigger, xmin AS trigger_xmin FROM pg_trigger WHERE tgname = 'hcevents_person' \gset
BEGIN;
:definition;
SELECT mode FROM pg_locks WHERE relation = 'people'::regclass AND pid = pg_backend_pid();
COMMIT;
SELECT oid = :trigger AND xmin::text = :'trigger_xmin' AS untouched FROM pg_trigger WHERE tgname = 'hcevents_person';
-- other arguments: replaced, never dropped
BEGIN;
SELECT hcevents.attach('people', 'person', '{name}', on_insert => 'registered', on_update => NULL, on_delete => NULL);
SELECT mode FROM pg_locks WHERE relation = 'people'::regclass AND pid = pg_backend_pid() ORDER BY 1;
COMMIT;
SELECT oid = :trigger AS same_trigger FROM pg_trigger WHERE tgname = 'hcevents_person';
SELECT definition FROM hcevents.attachments;
-- a disabled trigger shows, and attach() enables it
ALTER TABLE people DISABLE TRIGGER hcevents_person;
SELECT enabled FROM hcevents.attachments;
SELECT hcevents.attach('people', 'person', '{name}', on_insert => 'registered', on_update => NULL, on_delete => NULL);
SELECT enabled FROM hcevents.attachments;
RESET client_min_messages;

-- wrong arguments
\set VERBOSITY default
SELECT hcevents.attach(NULL, 'person');
SELECT hcevents.attach('people', NULL);
SELECT hcevents.attach('people', 'Person');
SELECT hcevents.attach('people', '');
SELECT hcevents.attach('people', repeat('x', 55));
SELECT hcevents.attach('people', 'person', '{nothing}');
SELECT hcevents.attach('people', 'person', '{x:nothing}');
SELECT hcevents.attach('people', 'person', '{name,name}');
SELECT hcevents.attach('people', 'person', '{person_id:name}');
SELECT hcevents.attach('people', 'person', '{NULL}');
SELECT hcevents.attach('people', 'person', '{name}', on_insert => 'Bad Action');
SELECT hcevents.attach('people', 'person', '{name}', on_insert => repeat('x', 200));
SELECT hcevents.attach('people', 'person', '{name}', on_insert => NULL, on_update => NULL, on_delete => NULL);
SELECT hcevents.attach('people', 'person', '{name}', transitions => '{}');
SELECT hcevents.attach('people', 'person', '{name}', transitions => '[1]');
SELECT hcevents.attach('people', 'person', '{name}', transitions => '[{"column":"name","to":"x"}]');
SELECT hcevents.attach('people', 'person', '{name}', transitions => '[{"column":"name","to":1,"event":"x"}]');
SELECT hcevents.attach('people', 'person', '{name}', transitions => '[{"column":"name","to":"x","event":"x","when":"y"}]');
SELECT hcevents.attach('people', 'person', '{name}', transitions => '[{"column":"nothing","to":"x","event":"x"}]');
SELECT hcevents.attach('people', 'person', '{name}', key => '{nothing}');
SELECT hcevents.attach('people', 'person', '{name}', options => '{"colour": "red"}');
SELECT hcevents.attach('people', 'person', '{name}', options => '[]');
SELECT hcevents.attach('nokey', 'thing', '{a}');
SELECT hcevents.attach('people_view', 'person', '{name}');
SELECT hcevents.attach('pg_class', 'class', '{relname}');
SELECT hcevents.attach_healthcore();
CREATE TABLE clinic_patient (id int PRIMARY KEY);
SELECT hcevents.attach_healthcore();
DROP TABLE clinic_patient;
-- a topic name that is too long because of the prefix
SET hcevents.topic_prefix = 'a_prefix_of_sixty_characters_0123456789012345678901234567890';
SELECT hcevents.attach('people', 'person', '{name}', on_insert => repeat('x', 190));
RESET hcevents.topic_prefix;
-- somebody else's trigger of our name
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER hcevents_other AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION other();
SELECT hcevents.attach('people', 'other', '{name}');
DROP TRIGGER hcevents_other ON people;

-- '{*}' leaves out the key, also one that has a published name of its own
SELECT hcevents.attach('nokey', 'thing', '{*}', key => '{number:a}');
SELECT columns FROM hcevents.attachments WHERE resource = 'thing';
SELECT hcevents.detach('nokey');

-- detach
SELECT hcevents.detach('people', 'nobody');
SELECT hcevents.detach('people', 'person'), hcevents.detach('people');

-- written by hand
CREATE TRIGGER a AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.joined', 'key=id', 'columns=name, email');
CREATE TRIGGER b AFTER UPDATE ON people FOR EACH ROW WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION hcevents.emit('person.renamed', 'columns={name}');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO people (id, name) VALUES (10, 'x');
UPDATE people SET email = 'y' WHERE id = 10;
UPDATE people SET name = 'y' WHERE id = 10;
SELECT event_type, key, envelope::json->'data' AS data FROM hce_captured(:'lsn');
SELECT target, resource, events, columns, key, definition FROM hcevents.attachments ORDER BY events;
SELECT event_type, key FROM hcevents.preview('people', 1);
SELECT hcevents.detach('people');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit();
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('nodot');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x', 'colour=red');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x', 'columns=nothing');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x', 'columns=a,,b');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x', 'resource=no "name"');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x', 'insert=created');
CREATE TRIGGER bad BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x');
CREATE TRIGGER bad AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION hcevents.emit('person.x');
CREATE TRIGGER bad INSTEAD OF INSERT ON people_view FOR EACH ROW EXECUTE FUNCTION hcevents.emit('person.x');
CREATE TRIGGER bad AFTER INSERT ON nokey FOR EACH ROW EXECUTE FUNCTION hcevents.emit('thing.x');
SELECT hcevents.emit();
SELECT count(*) FROM pg_trigger WHERE tgname = 'bad';
-- a nullable key
CREATE TRIGGER good AFTER INSERT ON nokey FOR EACH ROW EXECUTE FUNCTION hcevents.emit('thing.x', 'key=a', 'columns=b');
SELECT pg_current_wal_insert_lsn() AS lsn \gset
INSERT INTO nokey VALUES (1, 2), (NULL, 3);
SELECT key, key IS NULL AS no_key, envelope::json->'data' AS data FROM hce_captured(:'lsn');

-- preview needs an attachment, and SELECT
SELECT * FROM hcevents.preview('people');

-- privileges
CREATE ROLE hce_owner;
CREATE ROLE hce_other;
GRANT USAGE ON SCHEMA hcevents TO hce_owner, hce_other;
GRANT CREATE ON SCHEMA public TO hce_owner;
SET ROLE hce_owner;
CREATE TABLE owned (id int PRIMARY KEY, v text);
SELECT hcevents.attach('owned', 'thing', '{v}');
CREATE TRIGGER bad AFTER INSERT ON owned FOR EACH ROW EXECUTE FUNCTION hcevents.emit('thing.x');
SELECT * FROM hcevents.attachments;
SELECT hcevents.publish('a.b', '{}');
RESET ROLE;
GRANT EXECUTE ON FUNCTION hcevents.attach(regclass, text, text[], text, text, text, jsonb, text[], jsonb),
	hcevents.detach(regclass, text) TO hce_owner, hce_other;
SET ROLE hce_owner;
SELECT hcevents.attach('owned', 'thing', '{v}');
INSERT INTO owned VALUES (1, 'x');
SELECT event_type, key FROM hcevents.preview('owned');
SET ROLE hce_other;
SELECT hcevents.attach('owned', 'thing', '{id}');
SELECT hcevents.detach('owned');
SELECT * FROM hcevents.preview('owned');
RESET ROLE;
-- row security applies to preview
INSERT INTO owned VALUES (2, 'y');
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON owned TO hce_other USING (id = 2);
GRANT SELECT ON owned TO hce_other;
SET ROLE hce_other;
SELECT event_type, key FROM hcevents.preview('owned');
RESET ROLE;
GRANT pg_monitor TO hce_other;
SET ROLE hce_other;
SELECT target, resource FROM hcevents.attachments WHERE resource = 'thing' AND events = '{thing.created,thing.updated,thing.deleted}';
RESET ROLE;

DROP VIEW people_view;
DROP TABLE people, nokey, owned;
DROP FUNCTION other;
REVOKE ALL ON FUNCTION hcevents.attach(regclass, text, text[], text, text, text, jsonb, text[], jsonb),
	hcevents.detach(regclass, text) FROM hce_owner, hce_other;
REVOKE ALL ON SCHEMA hcevents FROM hce_owner, hce_other;
REVOKE CREATE ON SCHEMA public FROM hce_owner;
DROP ROLE hce_owner, hce_other;
