-- complain if script is sourced in psql rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION hcevents" to load this file. \quit

CREATE SCHEMA hcevents;
COMMENT ON SCHEMA hcevents IS
'hcevents: committed row changes as events in Apache Kafka.';
GRANT USAGE ON SCHEMA hcevents TO PUBLIC;

-- Capture: which tables publish, and publishing by hand.

CREATE FUNCTION hcevents.emit() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hce_emit';
REVOKE ALL ON FUNCTION hcevents.emit() FROM PUBLIC;
COMMENT ON FUNCTION hcevents.emit() IS
'trigger function of an attachment: captures an event for the row change (AFTER, FOR EACH ROW)';

CREATE FUNCTION hcevents.attach(
	target regclass,
	resource text,
	columns text[] DEFAULT '{}',
	on_insert text DEFAULT 'created',
	on_update text DEFAULT 'updated',
	on_delete text DEFAULT 'deleted',
	transitions jsonb DEFAULT '[]',
	key text[] DEFAULT NULL,
	options jsonb DEFAULT '{}')
RETURNS text[]
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hce_attach';
REVOKE ALL ON FUNCTION hcevents.attach(regclass, text, text[], text, text, text, jsonb, text[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.attach(regclass, text, text[], text, text, text, jsonb, text[], jsonb) IS
'makes a table publish its row changes; returns the event types';

CREATE FUNCTION hcevents.detach(target regclass, resource text DEFAULT NULL)
RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hce_detach';
REVOKE ALL ON FUNCTION hcevents.detach(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.detach(regclass, text) IS
'ends the publishing of a table, or of one resource of it; returns the number of attachments dropped';

-- Resolves a name by the caller's search_path, hence no SET search_path.
CREATE FUNCTION hcevents.healthcore_table(name text) RETURNS regclass
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
	candidates text;
BEGIN
	IF pg_catalog.to_regclass(name) IS NOT NULL THEN
		RETURN pg_catalog.to_regclass(name);
	END IF;
	SELECT pg_catalog.string_agg(c.oid::pg_catalog.regclass::pg_catalog.text, ', ')
	INTO candidates
	FROM pg_catalog.pg_class c
	WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::"char"[])
		AND c.relname::pg_catalog.text OPERATOR(pg_catalog.~~)
			pg_catalog.concat('%', pg_catalog.rtrim(name, 's'), '%');
	RAISE undefined_table USING
		MESSAGE = pg_catalog.format('relation "%s" does not exist', name),
		HINT = pg_catalog.concat('Name the table: hcevents.attach_healthcore(', name,
			' => ''...''). Django calls it app_model, like clinic_', pg_catalog.rtrim(name, 's'),
			'.', ' Similar tables: ' OPERATOR(pg_catalog.||) candidates OPERATOR(pg_catalog.||) '.');
END $$;
COMMENT ON FUNCTION hcevents.healthcore_table(text) IS
'default of attach_healthcore(): a table by its name, with a hint where there is none';

CREATE FUNCTION hcevents.attach_healthcore(
	patients regclass DEFAULT hcevents.healthcore_table('patients'),
	appointments regclass DEFAULT hcevents.healthcore_table('appointments'),
	patient_columns text[] DEFAULT '{name,email}',
	appointment_columns text[] DEFAULT '{patient_id,status}')
RETURNS text[]
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT hcevents.attach(patients, 'patient', patient_columns)
		OPERATOR(pg_catalog.||)
		hcevents.attach(appointments, 'appointment', appointment_columns,
			on_insert => 'booked', on_update => NULL, on_delete => NULL,
			transitions => '[{"column": "status", "to": "cancelled", "event": "cancelled"},
							 {"column": "status", "to": "completed", "event": "completed"}]');
END;
REVOKE ALL ON FUNCTION hcevents.attach_healthcore(regclass, regclass, text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.attach_healthcore(regclass, regclass, text[], text[]) IS
'attaches patients and appointments: the six HealthCore events in one call';

CREATE FUNCTION hcevents.publish(
	event_type text,
	data jsonb,
	key text DEFAULT NULL,
	headers jsonb DEFAULT NULL)
RETURNS uuid
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hce_publish';
REVOKE ALL ON FUNCTION hcevents.publish(text, jsonb, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.publish(text, jsonb, text, jsonb) IS
'publishes an event by hand when the transaction commits; returns its event_id';

CREATE FUNCTION hcevents.preview(
	target regclass,
	max_rows integer DEFAULT 5,
	OUT event_type text,
	OUT key text,
	OUT envelope text)
RETURNS SETOF record
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hce_preview';
REVOKE ALL ON FUNCTION hcevents.preview(regclass, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hcevents.preview(regclass, integer) TO PUBLIC;
COMMENT ON FUNCTION hcevents.preview(regclass, integer) IS
'the envelopes that existing rows would publish, without publishing; needs SELECT on the table';

CREATE FUNCTION hcevents.attachment(
	relation oid,
	trigger_oid oid,
	OUT resource text,
	OUT events text[],
	OUT columns text[],
	OUT key text[],
	OUT valid boolean,
	OUT unpublished_columns text[],
	OUT definition text)
RETURNS record
LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'hce_attachment';
REVOKE ALL ON FUNCTION hcevents.attachment(oid, oid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hcevents.attachment(oid, oid) TO pg_monitor;
COMMENT ON FUNCTION hcevents.attachment(oid, oid) IS
'what the view hcevents.attachments tells of one trigger';

CREATE VIEW hcevents.attachments AS
SELECT t.tgrelid::pg_catalog.regclass AS target,
	a.resource,
	a.events,
	a.columns,
	a.key,
	t.tgenabled OPERATOR(pg_catalog.<>) 'D'::"char" AS enabled,
	a.valid,
	a.unpublished_columns,
	a.definition
FROM pg_catalog.pg_trigger t
CROSS JOIN LATERAL hcevents.attachment(t.tgrelid, t.oid) a
WHERE t.tgfoid OPERATOR(pg_catalog.=) 'hcevents.emit()'::pg_catalog.regprocedure
	AND t.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
	AND NOT t.tgisinternal
	AND a.resource IS NOT NULL;
REVOKE ALL ON hcevents.attachments FROM PUBLIC;
GRANT SELECT ON hcevents.attachments TO pg_monitor;
COMMENT ON VIEW hcevents.attachments IS
'the tables that publish, what they publish, and the attach() call that makes each again';
/* ---- tables of the relay: written by it alone ---- */

CREATE TABLE hcevents.position (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    timeline integer NOT NULL,
    epoch integer NOT NULL,
    commit_lsn pg_lsn NOT NULL,
    event_index bigint NOT NULL,
    sent_lsn pg_lsn NOT NULL,
    sent_index bigint NOT NULL,
    restart_lsn pg_lsn NOT NULL,
    written timestamptz NOT NULL,
    stats_reset timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE hcevents.position IS
'How far the journal of this database is settled: every event of a commit before commit_lsn, and the first event_index events of the commit at commit_lsn. Written by the relay only.';
COMMENT ON COLUMN hcevents.position.one IS 'Makes the table hold one row.';
COMMENT ON COLUMN hcevents.position.system_identifier IS 'The cluster this row was written in; another one means a copy.';
COMMENT ON COLUMN hcevents.position.database_oid IS 'The database this row was written in; another one means a copy.';
COMMENT ON COLUMN hcevents.position.timeline IS 'The timeline this row was written on.';
COMMENT ON COLUMN hcevents.position.epoch IS 'First part of the position header; grows with each change of timeline or cluster.';
COMMENT ON COLUMN hcevents.position.commit_lsn IS 'Start of the commit record up to which everything is settled.';
COMMENT ON COLUMN hcevents.position.event_index IS 'Number of settled events of the commit at commit_lsn.';
COMMENT ON COLUMN hcevents.position.sent_lsn IS 'Commit of the last event that was handed to Kafka before this row was written.';
COMMENT ON COLUMN hcevents.position.sent_index IS 'Index of that event, plus one.';
COMMENT ON COLUMN hcevents.position.restart_lsn IS 'Start of the oldest WAL that is still needed.';
COMMENT ON COLUMN hcevents.position.written IS 'When the row was written.';
COMMENT ON COLUMN hcevents.position.stats_reset IS 'When the counters were reset.';

CREATE TABLE hcevents.counters (
    event_type text PRIMARY KEY,
    topic text NOT NULL,
    delivered bigint NOT NULL,
    dead bigint NOT NULL,
    redelivered bigint NOT NULL,
    bytes bigint NOT NULL,
    latency bigint[] NOT NULL,
    last_captured_time timestamptz,
    last_delivered_time timestamptz,
    parked bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE hcevents.counters IS
'Events settled up to hcevents.position, by type; written with it in one transaction. Read hcevents.delivery_stats instead.';
COMMENT ON COLUMN hcevents.counters.latency IS 'Commit to acknowledgement, in the buckets of hcevents.latency_histogram.';

CREATE TABLE hcevents.gap_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_lsn pg_lsn NOT NULL,
    to_lsn pg_lsn NOT NULL,
    from_time timestamptz,
    to_time timestamptz NOT NULL,
    cause text NOT NULL,
    events jsonb
);
COMMENT ON TABLE hcevents.gap_log IS
'Stretches of journal that were lost; read hcevents.gaps.';
COMMENT ON COLUMN hcevents.gap_log.events IS 'Lost events by type, where they could be counted (hcevents.max_parked_size).';

CREATE TABLE hcevents.dead_letter_store (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    event_type text NOT NULL,
    topic text,
    source_table text,
    key text,
    reason text NOT NULL,
    error text NOT NULL,
    envelope text,
    size bigint NOT NULL,
    commit_lsn pg_lsn NOT NULL,
    event_index bigint NOT NULL,
    commit_time timestamptz NOT NULL,
    dead_time timestamptz NOT NULL
);
COMMENT ON TABLE hcevents.dead_letter_store IS
'Events that Kafka can never take, with their envelopes where there is one; read hcevents.dead_letters.';

CREATE TABLE hcevents.parked_store (
    timeline integer NOT NULL,
    commit_lsn pg_lsn NOT NULL,
    event_index bigint NOT NULL,
    epoch integer NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    topic text NOT NULL,
    source_table text,
    source text,
    key text,
    headers text[],
    envelope text NOT NULL,
    commit_time timestamptz NOT NULL,
    parked_time timestamptz NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (timeline, commit_lsn, event_index)
);
CREATE INDEX parked_order ON hcevents.parked_store
    (topic, epoch, commit_lsn, event_index);
COMMENT ON TABLE hcevents.parked_store IS
'Events that wait here instead of in the WAL; read hcevents.parked_events.';
COMMENT ON COLUMN hcevents.parked_store.source IS 'The header of that name; NULL: hcevents.source.';
COMMENT ON COLUMN hcevents.parked_store.headers IS 'Those given to publish(): names and values in turn.';

CREATE TABLE hcevents.topic_modes (
    topic text PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('parking', 'draining')),
    reason text NOT NULL,
    since timestamptz NOT NULL,
    events bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE hcevents.topic_modes IS
'Topics whose events are not sent directly: parking = to hcevents.parked_store only, draining = sent from there in order while newer ones join it. A topic without a row is sent to directly. Written by the relay only, with hcevents.position.';
COMMENT ON COLUMN hcevents.topic_modes.events IS 'Parked events of the topic.';
COMMENT ON COLUMN hcevents.topic_modes.bytes IS 'Their size: keys, envelopes and 200 bytes each.';

CREATE TABLE hcevents.pauses (
    event_type text PRIMARY KEY,
    reason text,
    paused_by name NOT NULL,
    since timestamptz NOT NULL
);
COMMENT ON TABLE hcevents.pauses IS
'What hcevents.pause() has stopped; the event type * stands for all.';

REVOKE ALL ON hcevents.position, hcevents.counters, hcevents.gap_log,
    hcevents.dead_letter_store, hcevents.parked_store, hcevents.topic_modes,
    hcevents.pauses FROM PUBLIC;

/* ---- what the library says ---- */

CREATE FUNCTION hcevents.install() RETURNS void
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_install';
COMMENT ON FUNCTION hcevents.install() IS
'Checks that the server can run a relay and registers this database. Called by CREATE EXTENSION.';
REVOKE ALL ON FUNCTION hcevents.install() FROM PUBLIC;

CREATE FUNCTION hcevents.relay_status(
    OUT datid oid, OUT relay_pid integer, OUT state text, OUT waiting_for text,
    OUT settled_lsn pg_lsn, OUT read_lsn pg_lsn, OUT lag_bytes bigint,
    OUT lag_seconds double precision, OUT retained_wal_bytes bigint,
    OUT in_flight bigint, OUT pending bigint, OUT dead bigint, OUT gaps bigint,
    OUT last_error text, OUT last_error_time timestamptz,
    OUT start_time timestamptz, OUT restarts integer,
    OUT foreign_messages bigint, OUT parked bigint)
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'hcevents_relay_status';
COMMENT ON FUNCTION hcevents.relay_status() IS
'The relays of all databases, from shared memory.';

CREATE FUNCTION hcevents.type_stats(
    OUT event_type text, OUT topic text, OUT captured bigint,
    OUT delivered bigint, OUT pending bigint, OUT parked bigint,
    OUT dead bigint, OUT redelivered bigint, OUT bytes bigint,
    OUT per_second double precision, OUT oldest_pending_time timestamptz,
    OUT last_captured_time timestamptz, OUT last_delivered_time timestamptz,
    OUT p50_ms double precision, OUT p95_ms double precision,
    OUT p99_ms double precision, OUT last_error text,
    OUT last_error_time timestamptz, OUT stats_reset timestamptz,
    OUT latency bigint[])
    RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'hcevents_type_stats';
COMMENT ON FUNCTION hcevents.type_stats() IS
'The counters of this database''s event types, from shared memory.';

CREATE FUNCTION hcevents.histogram_bounds() RETURNS double precision[]
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'hcevents_histogram_bounds';
COMMENT ON FUNCTION hcevents.histogram_bounds() IS
'Upper bounds in milliseconds of the latency buckets.';

CREATE FUNCTION hcevents.flush(timeout interval DEFAULT '30 s') RETURNS boolean
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_flush';
COMMENT ON FUNCTION hcevents.flush(interval) IS
'Waits until every event committed before the call is settled. True when that is so, false when the time-out came first.';

CREATE FUNCTION hcevents.reset_stats() RETURNS void
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_reset_stats';
COMMENT ON FUNCTION hcevents.reset_stats() IS
'Sets the counters and histograms of this database to zero; what is pending stays counted.';

CREATE FUNCTION hcevents.restart_relay() RETURNS void
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_restart_relay';
COMMENT ON FUNCTION hcevents.restart_relay() IS
'Ends this database''s relay; the launcher starts it again at once. Nothing is lost.';

CREATE FUNCTION hcevents.pause(event_type text DEFAULT NULL,
                               reason text DEFAULT NULL) RETURNS void
    LANGUAGE c CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'hcevents_pause';
REVOKE ALL ON FUNCTION hcevents.pause(text, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.pause(text, text) IS
'Stops the delivery of an event type (with all types on its topic), or of everything; capture goes on. Kept over restarts until hcevents.resume().';

CREATE FUNCTION hcevents.resume(event_type text DEFAULT NULL) RETURNS void
    LANGUAGE c CALLED ON NULL INPUT VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'hcevents_resume';
REVOKE ALL ON FUNCTION hcevents.resume(text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.resume(text) IS
'Ends the pause of an event type, or all pauses. A copied database is made one of its own by resume() without argument.';

/* ---- views ---- */

CREATE VIEW hcevents.delivery_stats AS
    SELECT t.event_type, t.topic, t.captured, t.delivered, t.pending,
           t.parked, t.dead, t.redelivered, t.bytes, t.per_second,
           t.oldest_pending_time, t.last_captured_time, t.last_delivered_time,
           t.p50_ms, t.p95_ms, t.p99_ms, t.last_error, t.last_error_time,
           t.stats_reset, coalesce(m.mode, 'direct') AS mode,
           m.reason AS mode_reason,
           (SELECT coalesce(p.reason, 'no reason given') FROM hcevents.pauses AS p
            WHERE p.event_type OPERATOR(pg_catalog.=) t.event_type
                OR p.event_type OPERATOR(pg_catalog.=) '*'
            ORDER BY p.event_type DESC LIMIT 1) AS paused
    FROM hcevents.type_stats() AS t
        LEFT JOIN hcevents.topic_modes AS m
            ON m.topic OPERATOR(pg_catalog.=) t.topic;
COMMENT ON VIEW hcevents.delivery_stats IS
'Delivery of this database''s events by type: captured = delivered + pending + parked + dead. Latencies are from commit to acknowledgement.';

CREATE VIEW hcevents.status AS
    SELECT s.datid, d.datname, s.relay_pid, s.state, s.waiting_for,
           s.settled_lsn, s.read_lsn, s.lag_bytes, s.lag_seconds,
           s.retained_wal_bytes, s.in_flight, s.parked, s.dead,
           s.gaps, s.last_error, s.last_error_time, s.start_time, s.restarts
    FROM hcevents.relay_status() AS s
        JOIN pg_catalog.pg_database AS d
            ON d.oid OPERATOR(pg_catalog.=) s.datid;
COMMENT ON VIEW hcevents.status IS
'One row for each database with hcevents, whichever database it is read in: what its relay does, what it waits for and how far behind it is.';

CREATE VIEW hcevents.latency_histogram AS
    SELECT s.event_type, b.le_ms, b.count
    FROM hcevents.type_stats() AS s,
         LATERAL ROWS FROM (pg_catalog.unnest(hcevents.histogram_bounds()),
                            pg_catalog.unnest(s.latency)) AS b(le_ms, count);
COMMENT ON VIEW hcevents.latency_histogram IS
'Events by latency from commit to acknowledgement: count of those up to le_ms milliseconds and above the bound before.';

CREATE VIEW hcevents.gaps AS
    SELECT id, from_lsn, to_lsn, from_time, to_time, cause, events
    FROM hcevents.gap_log;
COMMENT ON VIEW hcevents.gaps IS
'Stretches of journal that were lost, with their cause. Events committed in them were not delivered.';

CREATE VIEW hcevents.parked_events AS
    SELECT event_id, event_type, topic, source_table, timeline, commit_lsn,
           event_index, commit_time, parked_time, cause
    FROM hcevents.parked_store;
REVOKE ALL ON hcevents.parked_events FROM PUBLIC;
GRANT SELECT ON hcevents.parked_events TO pg_monitor;
COMMENT ON VIEW hcevents.parked_events IS
'Events that wait in this database for Kafka or for their topic, without key and payload.';

CREATE VIEW hcevents.parked_topics AS
    SELECT topic, mode, reason, since, events, bytes FROM hcevents.topic_modes;
REVOKE ALL ON hcevents.parked_topics FROM PUBLIC;
GRANT SELECT ON hcevents.parked_topics TO pg_monitor;
COMMENT ON VIEW hcevents.parked_topics IS
'Topics whose events are parked (mode parking) or sent from hcevents.parked_events in order (draining), and why; every other topic is sent to directly.';

CREATE VIEW hcevents.dead_letters AS
    SELECT id, event_id, event_type, topic, source_table, reason, error, size,
           commit_time, dead_time
    FROM hcevents.dead_letter_store;
COMMENT ON VIEW hcevents.dead_letters IS
'Events that Kafka can never take or that could not be captured, without key and payload.';

REVOKE ALL ON FUNCTION hcevents.relay_status(), hcevents.type_stats(),
    hcevents.histogram_bounds(), hcevents.flush(interval),
    hcevents.reset_stats(), hcevents.restart_relay() FROM PUBLIC;
REVOKE ALL ON hcevents.delivery_stats, hcevents.status,
    hcevents.latency_histogram, hcevents.gaps, hcevents.dead_letters
    FROM PUBLIC;
GRANT SELECT ON hcevents.delivery_stats, hcevents.status,
    hcevents.latency_histogram, hcevents.gaps, hcevents.dead_letters
    TO pg_monitor;
GRANT EXECUTE ON FUNCTION hcevents.relay_status(), hcevents.type_stats(),
    hcevents.histogram_bounds(), hcevents.flush(interval) TO pg_monitor;

CREATE FUNCTION hcevents.journal_start() RETURNS pg_lsn
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_journal_start';
COMMENT ON FUNCTION hcevents.journal_start() IS
'A place in the WAL from which the journal may be read. Called by CREATE EXTENSION.';
REVOKE ALL ON FUNCTION hcevents.journal_start() FROM PUBLIC;

SELECT hcevents.install();

INSERT INTO hcevents.position
SELECT true, c.system_identifier, d.oid, k.timeline_id, 1, s.lsn, 0, s.lsn, 0,
       s.lsn, pg_catalog.now(), pg_catalog.now()
FROM pg_catalog.pg_control_system() AS c,
     pg_catalog.pg_control_checkpoint() AS k,
     hcevents.journal_start() AS s(lsn),
     pg_catalog.pg_database AS d
WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();
/* ---- topics in Kafka: asked by the admin worker ---- */

CREATE FUNCTION hcevents.topic_name(event_type text, schema_name text)
    RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'hcevents_topic_name';
COMMENT ON FUNCTION hcevents.topic_name(text, text) IS
'The topic of an event type under the current settings; schema_name is the schema of its table, '''' for publish(). NULL when Kafka would not take the name.';

CREATE FUNCTION hcevents.describe_topics(topics text[])
    RETURNS TABLE (topic text, brokers integer, "exists" boolean,
                   partitions integer, replication_factor integer, error text)
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_describe_topics';
COMMENT ON FUNCTION hcevents.describe_topics(text[]) IS
'What Kafka says about these topics; without topics one row with the number of brokers. Read hcevents.topics() instead.';

CREATE FUNCTION hcevents.make_topics(topics text[], partitions integer,
                                     replication_factor integer, config jsonb)
    RETURNS TABLE (topic text, result text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_make_topics';
COMMENT ON FUNCTION hcevents.make_topics(text[], integer, integer, jsonb) IS
'Creates these topics; hcevents.create_topics() finds out which.';

CREATE FUNCTION hcevents.expected_topics()
    RETURNS TABLE (topic text, event_types text[], error text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH attached AS (
        SELECT DISTINCT e.event_type,
               hcevents.topic_name(e.event_type, n.nspname::text) AS topic
        FROM hcevents.attachments AS a
            JOIN pg_class AS c ON c.oid = a.target::text::regclass
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            CROSS JOIN LATERAL unnest(a.events) AS e(event_type)
    ), seen AS (
        /* published by hand, or no longer attached: the schema is unknown */
        SELECT s.event_type,
               CASE WHEN strpos(current_setting('hcevents.topic'), '%s') > 0
                   THEN s.topic
                   ELSE hcevents.topic_name(s.event_type, '') END AS topic
        FROM hcevents.delivery_stats AS s
        WHERE s.event_type <> '' AND NOT EXISTS (
            SELECT FROM attached AS a WHERE a.event_type = s.event_type)
    ), wanted AS (
        SELECT a.event_type, a.topic FROM attached AS a
        UNION
        SELECT s.event_type, s.topic FROM seen AS s
    )
    SELECT w.topic, array_agg(w.event_type ORDER BY w.event_type),
           CASE WHEN w.topic IS NULL
               THEN 'the settings make no valid topic name of these event types'
           END
    FROM wanted AS w
    GROUP BY w.topic
    ORDER BY w.topic;
END
$$;
COMMENT ON FUNCTION hcevents.expected_topics() IS
'The topics that the event types of this database go to under the current settings: those of attached tables and those already published. Does not ask Kafka.';

CREATE FUNCTION hcevents.topics()
    RETURNS TABLE (topic text, event_types text[], "exists" boolean,
                   partitions integer, replication_factor integer, error text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    names text[] := ARRAY(SELECT e.topic FROM hcevents.expected_topics() AS e
                          WHERE e.topic IS NOT NULL);
BEGIN
    /* without a name, describe_topics() would ask for all that there are */
    IF names = '{}' THEN
        RETURN QUERY
        SELECT e.topic, e.event_types, NULL::boolean, NULL::integer,
               NULL::integer, e.error
        FROM hcevents.expected_topics() AS e;
        RETURN;
    END IF;

    RETURN QUERY
    SELECT e.topic, e.event_types, d."exists", d.partitions,
           d.replication_factor, coalesce(e.error, d.error)
    FROM hcevents.expected_topics() AS e
        LEFT JOIN hcevents.describe_topics(names) AS d ON d.topic = e.topic
    ORDER BY e.topic;
END
$$;
COMMENT ON FUNCTION hcevents.topics() IS
'The topics that this database''s events go to, and what Kafka says about each.';

CREATE FUNCTION hcevents.create_topics(partitions integer DEFAULT 3,
                                       replication_factor integer DEFAULT 1,
                                       config jsonb DEFAULT '{}')
    RETURNS TABLE (topic text, result text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    names text[] := ARRAY(SELECT e.topic FROM hcevents.expected_topics() AS e
                          WHERE e.topic IS NOT NULL);
BEGIN
    RETURN QUERY
    SELECT m.topic, m.result
    FROM hcevents.make_topics(names, create_topics.partitions,
                              create_topics.replication_factor,
                              create_topics.config) AS m
    UNION ALL
    SELECT e.topic, e.error
    FROM hcevents.expected_topics() AS e
    WHERE e.topic IS NULL
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION hcevents.create_topics(integer, integer, jsonb) IS
'Creates the topics of hcevents.topics() that are missing: "created", "exists" or the broker''s error for each. config holds topic options of Kafka, such as {"retention.ms": 604800000}. Its caller needs pg_monitor and EXECUTE on hcevents.make_topics() too.';

/* ---- the doctor ---- */

CREATE FUNCTION hcevents.process_state(OUT preloaded boolean,
                                       OUT launcher_pid integer)
    LANGUAGE c STRICT VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'hcevents_process_state';
COMMENT ON FUNCTION hcevents.process_state() IS
'Whether the server has preloaded the library, and its launcher''s process id.';

CREATE FUNCTION hcevents.check_server()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    state record;
    workers integer;
    worker_limit integer := current_setting('max_worker_processes');
BEGIN
    SELECT * INTO state FROM hcevents.process_state();
    IF state.preloaded THEN
        RETURN QUERY VALUES ('preloaded', 'ok', 'the library is preloaded',
                             NULL::text);
    ELSE
        RETURN QUERY VALUES ('preloaded', 'error',
            'the server runs without the library: events are captured but not delivered',
            'Add shared_preload_libraries = ''hcevents'' to postgresql.conf, and restart the server.');
    END IF;

    IF current_setting('wal_level') = 'minimal' THEN
        RETURN QUERY VALUES ('wal_level', 'error',
            'wal_level is minimal: WAL cannot be kept for the relay',
            'Set wal_level = replica, and restart the server.');
    ELSE
        RETURN QUERY VALUES ('wal_level', 'ok',
            'wal_level is ' || current_setting('wal_level'), NULL::text);
    END IF;

    /* Those without a place in pg_stat_activity are not seen. */
    SELECT count(*) INTO workers
    FROM pg_stat_activity AS a
    WHERE a.backend_type NOT IN (
        'client backend', 'autovacuum launcher', 'autovacuum worker',
        'walsender', 'walreceiver', 'walwriter', 'background writer',
        'checkpointer', 'archiver', 'startup', 'logger', 'walsummarizer',
        'slotsync worker', 'io worker', 'standalone backend');
    RETURN QUERY
    SELECT 'max_worker_processes',
           CASE WHEN workers < worker_limit THEN 'ok' ELSE 'warning' END,
           format('%s of %s background workers are in use', workers,
                  worker_limit),
           CASE WHEN workers >= worker_limit
               THEN 'A relay that ends cannot start again while none is free. Increase max_worker_processes, and restart the server.'
           END;

    IF state.launcher_pid IS NOT NULL THEN
        RETURN QUERY VALUES ('launcher', 'ok',
            format('runs as process %s', state.launcher_pid), NULL::text);
    ELSIF state.preloaded THEN
        RETURN QUERY VALUES ('launcher', 'error',
            'the launcher does not run, so no relay is started',
            'The server log says why it ended. It is started again after a few seconds if max_worker_processes allows.');
    END IF;
END
$$;
COMMENT ON FUNCTION hcevents.check_server() IS
'The part of hcevents.check() about the server.';

CREATE FUNCTION hcevents.check_relay()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    relay record;
BEGIN
    SELECT * INTO relay FROM hcevents.status AS s
    WHERE s.datname = current_database();
    IF NOT FOUND THEN
        RETURN QUERY VALUES ('relay', 'error',
            'the launcher knows of no relay for this database',
            'It looks every 10 seconds at the latest; if this stays, see the check "launcher" and the server log.');
        RETURN;
    END IF;

    RETURN QUERY
    SELECT 'relay',
           CASE WHEN relay.state = 'streaming' THEN 'ok'
                WHEN relay.state IN ('stopped', 'failed') THEN 'error'
                ELSE 'warning' END,
           concat_ws(', ', relay.state,
                     'waits for ' || nullif(relay.waiting_for, ''),
                     CASE WHEN relay.lag_bytes > 0
                         THEN pg_size_pretty(relay.lag_bytes) || ' behind' END,
                     CASE WHEN relay.state <> 'streaming'
                         THEN 'last error: ' || nullif(relay.last_error, '')
                     END),
           CASE relay.state
               WHEN 'starting' THEN 'Look again in a few seconds.'
               WHEN 'disconnected' THEN 'See the check "brokers". The relay goes on by itself when they answer.'
               WHEN 'paused' THEN 'hcevents.resume() lets it go on. A copied database publishes nothing, so that it cannot be taken for the original; resume() makes it one of its own.'
               WHEN 'disabled' THEN 'Set hcevents.enabled = on.'
               WHEN 'failed' THEN 'The launcher starts it again; the server log says why it ended.'
               WHEN 'stopped' THEN 'See the check "launcher" and the server log.'
           END;
END
$$;
COMMENT ON FUNCTION hcevents.check_relay() IS
'The part of hcevents.check() about this database''s relay.';

CREATE FUNCTION hcevents.check_slot()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    slot record;
    slots integer;
    slot_limit integer := current_setting('max_replication_slots');
BEGIN
    SELECT r.slot_name, r.active, r.wal_status, r.restart_lsn INTO slot
    FROM pg_replication_slots AS r
        JOIN pg_database AS d ON r.slot_name = 'hcevents_' || d.oid::text
    WHERE d.datname = current_database();

    SELECT count(*) INTO slots FROM pg_replication_slots;
    RETURN QUERY
    SELECT 'max_replication_slots',
           CASE WHEN slots < slot_limit OR slot.slot_name IS NOT NULL
               THEN 'ok' ELSE 'error' END,
           format('%s of %s replication slots are in use', slots, slot_limit),
           CASE WHEN slots >= slot_limit THEN
               'Another database''s relay would find none. Increase max_replication_slots, and restart the server.'
           END;

    IF slot.slot_name IS NULL THEN
        RETURN QUERY VALUES ('slot', 'error',
            'the relay''s replication slot does not exist',
            'The relay makes it when it starts; WAL that was removed meanwhile is recorded in hcevents.gaps.');
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'slot',
           CASE WHEN slot.wal_status = 'lost' THEN 'error'
                WHEN slot.wal_status = 'unreserved' OR NOT slot.active
                    THEN 'warning'
                ELSE 'ok' END,
           format('%s is %s, its WAL is %s', slot.slot_name,
                  CASE WHEN slot.active THEN 'held by the relay'
                       ELSE 'held by nobody' END,
                  coalesce(slot.wal_status, 'not reserved')),
           CASE WHEN slot.wal_status IN ('lost', 'unreserved')
               THEN 'More WAL was written than max_slot_wal_keep_size keeps; what was not delivered is recorded in hcevents.gaps.'
                WHEN NOT slot.active THEN 'See the check "relay".'
           END;

    RETURN QUERY
    SELECT 'retained_wal',
           CASE WHEN w.bytes > w.much THEN 'warning' ELSE 'ok' END,
           pg_size_pretty(w.bytes) || ' of WAL are kept for the relay',
           CASE WHEN w.bytes > w.much
               THEN 'Events are parked when hcevents.max_retained_wal is passed and Kafka takes none. Find out what the relay waits for in hcevents.status, and watch the space of pg_wal.'
           END
    FROM (SELECT CASE WHEN pg_is_in_recovery()
                     THEN pg_last_wal_replay_lsn() - slot.restart_lsn
                     ELSE pg_current_wal_lsn() - slot.restart_lsn END,
                 /* near the limit at which the relay parks; 1 GB without one */
                 coalesce((SELECT min(s.setting::bigint * CASE s.name
                                      WHEN 'max_slot_wal_keep_size' THEN 1024 * 512
                                      ELSE 1024 * 1024 END) / 10 * 9
                           FROM pg_settings AS s
                           WHERE s.name IN ('max_slot_wal_keep_size',
                                            'hcevents.max_retained_wal')
                               AND s.setting::bigint >= 0), 1073741824)
         ) AS w(bytes, much)
    WHERE w.bytes IS NOT NULL;

    RETURN QUERY
    SELECT 'max_slot_wal_keep_size',
           CASE WHEN s.setting = '-1' THEN 'warning' ELSE 'ok' END,
           CASE WHEN s.setting = '-1'
               THEN 'WAL kept for a relay that cannot deliver is not bounded: a full pg_wal stops the server'
               ELSE 'at most ' || current_setting('max_slot_wal_keep_size')
                    || ' of WAL are kept for a slot' END,
           CASE WHEN s.setting = '-1'
               THEN 'Set max_slot_wal_keep_size to what pg_wal has room for. Beyond it events are lost, and recorded in hcevents.gaps.'
           END
    FROM pg_settings AS s
    WHERE s.name = 'max_slot_wal_keep_size';
END
$$;
COMMENT ON FUNCTION hcevents.check_slot() IS
'The part of hcevents.check() about the WAL that is kept for the relay.';

CREATE FUNCTION hcevents.check_attachments()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    total bigint;
    broken text;
    disabled text;
    partial text;
BEGIN
    SELECT count(*),
           string_agg(format('%s (%s)', a.target, a.resource), ', '
                      ORDER BY a.target::text, a.resource)
               FILTER (WHERE NOT a.valid),
           string_agg(format('%s (%s)', a.target, a.resource), ', '
                      ORDER BY a.target::text, a.resource)
               FILTER (WHERE NOT a.enabled),
           string_agg(format('%s (%s): %s', a.target, a.resource,
                             array_to_string(a.unpublished_columns, ', ')),
                      '; ' ORDER BY a.target::text, a.resource)
               FILTER (WHERE a.unpublished_columns <> '{}')
    INTO total, broken, disabled, partial
    FROM hcevents.attachments AS a;

    RETURN QUERY
    SELECT 'attachments',
           CASE WHEN broken IS NOT NULL THEN 'error'
                WHEN disabled IS NOT NULL OR total = 0 THEN 'warning'
                ELSE 'ok' END,
           CASE WHEN total = 0 THEN 'no table publishes'
                ELSE concat_ws('; ', format('attached: %s', total),
                               'no longer valid: ' || broken,
                               'trigger disabled: ' || disabled) END,
           CASE WHEN broken IS NOT NULL
                    THEN 'Attach these tables again; hcevents.attachments.definition has the call.'
                WHEN disabled IS NOT NULL
                    THEN 'ALTER TABLE ... ENABLE TRIGGER lets these tables publish again.'
                WHEN total = 0
                    THEN 'Call hcevents.attach() for each table that should.'
           END;

    /* Publishing only what was named is the rule, so it is no warning. */
    IF total > 0 THEN
        RETURN QUERY
        SELECT 'unpublished_columns', 'ok',
               coalesce(partial, 'every column is published'),
               CASE WHEN partial IS NOT NULL
                   THEN 'To publish more of them, attach the table again with a longer list of columns.'
               END;
    END IF;
END
$$;
COMMENT ON FUNCTION hcevents.check_attachments() IS
'The part of hcevents.check() about the tables that publish.';

CREATE FUNCTION hcevents.check_losses()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    relay record;
BEGIN
    SELECT s.gaps, s.dead, s.parked INTO relay FROM hcevents.status AS s
    WHERE s.datname = current_database();
    RETURN QUERY
    SELECT 'parked',
           CASE WHEN relay.parked > 0 OR m.topics IS NOT NULL
               THEN 'warning' ELSE 'ok' END,
           CASE WHEN relay.parked > 0 OR m.topics IS NOT NULL
               THEN concat_ws('; ', format('parked events: %s (%s, hcevents.max_parked_size %s)',
                        coalesce(relay.parked, 0), pg_size_pretty(m.bytes),
                        current_setting('hcevents.max_parked_size')),
                        m.topics)
               ELSE 'no event is parked' END,
           CASE WHEN relay.parked > 0 OR m.topics IS NOT NULL
               THEN 'They are sent by themselves when their topic takes events again; a paused one waits for hcevents.resume().'
           END
    FROM (SELECT coalesce(sum(t.bytes), 0)::bigint,
                 string_agg(format('%s is %s: %s', t.topic, t.mode, t.reason),
                            '; ' ORDER BY t.topic)
          FROM hcevents.parked_topics AS t) AS m(bytes, topics);
    RETURN QUERY
    SELECT 'gaps',
           CASE WHEN relay.gaps > 0 THEN 'error' ELSE 'ok' END,
           CASE WHEN relay.gaps > 0
               THEN format('stretches of journal that were lost: %s', relay.gaps)
               ELSE 'no journal was lost' END,
           CASE WHEN relay.gaps > 0
               THEN 'hcevents.gaps has time and cause of each; consumers lack the events committed then.'
           END;
    RETURN QUERY
    SELECT 'dead_letters',
           CASE WHEN relay.dead > 0 THEN 'warning' ELSE 'ok' END,
           format('events that could not be delivered: %s',
                  coalesce(relay.dead, 0)),
           CASE WHEN relay.dead > 0
               THEN 'hcevents.dead_letters has the reason of each.' END;
END
$$;
COMMENT ON FUNCTION hcevents.check_losses() IS
'The part of hcevents.check() about events that did not arrive.';

CREATE FUNCTION hcevents.check_settings()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    topics bigint;
    nameless text;
BEGIN
    IF current_setting('hcevents.enabled')::boolean THEN
        RETURN QUERY VALUES ('enabled', 'ok', 'hcevents.enabled is on',
                             NULL::text);
    ELSE
        RETURN QUERY VALUES ('enabled', 'warning',
            'hcevents.enabled is off: nothing is captured in this session',
            'ALTER DATABASE ... SET hcevents.enabled = on, or correct KAFKA_ENABLED in the server''s environment.');
    END IF;

    SELECT count(e.topic),
           string_agg(array_to_string(e.event_types, ', '), ', ')
               FILTER (WHERE e.topic IS NULL)
    INTO topics, nameless
    FROM hcevents.expected_topics() AS e;
    RETURN QUERY
    SELECT 'topic_names',
           CASE WHEN nameless IS NULL THEN 'ok' ELSE 'error' END,
           CASE WHEN nameless IS NULL
               THEN format('valid by the template %s: %s',
                           current_setting('hcevents.topic'), topics)
               ELSE 'no valid topic name for ' || nameless END,
           CASE WHEN nameless IS NOT NULL
               THEN 'A topic name has at most 249 letters, digits, ".", "_" and "-". Change hcevents.topic or hcevents.topic_prefix; until then these events become dead letters.'
           END;
END
$$;
COMMENT ON FUNCTION hcevents.check_settings() IS
'The part of hcevents.check() about the settings of this session.';

CREATE FUNCTION hcevents.check_brokers()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    names text[];
    answer record;
BEGIN
    IF NOT current_setting('hcevents.enabled')::boolean THEN
        RETURN QUERY VALUES ('brokers', 'ok',
            'not asked, hcevents.enabled is off', NULL::text);
        RETURN;
    END IF;

    names := ARRAY(SELECT e.topic FROM hcevents.expected_topics() AS e
                   WHERE e.topic IS NOT NULL);
    SELECT max(d.brokers) AS brokers, count(d.topic) AS topics,
           string_agg(d.topic, ', ' ORDER BY d.topic)
               FILTER (WHERE NOT d."exists" AND d.error IS NULL) AS missing,
           string_agg(format('%s: %s', d.topic, d.error), '; '
                      ORDER BY d.topic)
               FILTER (WHERE d.error IS NOT NULL) AS failed
    INTO answer
    FROM hcevents.describe_topics(names) AS d;

    RETURN QUERY VALUES ('brokers', 'ok',
        format('reached through %s, brokers: %s',
               current_setting('hcevents.bootstrap_servers'), answer.brokers),
        NULL::text);
    IF answer.topics > 0 THEN
        RETURN QUERY
        SELECT 'topics',
               CASE WHEN answer.failed IS NOT NULL THEN 'error'
                    WHEN answer.missing IS NOT NULL THEN 'warning'
                    ELSE 'ok' END,
               CASE WHEN answer.failed IS NULL AND answer.missing IS NULL
                   THEN format('all exist: %s', answer.topics)
                   ELSE concat_ws('; ', answer.failed,
                                  'missing: ' || answer.missing) END,
               CASE WHEN answer.missing IS NOT NULL
                        THEN 'hcevents.create_topics() creates them. Their events wait until they exist, unless the broker creates topics by itself.'
                    WHEN answer.failed IS NOT NULL
                        THEN 'Look at these topics with the tools of the broker.'
               END;
    END IF;
END
$$;
COMMENT ON FUNCTION hcevents.check_brokers() IS
'The part of hcevents.check() about Kafka.';

CREATE FUNCTION hcevents.check()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    part text;
    message text;
    message_detail text;
    message_hint text;
BEGIN
    FOREACH part IN ARRAY ARRAY['server', 'relay', 'slot', 'attachments',
                                'losses', 'settings', 'brokers']
    LOOP
        /* What is broken enough to raise an error is what a doctor is for. */
        BEGIN
            RETURN QUERY EXECUTE format('SELECT * FROM hcevents.%I()',
                                        'check_' || part);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT,
                message_detail = PG_EXCEPTION_DETAIL,
                message_hint = PG_EXCEPTION_HINT;
            RETURN QUERY
            SELECT part, 'error',
                   concat_ws(': ', message, nullif(message_detail, '')),
                   nullif(message_hint, '');
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION hcevents.check() IS
'The doctor: looks at server, relay, WAL, attachments, settings and Kafka, and says what to do. Raises no error; what cannot be checked is a row with the status "error".';

REVOKE ALL ON FUNCTION hcevents.topic_name(text, text),
    hcevents.describe_topics(text[]),
    hcevents.make_topics(text[], integer, integer, jsonb),
    hcevents.expected_topics(), hcevents.topics(),
    hcevents.create_topics(integer, integer, jsonb),
    hcevents.process_state(), hcevents.check_server(), hcevents.check_relay(),
    hcevents.check_slot(), hcevents.check_attachments(),
    hcevents.check_losses(), hcevents.check_settings(),
    hcevents.check_brokers(), hcevents.check() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hcevents.topic_name(text, text),
    hcevents.describe_topics(text[]), hcevents.expected_topics(),
    hcevents.topics(), hcevents.process_state(), hcevents.check_server(),
    hcevents.check_relay(), hcevents.check_slot(),
    hcevents.check_attachments(), hcevents.check_losses(),
    hcevents.check_settings(), hcevents.check_brokers(), hcevents.check()
    TO pg_monitor;
