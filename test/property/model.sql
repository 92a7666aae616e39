-- What hcevents should publish, said a second time: slowly, in SQL, and by
-- means that hcevents does not use.
--
-- model.watch() is a row trigger on each table under test.  It renders every
-- column with to_json(), decides which events the change is, and writes them
-- into model.expected in the same transaction, so that savepoints, rollbacks
-- and prepared transactions need no thought here.  model.compare() then holds
-- that table against what the WAL has.
--
-- Columns are remembered by their number, which neither RENAME nor ALTER TYPE
-- changes, where hcevents rewrites names in trigger arguments.  A row is known
-- again after it has moved to another partition by its column _uid, which
-- comes from a sequence and is never updated, where hcevents looks at tuple
-- headers and command ids.  Nothing here calls code of
-- hcevents, but for a trigger of the application that publishes.

CREATE SCHEMA model;
CREATE SEQUENCE model.uid;

CREATE TABLE model.attachment (
	root oid,
	trigger_name text,
	resource text,
	always text,				-- of a trigger written by hand, else NULL
	ops text[],					-- what fires it
	condition smallint,			-- WHEN (OLD.c IS DISTINCT FROM NEW.c): number
	on_insert text,
	on_update text,
	on_delete text,
	enabled text,				-- as pg_trigger.tgenabled
	PRIMARY KEY (root, trigger_name));

-- Members of "data" and of the id, and the transitions, in their order.
CREATE TABLE model.member (
	root oid, trigger_name text, of_key boolean, place int,
	published text, attnum smallint);
CREATE TABLE model.transition (
	root oid, trigger_name text, place int,
	attnum smallint, was text, becomes text, event text);

-- What should have been published.  "seq" is the order within a transaction,
-- "held" the delete of a row that left its partition and arrived in no other,
-- or there under another key.  "trigger_name" is that of an attachment.
CREATE TABLE model.expected (
	seq bigint GENERATED ALWAYS AS IDENTITY, xid xid8 DEFAULT pg_current_xact_id(),
	change bigint, trigger_name text, held boolean,
	event_type text, key text, data text, source text, schema_name text, table_name text);

-- Rows deleted from a partition, which may turn up in another one.
CREATE TABLE model.gone (uid bigint, change bigint, old jsonb, relation oid);
-- Partitions where a trigger is disabled for one statement.
CREATE TABLE model.off (relation oid, trigger_name text);
-- Rows that a BEFORE trigger did not let into their new partition.
CREATE TABLE model.swallowed (uid bigint);
CREATE SEQUENCE model.change;
CREATE SEQUENCE model.moves;
-- When prepared transactions were committed, in terms of expected.seq: rows of
-- other transactions of the one session are in commit order by themselves.
-- (Commit timestamps would say it, too, but a clock may be set back.)
CREATE TABLE model.prepared (xid xid, turn bigint);

CREATE FUNCTION model.commits_now(name text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO model.prepared
	SELECT transaction, nextval('model.expected_seq_seq') FROM pg_prepared_xacts WHERE gid = name;
$$;

CREATE FUNCTION model.swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW._uid % 3 <> 0 THEN RETURN NEW; END IF;
	INSERT INTO model.swallowed VALUES (NEW._uid);
	RETURN NULL;
END $$;

-- The column that an element of a list means: itself, or what follows the
-- first colon behind which there is the name of a column.
CREATE FUNCTION model.resolve(root oid, element text, OUT published text, OUT attnum smallint)
LANGUAGE plpgsql AS $$
DECLARE
	colon int := 0;
	next int;
BEGIN
	published := element;
	SELECT a.attnum INTO attnum FROM pg_attribute a
	WHERE attrelid = root AND attname = element AND a.attnum > 0 AND NOT attisdropped;
	WHILE attnum IS NULL LOOP
		next := strpos(substr(element, colon + 1), ':');
		IF next = 0 THEN
			RAISE EXCEPTION 'model: no column % in %', element, root::regclass;
		END IF;
		colon := colon + next;
		published := left(element, colon - 1);
		SELECT a.attnum INTO attnum FROM pg_attribute a
		WHERE attrelid = root AND attname = substr(element, colon + 1) AND a.attnum > 0 AND NOT attisdropped;
	END LOOP;
END $$;

CREATE FUNCTION model.forget(tab regclass, name text) RETURNS void LANGUAGE sql AS $$
	DELETE FROM model.attachment WHERE root = tab AND trigger_name = name;
	DELETE FROM model.member WHERE root = tab AND trigger_name = name;
	DELETE FROM model.transition WHERE root = tab AND trigger_name = name;
$$;

CREATE FUNCTION model.add_members(tab regclass, name text, columns text[], keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF keys IS NULL THEN
		INSERT INTO model.member
		SELECT tab, name, true, k.n, a.attname, a.attnum
		FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, n), pg_attribute a
		WHERE i.indrelid = tab AND i.indisprimary AND a.attrelid = tab AND a.attnum = k.attnum;
	ELSE
		INSERT INTO model.member
		SELECT tab, name, true, e.n, r.published, r.attnum
		FROM unnest(keys) WITH ORDINALITY e(element, n), model.resolve(tab, e.element) r;
	END IF;
	IF columns = '{*}' THEN		-- all but the key and what looks secret
		INSERT INTO model.member
		SELECT tab, name, false, a.attnum, a.attname, a.attnum
		FROM pg_attribute a
		WHERE attrelid = tab AND a.attnum > 0 AND NOT attisdropped
			AND attname !~* 'password|passwd|secret|token|ssn|api_key|iban'
			AND a.attnum NOT IN (SELECT attnum FROM model.member m WHERE root = tab AND trigger_name = name);
	ELSE
		INSERT INTO model.member
		SELECT tab, name, false, e.n, r.published, r.attnum
		FROM unnest(columns) WITH ORDINALITY e(element, n), model.resolve(tab, e.element) r;
	END IF;
END $$;

-- What attach() with these arguments means.
CREATE FUNCTION model.attach(tab regclass, resource text, columns text[], on_insert text, on_update text,
	on_delete text, transitions jsonb, key text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text := 'hcevents_' || resource;
	mode text := 'O';
BEGIN
	SELECT CASE WHEN a.enabled = 'A' THEN 'A' ELSE 'O' END INTO mode
	FROM model.attachment a WHERE a.root = tab AND a.trigger_name = name;
	PERFORM model.forget(tab, name);
	INSERT INTO model.attachment VALUES (tab, name, resource, NULL, '{INSERT,UPDATE,DELETE}', NULL,
		on_insert, on_update, on_delete, coalesce(mode, 'O'));
	PERFORM model.add_members(tab, name, columns, key);
	INSERT INTO model.transition
	SELECT tab, name, t.n, r.attnum, t.e->>'from', t.e->>'to', t.e->>'event'
	FROM jsonb_array_elements(transitions) WITH ORDINALITY t(e, n), model.resolve(tab, t.e->>'column') r;
END $$;

-- What a trigger written by hand means.
CREATE FUNCTION model.by_hand(tab regclass, name text, event text, ops text[], condition text, columns text[],
	key text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.forget(tab, name);
	INSERT INTO model.attachment VALUES (tab, name, split_part(event, '.', 1), event, ops,
		(SELECT attnum FROM model.resolve(tab, condition) WHERE condition IS NOT NULL), NULL, NULL, NULL, 'O');
	PERFORM model.add_members(tab, name, columns, key);
END $$;

-- detach(): all attachments of a resource, or of the table; those written by
-- hand, too.
CREATE FUNCTION model.detach(tab regclass, of_resource text) RETURNS void LANGUAGE sql AS $$
	SELECT model.forget(tab, trigger_name) FROM model.attachment
	WHERE root = tab AND (of_resource IS NULL OR resource = of_resource);
$$;

CREATE FUNCTION model.set_enabled(tab regclass, name text, mode text) RETURNS void LANGUAGE sql AS $$
	UPDATE model.attachment SET enabled = mode WHERE root = tab AND trigger_name = name;
$$;

-- A query that gives of a row $1 of "tab", by the numbers of "root", each
-- column's [json, text]: NULL has no json.
CREATE FUNCTION model.query(tab oid, root oid) RETURNS text LANGUAGE sql AS $$
	SELECT 'SELECT jsonb_object_agg(n, jsonb_build_array(j, CASE WHEN j IS NOT NULL THEN t END)) FROM (VALUES '
		|| string_agg(format('(%s, to_json(($1).%2$I)::text, %3$s)', r.attnum, p.attname,
			CASE WHEN coalesce(nullif(t.typbasetype, 0), t.oid) = 'bpchar'::regtype
				THEN format('rtrim(format(''%%s'', ($1).%I), '' '')', p.attname)
				ELSE format('format(''%%s'', ($1).%I)', p.attname) END), ', ')
		|| ') AS v(n, j, t)'
	FROM pg_attribute r, pg_attribute p, pg_type t
	WHERE r.attrelid = root AND r.attnum > 0 AND NOT r.attisdropped
		AND p.attrelid = tab AND p.attname = r.attname AND t.oid = p.atttypid;
$$;

-- One key member as an id by itself: [id, key].  Numbers stay numbers, all
-- else becomes a string.
CREATE FUNCTION model.single_id(tab oid, attnum smallint, j text, OUT id text, OUT key text) LANGUAGE plpgsql AS $$
DECLARE
	type oid;
BEGIN
	IF j IS NULL THEN
		id := 'null';
		RETURN;
	END IF;
	WITH RECURSIVE base AS (
		SELECT t.oid, t.typbasetype FROM pg_attribute a, pg_type t
		WHERE attrelid = tab AND a.attnum = single_id.attnum AND t.oid = atttypid
		UNION ALL
		SELECT t.oid, t.typbasetype FROM base, pg_type t WHERE t.oid = base.typbasetype)
	SELECT oid INTO type FROM base WHERE typbasetype = 0;
	id := j;
	IF left(j, 1) <> '"' AND type NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) THEN
		id := to_json(j)::text;
	END IF;
	key := id::json #>> '{}';
END $$;

-- Write down one event of an attachment.
CREATE FUNCTION model.expect(a model.attachment, change bigint, held boolean, event_type text, shown jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id text;
	key text;
	data text;
	keys int;
BEGIN
	SELECT count(*), string_agg(to_json(published)::text || ':' || coalesce(shown->attnum::text->>0, 'null'), ',' ORDER BY place)
	INTO keys, id FROM model.member m WHERE m.root = a.root AND m.trigger_name = a.trigger_name AND of_key;
	IF keys = 1 THEN
		SELECT s.* INTO id, key FROM model.member m, model.single_id(a.root, m.attnum, shown->m.attnum::text->>0) s
		WHERE m.root = a.root AND m.trigger_name = a.trigger_name AND of_key;
	ELSE
		id := '{' || id || '}';
		key := id;
	END IF;
	SELECT format('{"%s_id":%s%s}', a.resource, id,
		string_agg(format(',%s:%s', to_json(published), coalesce(shown->attnum::text->>0, 'null')), '' ORDER BY place))
	INTO data FROM model.member m
	WHERE m.root = a.root AND m.trigger_name = a.trigger_name AND NOT of_key AND shown ? attnum::text;
	INSERT INTO model.expected (change, trigger_name, held, event_type, key, data, source, schema_name, table_name)
	SELECT expect.change, CASE WHEN a.always IS NULL THEN a.trigger_name END, expect.held, expect.event_type, key, data,
		current_setting('hcevents.source'), n.nspname, c.relname
	FROM pg_class c, pg_namespace n WHERE c.oid = a.root AND n.oid = relnamespace;
END $$;

-- The action of an update: that of the first transition that happened.
CREATE FUNCTION model.action_of_update(a model.attachment, old jsonb, new jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT action FROM (
		SELECT place, event AS action FROM model.transition t
		WHERE t.root = a.root AND t.trigger_name = a.trigger_name AND new ? attnum::text
			AND new->attnum::text->>1 = becomes AND old->attnum::text->>1 IS DISTINCT FROM becomes
			AND (was IS NULL OR old->attnum::text->>1 = was)
		UNION ALL SELECT 1000000, a.on_update) AS possible
	ORDER BY place LIMIT 1;
$$;

CREATE FUNCTION model.fires(a model.attachment) RETURNS boolean LANGUAGE sql AS $$
	SELECT current_setting('hcevents.enabled')::boolean AND CASE a.enabled WHEN 'D' THEN false WHEN 'A' THEN true
		WHEN 'O' THEN current_setting('session_replication_role') <> 'replica'
		ELSE current_setting('session_replication_role') = 'replica' END;
$$;

-- A trigger written by hand fires for what PostgreSQL does, whatever it means.
CREATE FUNCTION model.fires_by_hand(a model.attachment, op text, old jsonb, new jsonb) RETURNS boolean LANGUAGE sql AS $$
	SELECT op = ANY (a.ops) AND (a.condition IS NULL OR
		(new ? a.condition::text AND old->a.condition::text->>1 IS DISTINCT FROM new->a.condition::text->>1));
$$;

-- Is the key of a row that moves the same, but for what says where it lies?
CREATE FUNCTION model.same_key(a model.attachment, old jsonb, new jsonb) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT EXISTS (SELECT FROM model.member m WHERE m.root = a.root AND m.trigger_name = a.trigger_name AND of_key
		AND m.attnum <> (SELECT partattrs[0] FROM pg_partitioned_table WHERE partrelid = a.root)
		AND old->m.attnum::text IS DISTINCT FROM new->m.attnum::text);
$$;

CREATE FUNCTION model.watch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	top oid := coalesce(pg_partition_root(TG_RELID)::oid, TG_RELID);
	this bigint := nextval('model.change');
	meaning text;
	old_shown jsonb;
	new_shown jsonb;
	own_old jsonb;				-- by the numbers of the partition itself
	own_new jsonb;
	deleted model.gone;
	moved boolean := false;
	a model.attachment;
	action text;
	held boolean := false;
BEGIN
	IF TG_OP <> 'INSERT' THEN
		EXECUTE model.query(TG_RELID, top) INTO old_shown USING OLD;
		EXECUTE model.query(TG_RELID, TG_RELID) INTO own_old USING OLD;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		EXECUTE model.query(TG_RELID, top) INTO new_shown USING NEW;
		EXECUTE model.query(TG_RELID, TG_RELID) INTO own_new USING NEW;
	END IF;
	IF TG_OP = 'DELETE' AND top <> TG_RELID THEN
		INSERT INTO model.gone VALUES (OLD._uid, this, old_shown, TG_RELID);
		held := EXISTS (SELECT FROM model.swallowed WHERE uid = OLD._uid)
			OR EXISTS (SELECT FROM model.off);
	ELSIF TG_OP = 'INSERT' THEN
		DELETE FROM model.gone WHERE uid = NEW._uid RETURNING * INTO deleted;
		IF FOUND THEN			-- it has moved: one update, and no delete
			moved := true;
			PERFORM nextval('model.moves');
			old_shown := deleted.old;
		END IF;
	END IF;
	FOR a IN SELECT * FROM model.attachment t WHERE t.root IN (top, TG_RELID) ORDER BY trigger_name COLLATE "C" LOOP
		CONTINUE WHEN NOT model.fires(a) OR EXISTS (SELECT FROM model.off o
			WHERE o.relation = TG_RELID AND o.trigger_name = a.trigger_name);
		IF a.always IS NOT NULL THEN
			IF a.root <> top THEN
				IF model.fires_by_hand(a, TG_OP, own_old, own_new) THEN
					PERFORM model.expect(a, this, false, a.always, coalesce(own_new, own_old));
				END IF;
			ELSIF model.fires_by_hand(a, TG_OP, old_shown, new_shown) THEN
				PERFORM model.expect(a, this, false, a.always, coalesce(new_shown, old_shown));
			END IF;
			CONTINUE;
		END IF;
		meaning := TG_OP;
		IF moved AND NOT model.same_key(a, old_shown, new_shown) THEN
			UPDATE model.expected e SET held = true WHERE change = deleted.change AND e.trigger_name = a.trigger_name;
		ELSIF moved AND NOT EXISTS (SELECT FROM model.off o
			WHERE o.relation = deleted.relation AND o.trigger_name = a.trigger_name) THEN
			meaning := 'UPDATE';
			DELETE FROM model.expected e WHERE change = deleted.change AND e.trigger_name = a.trigger_name;
		END IF;
		action := CASE meaning WHEN 'INSERT' THEN a.on_insert WHEN 'DELETE' THEN a.on_delete
			ELSE model.action_of_update(a, old_shown, new_shown) END;
		IF action IS NOT NULL THEN
			PERFORM model.expect(a, this, held, a.resource || '.' || action, coalesce(new_shown, old_shown));
		END IF;
	END LOOP;
	RETURN NULL;
END $$;

-- A trigger of the application, which fires behind all others.
CREATE FUNCTION model.say() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	data jsonb := jsonb_build_object('op', TG_OP, 'n', nextval('model.change'));
BEGIN
	IF hcevents.publish('app.said', data, TG_OP) IS NOT NULL THEN
		INSERT INTO model.expected (held, event_type, key, data, source)
		VALUES (false, 'app.said', TG_OP, data::text, current_setting('hcevents.source'));
	END IF;
	RETURN NULL;
END $$;

-- What is in no promised order around a row that left its partition: events of
-- other types, keys and attachments (told by their members).
CREATE FUNCTION model.list(event_type text, key text, data json) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', event_type, key, string_agg(member, ',')) FROM json_object_keys(data) member;
$$;

-- What the WAL has from "lsn" on beside what is expected, in commit order;
-- "n" is the place in both lists.  Where a row may have left its partition for
-- no other, or there under another key, each model.list() is a list of its own.
CREATE FUNCTION model.both(lsn pg_lsn, OUT list text, OUT n bigint, OUT expected text, OUT captured text)
RETURNS SETOF record LANGUAGE sql AS $$
	WITH loose AS (SELECT EXISTS (SELECT FROM model.expected WHERE held) AS it),
	should AS (
		SELECT model.list(event_type, key, data::json) AS own, row_number() OVER (ORDER BY coalesce(turn, seq), seq) AS place,
			format('%s key=%s %s.%s %s', event_type, coalesce(to_json(key)::text, '-'), schema_name, table_name,
				format('{"event_id":"*","event_type":"%s","timestamp":"*","data":%s,"metadata":{"source":%s,"version":"1.0"}}',
					event_type, data, to_json(source))) AS said
		FROM model.expected LEFT JOIN model.prepared p ON p.xid = expected.xid::xid),
	does AS (
		SELECT model.list(event_type, key, envelope::json -> 'data') AS own, c.place, format('%s key=%s %s.%s %s', event_type, coalesce(to_json(key)::text, '-'), schema_name,
			table_name, coalesce(failed, regexp_replace(replace(envelope, event_id::text, '*'),
				'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"', '"timestamp":"*"'))) AS said
		FROM hce_captured(lsn) WITH ORDINALITY
			AS c(xid, committed, event_id, event_type, key, headers, schema_name, table_name, envelope, failed, place)
		WHERE committed),
	x AS (SELECT s.*, CASE WHEN it THEN own ELSE '' END AS list FROM should s, loose),
	y AS (SELECT d.*, CASE WHEN it THEN own ELSE '' END AS list FROM does d, loose),
	xn AS (SELECT said, list, row_number() OVER (PARTITION BY list ORDER BY place) AS n FROM x),
	yn AS (SELECT said, list, row_number() OVER (PARTITION BY list ORDER BY place) AS n FROM y)
	SELECT coalesce(xn.list, yn.list), coalesce(xn.n, yn.n), xn.said, yn.said
	FROM xn FULL JOIN yn ON xn.list = yn.list AND xn.n = yn.n;
$$;

-- One line for the case: how many events, and how many differ.
CREATE FUNCTION model.compare(lsn pg_lsn, OUT events bigint, OUT differ bigint, OUT held bigint)
LANGUAGE sql AS $$
	SELECT count(*), count(*) FILTER (WHERE expected IS DISTINCT FROM captured),
		(SELECT count(*) FROM model.expected WHERE held)
	FROM model.both(lsn);
$$;

CREATE PROCEDURE model.begin_case() LANGUAGE sql AS $$
	DELETE FROM model.attachment;
	DELETE FROM model.member;
	DELETE FROM model.transition;
	DELETE FROM model.expected;
	DELETE FROM model.gone;
	DELETE FROM model.off;
	DELETE FROM model.swallowed;
	DELETE FROM model.prepared;
$$;

-- Types of the columns under test.
CREATE SCHEMA types;
CREATE TYPE types.mood AS ENUM ('sad', 'ok', 'happy "quoted"', 'schön');
CREATE TYPE types.pair AS (l int, "r ""x" text);
CREATE TYPE types.deep AS (p types.pair, at timestamptz, list numeric[]);
CREATE DOMAIN types.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN types.short AS varchar(40);
CREATE DOMAIN types.moods AS types.mood[];
CREATE DOMAIN types.amount AS numeric(20, 4);
CREATE DOMAIN types.small AS types.amount;
