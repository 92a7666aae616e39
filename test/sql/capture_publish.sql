-- publish(): events by hand.
\set SHOW_CONTEXT never
CREATE FUNCTION seen(lsn pg_lsn, OUT event_type text, OUT key text, OUT headers text, OUT data text)
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT event_type, key, headers, envelope::json->'data' FROM hce_captured(lsn) WHERE committed $$;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
-- the id that is returned is the event's
SELECT hcevents.publish('patient.viewed', '{"patient_id": 12, "by": "Åsa \"x\""}') AS id \gset
SELECT event_id = :'id' AS same_id, envelope::json->>'event_id' = :'id' AS same_in_envelope, schema_name, table_name FROM hce_captured(:'lsn');
-- keys: given, from data, none
SELECT hcevents.publish('patient.viewed', '{"patient_id": "text"}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"patient_id": 1.50}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"patient_id": {"a": 1}}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"patient_id": true}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"patient_id": null}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"patient_id": 1}', 'given') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"patient_id": 1}', headers => '{"trace_id": "4b", "x": "ü"}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', '{"x": 1}', headers => '{"trace_id": "4b"}') IS NOT NULL AS published;
SELECT hcevents.publish('patient.viewed', ('{"x": "' || repeat('long ', 20000) || '"}')::jsonb) IS NOT NULL AS published;
-- rolled back, in a savepoint and wholly; ids are not used twice
BEGIN;
SELECT hcevents.publish('a.lost', '{}') AS lost \gset
ROLLBACK;
BEGIN;
SELECT hcevents.publish('a.kept', '{"n": 1}') AS one \gset
SAVEPOINT s;
SELECT hcevents.publish('a.lost', '{}') AS two \gset
ROLLBACK TO s;
SELECT hcevents.publish('a.kept', '{"n": 2}') AS three \gset
COMMIT;
SELECT event_type, key, headers, left(data, 60) AS data FROM seen(:'lsn');
SELECT :'one' <> :'two' AND :'two' <> :'three' AS distinct_ids,
	(SELECT array_agg(event_id::text) FROM hce_captured(:'lsn') WHERE event_type = 'a.kept') = ARRAY[:'one', :'three'] AS as_returned;
-- many event types in one transaction
SELECT pg_current_wal_insert_lsn() AS lsn \gset
SELECT count(hcevents.publish('many.type_' || i, jsonb_build_object('i', i))) FROM generate_series(1, 1000) i;
SELECT count(*), count(DISTINCT event_type), bool_and(event_type = 'many.type_' || (data::json->>'i')) AS right_types FROM seen(:'lsn');
-- event types of a savepoint that was rolled back take no room: as many as a record has, and more
SELECT pg_current_wal_insert_lsn() AS lsn \gset
BEGIN;
SAVEPOINT s;
SELECT count(hcevents.publish('lost.' || repeat('x', 100) || i, '{}')) FROM generate_series(1, 256) i;
ROLLBACK TO s;
SELECT count(hcevents.publish('kept.type_' || i, jsonb_build_object('i', i))) FROM generate_series(1, 20) i;
SAVEPOINT s2;
SELECT count(hcevents.publish('kept.type_' || i, jsonb_build_object('i', i))) FROM generate_series(21, 300) i;
RELEASE s2;
SAVEPOINT s3;
SELECT count(hcevents.publish('lost.again_' || i, '{}')) FROM generate_series(1, 3) i;
ROLLBACK TO s3;
COMMIT;
SELECT count(*), count(DISTINCT event_type), bool_and(event_type = 'kept.type_' || (data::json->>'i')) AS right_types FROM seen(:'lsn');

-- wrong arguments
SELECT hcevents.publish(NULL, '{}');
SELECT hcevents.publish('a.b', NULL);
SELECT hcevents.publish('nodot', '{}');
SELECT hcevents.publish('Upper.case', '{}');
SELECT hcevents.publish('a.b.c', '{}');
SELECT hcevents.publish('a.' || repeat('b', 200), '{}');
SELECT hcevents.publish('a.b', '[]');
SELECT hcevents.publish('a.b', '1');
SELECT hcevents.publish('a.b', '{}', headers => '{"Event_ID": "forged"}');
SELECT hcevents.publish('a.b', '{}', headers => (SELECT jsonb_object_agg('h' || i, 'v') FROM generate_series(1, 33) i));
SELECT hcevents.publish('a.b', '{}', headers => '[]');
SELECT hcevents.publish('a.b', '{}', headers => '{"a": 1}');
SELECT hcevents.publish('a.b', '{}', headers => '{"a": {"b": "c"}}');
SET hcevents.max_event_size = '1kB';
SELECT hcevents.publish('a.b', jsonb_build_object('x', repeat('x', 1000)));
RESET hcevents.max_event_size;
-- not in a read-only transaction's way, for it writes nothing to a table
SELECT proparallel FROM pg_proc WHERE oid = 'hcevents.publish'::regproc;
-- as the argument of a query that writes nothing else
SELECT pg_current_wal_insert_lsn() AS lsn \gset
PREPARE p(int) AS SELECT hcevents.publish('prep.ared', jsonb_build_object('n', $1)) IS NOT NULL AS published;
EXECUTE p(1);
EXECUTE p(2);
SELECT event_type, data FROM seen(:'lsn');
DROP FUNCTION seen;
