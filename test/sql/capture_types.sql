-- Every value in "data" equals to_json(value), over all types of pg_type.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'Asia/Kathmandu';
CREATE TYPE t_enum AS ENUM ('plain', 'quo"te', E'tab\t');
CREATE TYPE t_row AS (a int, b text, c timestamptz, d numeric[]);
CREATE TYPE t_nested AS (r t_row, e t_enum[]);
CREATE TYPE t_range AS RANGE (subtype = float8);
CREATE DOMAIN d_int AS int CHECK (value > 0);
CREATE DOMAIN d_text AS text;
CREATE DOMAIN d_text2 AS d_text;
CREATE DOMAIN d_array AS int[];
CREATE DOMAIN d_row AS t_row;

CREATE TABLE samples (type text PRIMARY KEY, vals text[]);
INSERT INTO samples VALUES
('bool', '{t,f}'), ('int2', '{0,-32768,32767}'), ('int4', '{0,-2147483648,2147483647}'),
('int8', '{0,-9223372036854775808,9223372036854775807}'),
('float4', '{0,-0,1.5,1e20,1e-20,3.4028235e38,NaN,Infinity,-Infinity,0.1,123456789}'),
('float8', '{0,-0,1.5,1e300,5e-324,1.7976931348623157e308,NaN,Infinity,-Infinity,0.1,1e15,1e16}'),
('numeric', ARRAY['0','-0.000','1e1000','1e-1000','NaN','Infinity','-Infinity','1.10', repeat('9', 2000)]),
('money', '{0,-1234567.89}'),
('text', ARRAY['', 'plain', 'quo"te', E'back\\slash', E'\b\f\n\r\t', E'\x01\x1f\x7f', 'Åsa 🏥 漢字', repeat('x', 127), repeat('x', 128), repeat('long "', 20000), E'</script>\u2028']),
('varchar', ARRAY['', 'Åsa', repeat('y', 16384)]), ('bpchar', '{"a  ",""}'), ('char', '{x,"\""}'), ('name', '{a_name,"with \"quotes\""}'),
('bytea', ARRAY['', '\x00ff', 'abc']),
('uuid', '{00000000-0000-0000-0000-000000000000,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'),
('date', '{2026-01-31,infinity,-infinity,0044-03-15 BC,5874897-12-31,4714-11-24 BC}'),
('timestamp', '{2026-01-31 12:34:56,2026-01-31 12:34:56.123456,infinity,-infinity,0044-03-15 01:02:03 BC,294276-12-31 23:59:59.999999}'),
('timestamptz', '{2026-01-31 12:34:56+00,2026-01-31 12:34:56.1+05:45,infinity,-infinity,0044-03-15 01:02:03+00 BC,1900-01-01 00:00:00+00}'),
('time', '{00:00,24:00,12:34:56.123456}'), ('timetz', '{00:00+00,12:34:56.7-08:30}'),
('interval', '{0,1 year 2 mons -3 days 04:05:06.7,-1 s}'),
('json', ARRAY['{"a" :  1, "a": [1,2]}', '"x"', 'null', E'[1,\n 2]', '1.10']),
('jsonb', ARRAY['{"b": 1, "a": [1, 2, {"x": null}]}', '"\u00e5\n"', 'null', '1.10', 'true']),
('jsonpath', ARRAY['$.a[*] ? (@ > 1)']), ('xml', ARRAY['<a b="c">d</a>']),
('bit', '{1,0}'), ('varbit', '{101,""}'), ('inet', '{10.0.0.1,10.0.0.0/8,::1}'), ('cidr', '{10.0.0.0/8,2001:db8::/32}'),
('macaddr', '{08:00:2b:01:02:03}'), ('macaddr8', '{08:00:2b:01:02:03:04:05}'),
('point', ARRAY['(1,2)', '(NaN,Infinity)']), ('lseg', ARRAY['[(1,2),(3,4)]']), ('box', ARRAY['(3,4),(1,2)']), ('path', ARRAY['((1,2),(3,4))']),
('polygon', ARRAY['((1,2),(3,4),(5,6))']), ('line', ARRAY['{1,2,3}']), ('circle', ARRAY['<(1,2),3>']),
('tsvector', ARRAY['a:1 ''q"uo'':2']), ('tsquery', ARRAY['a & !b']), ('gtsvector', NULL),
('oid', '{0,4294967295}'), ('tid', ARRAY['(0,1)']), ('xid', '{1}'), ('xid8', '{18446744073709551615}'), ('cid', '{1}'),
('int2vector', ARRAY['1 2']), ('oidvector', ARRAY['1 2']), ('pg_lsn', '{16/B374D848}'),
('txid_snapshot', '{10:20:10}'), ('pg_snapshot', '{10:20:10}'), ('refcursor', '{"c\"ur"}'),
('regproc', '{now}'), ('regprocedure', ARRAY['now()']), ('regoper', '{pg_catalog.||/}'), ('regoperator', ARRAY['+(integer,integer)']),
('regclass', '{pg_class,samples}'), ('regtype', '{integer,t_row}'), ('regrole', '{pg_monitor}'), ('regnamespace', '{pg_catalog}'),
('regconfig', '{simple}'), ('regdictionary', '{simple}'), ('regcollation', ARRAY['"C"']),
('aclitem', ARRAY['=r/pg_monitor']),
('pg_node_tree', NULL), ('pg_ndistinct', NULL), ('pg_dependencies', NULL), ('pg_mcv_list', NULL), ('pg_brin_bloom_summary', NULL), ('pg_brin_minmax_multi_summary', NULL),
('int4range', ARRAY['[1,5)', 'empty', '(,)']), ('int8range', ARRAY['[1,5)']), ('numrange', ARRAY['[1.5,2]']), ('daterange', ARRAY['[2026-01-01,2026-02-01)']),
('tsrange', ARRAY['[2026-01-01 00:00,)']), ('tstzrange', ARRAY['[2026-01-01 00:00+00,)']),
('int4multirange', ARRAY['{[1,2),[5,6)}']), ('int8multirange', ARRAY['{[1,2)}']), ('nummultirange', ARRAY['{}']), ('datemultirange', ARRAY['{[2026-01-01,2026-02-01)}']),
('tsmultirange', ARRAY['{[2026-01-01 00:00,)}']), ('tstzmultirange', ARRAY['{[2026-01-01 00:00+00,)}']),
('t_enum', ARRAY['plain', 'quo"te', E'tab\t']), ('t_row', ARRAY['(1,"q""x",2026-01-01 00:00+00,"{1.10,NaN}")', '(,,,)']),
('t_nested', ARRAY['("(1,x,,)","{plain}")', '(,)']), ('t_range', ARRAY['[1.5,2.5)']), ('t_multirange', ARRAY['{[1.5,2.5)}']),
('d_int', '{5}'), ('d_text', '{"a\"b"}'), ('d_text2', '{"x\\y"}'), ('d_array', ARRAY['{1,2,NULL}']), ('d_row', ARRAY['(1,x,,)']),
('varchar(5)', '{abc}'), ('char(7)', '{abc}'), ('numeric(10,2)', '{1.1}'), ('timestamp(0)', '{2026-01-31 12:34:56.7}');

-- types of pg_type without a sample above (there should be none)
SELECT t.typname FROM pg_type t
WHERE t.typtype IN ('b', 'r', 'm', 'e', 'd') AND t.typcategory <> 'A'
	AND t.typname NOT LIKE 'pg\_toast%' AND t.typnamespace <> 'information_schema'::regnamespace
	AND t.typname <> 'unknown'
	AND NOT EXISTS (SELECT FROM samples s WHERE s.type = t.typname)
ORDER BY 1;

-- Compare all values of one type; returns how many, or raises.
CREATE FUNCTION compare(type text, vals text[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	wrong record;
	n int;
BEGIN
	EXECUTE format('CREATE TABLE one (id serial PRIMARY KEY, v %s)', type);
	PERFORM hcevents.attach('one', 'one', '{v}');
	EXECUTE format('INSERT INTO one (v) SELECT v::%s FROM unnest($1) v', type) USING array_append(vals, NULL);
	FOR wrong IN
		SELECT p.envelope, coalesce(to_json(o.v)::text, 'null') AS expected
		FROM hcevents.preview('one', 1000) p LEFT JOIN one o ON o.id = p.key::int
	LOOP
		IF position('"data":{"one_id":' || (wrong.envelope::json->'data'->>'one_id') || ',"v":' ||
				wrong.expected || '},"metadata":' IN wrong.envelope) = 0 THEN
			RAISE WARNING 'type %: expected %, got %', type, wrong.expected, wrong.envelope;
		END IF;
	END LOOP;
	SELECT count(*) INTO n FROM hcevents.preview('one', 1000);
	DROP TABLE one;
	RETURN n;
END $$;

SELECT count(*) AS types, sum(compare(format_type(to_regtype(type), NULL), vals)) AS values
FROM samples WHERE vals IS NOT NULL AND type !~ '\(' AND type <> 'char';
SELECT compare('"char"', vals) FROM samples WHERE type = 'char';
SELECT compare(type, vals) FROM samples WHERE type ~ '\(';
-- the same as arrays, of one and of two dimensions
SELECT count(*) AS types, sum(compare(format_type(to_regtype(type), NULL) || '[]', ARRAY[ARRAY[vals]::text, vals::text, '{}'])) AS values
FROM samples WHERE vals IS NOT NULL AND type !~ '\(' AND type NOT IN ('char', 'int2vector', 'oidvector');
-- settings that to_json follows
SET extra_float_digits = -3;
SELECT sum(compare(type, vals)) FROM samples WHERE type IN ('float4', 'float8', 'point');
RESET extra_float_digits;
SET datestyle = 'German, DMY';
SET intervalstyle = 'iso_8601';
SET bytea_output = 'escape';
SELECT sum(compare(type, vals)) FROM samples WHERE type IN ('interval', 'bytea', 'tstzrange');
RESET datestyle;
RESET intervalstyle;
RESET bytea_output;

-- keys: a number for integers and numerics, a string for all else, an object for several
CREATE FUNCTION show_key(type text, val text, OUT id text, OUT key text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE one (k %s)', type);
	PERFORM hcevents.attach('one', 'one', '{}', key => '{k}');
	EXECUTE format('INSERT INTO one SELECT $1::%s', type) USING val;
	SELECT p.envelope::json->'data'->'one_id', p.key INTO id, key FROM hcevents.preview('one') p;
	DROP TABLE one;
END $$;
SELECT type, val, (show_key(type, val)).* FROM (VALUES
	('int2', '7'), ('bigint', '-7'), ('numeric', '1.10'), ('numeric', 'NaN'), ('text', 'plain'), ('text', E'q"uo\\te\n\x01'),
	('text', ''), ('text', NULL), ('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('bool', 't'), ('float8', '1.5'),
	('jsonb', '{"a": "b"}'), ('int[]', '{1,2}'), ('date', '2026-01-31'), ('t_enum', 'plain'), ('t_row', '(1,a,,)'), ('d_int', '5')) v(type, val);
SELECT val, (show_key('json', val)).* FROM (VALUES ('"\u00e9\ud83d\ude00\/"'), ('{"a": 1}')) v(val);
CREATE TABLE two (a int, b text, c text, PRIMARY KEY (b, a));
INSERT INTO two VALUES (1, 'x"y', 'c');
SELECT hcevents.attach('two', 'two', '{c}');
SELECT key, envelope::json->'data' AS data FROM hcevents.preview('two');

DROP TABLE two, samples;
DROP FUNCTION compare, show_key;
DROP DOMAIN d_int, d_text2, d_text, d_array, d_row;
DROP TYPE t_nested, t_row, t_enum, t_range;
