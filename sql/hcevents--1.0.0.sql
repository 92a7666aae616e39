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

-- EXECUTE is for nobody: an event may hold what the role that causes it may
-- not read (columns that an UPDATE needs no right on, what a SECURITY DEFINER
-- function writes, rows behind row security).
CREATE FUNCTION hcevents.captured_events(
	OUT event_id uuid,
	OUT event_type text,
	OUT key text,
	OUT data json,
	OUT envelope json,
	OUT headers jsonb,
	OUT topic text,
	OUT source_table text,
	OUT error text)
RETURNS SETOF record
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hce_captured_events';
REVOKE ALL ON FUNCTION hcevents.captured_events() FROM PUBLIC;
COMMENT ON FUNCTION hcevents.captured_events() IS
'for tests: the events that this transaction has captured so far, in their order, while hcevents.keep_captured is on; what a consumer receives if it commits';

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
LANGUAGE c STRICT STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hce_attachment';
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
'the tables that publish, what they publish, and the command that makes each again; the resource is ? where the arguments of a trigger make no sense';
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
    stats_reset timestamptz NOT NULL,
    home bigint NOT NULL DEFAULT 0,
    complete boolean NOT NULL DEFAULT false
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
COMMENT ON COLUMN hcevents.position.home IS 'The data directory this row was written in; another one means a copy, but for a promoted standby.';
COMMENT ON COLUMN hcevents.position.complete IS 'Nothing that was committed in this database is missing up to here. Written when the server stops in order; false in every row of a running relay.';

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
    events jsonb,
    acknowledged_by text,
    acknowledged_time timestamptz
);
COMMENT ON TABLE hcevents.gap_log IS
'Stretches of journal that were lost; read hcevents.gaps.';
COMMENT ON COLUMN hcevents.gap_log.events IS 'Lost events by type, where they could be counted (hcevents.max_parked_size).';

CREATE TABLE hcevents.dead_letter_store (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    event_type text NOT NULL,
    topic text,
    source_schema text,
    source_table text,
    key text,
    headers text[],
    reason text NOT NULL,
    error text NOT NULL,
    envelope text,
    size bigint NOT NULL,
    timeline integer NOT NULL,
    epoch integer NOT NULL,
    commit_lsn pg_lsn NOT NULL,
    event_index bigint NOT NULL,
    commit_time timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    first_failed_time timestamptz NOT NULL,
    last_failed_time timestamptz NOT NULL,
    retried_time timestamptz
);
COMMENT ON TABLE hcevents.dead_letter_store IS
'Events that Kafka can never take, with their envelopes where there is one; read hcevents.dead_letters.';
COMMENT ON COLUMN hcevents.dead_letter_store.headers IS 'Those given to publish(): names and values in turn.';
COMMENT ON COLUMN hcevents.dead_letter_store.attempts IS 'How often the event has become a dead letter: 1, and one more for each retry that failed.';
COMMENT ON COLUMN hcevents.dead_letter_store.retried_time IS 'When it was moved to hcevents.parked_store. Such a row holds no payload, remembers the attempts, and goes when the event is delivered.';
CREATE INDEX dead_letter_store_payload ON hcevents.dead_letter_store (last_failed_time)
    WHERE envelope IS NOT NULL OR key IS NOT NULL;
CREATE INDEX dead_letter_store_retried ON hcevents.dead_letter_store (retried_time)
    WHERE retried_time IS NOT NULL;

CREATE TABLE hcevents.counter_changes (
    event_type text NOT NULL,
    topic text NOT NULL,
    dead bigint NOT NULL,
    parked bigint NOT NULL,
    events bigint NOT NULL,
    bytes bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
COMMENT ON TABLE hcevents.counter_changes IS
'Events that were moved between dead letters and parked events by SQL functions, until the relay has taken them into its tables: what to add to dead and parked of hcevents.counters, and to events and bytes of hcevents.topic_modes.';
COMMENT ON COLUMN hcevents.counter_changes.id IS
'A replica identity: without one the relay could not delete rows in a database with a publication of all tables.';

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
    PRIMARY KEY (epoch, commit_lsn, event_index)
);
CREATE INDEX parked_order ON hcevents.parked_store
    (topic, epoch, commit_lsn, event_index);
COMMENT ON TABLE hcevents.parked_store IS
'Events that wait here instead of in the WAL; read hcevents.parked_events.';
COMMENT ON COLUMN hcevents.parked_store.epoch IS 'Of the position that covers the row; a row that none covers yet is taken into a new epoch with the journal behind it.';
COMMENT ON COLUMN hcevents.parked_store.source IS 'The header of that name; NULL: hcevents.source.';
COMMENT ON COLUMN hcevents.parked_store.headers IS 'Those given to publish(): names and values in turn.';

CREATE TABLE hcevents.open_records (
    xid bigint,
    record_lsn pg_lsn,
    prepared boolean NOT NULL,
    record bytea NOT NULL,
    PRIMARY KEY (xid, record_lsn)
);
COMMENT ON TABLE hcevents.open_records IS
'Captured events of transactions that are still open or prepared and would retain more WAL than hcevents.max_retained_wal. Written by the relay only, with hcevents.position; a row goes when its transaction is rolled back, or committed and settled.';
COMMENT ON COLUMN hcevents.open_records.xid IS 'The transaction or subtransaction that captured them, as 32 bits (pg_prepared_xacts.transaction, pg_stat_activity.backend_xid).';
COMMENT ON COLUMN hcevents.open_records.record_lsn IS 'Start of the journal record, which is in the WAL no more.';
COMMENT ON COLUMN hcevents.open_records.prepared IS 'PREPARE TRANSACTION was read: it survives a restart of the server.';
COMMENT ON COLUMN hcevents.open_records.record IS 'What this xid has in the record, in the form of a journal record.';

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
    hcevents.dead_letter_store, hcevents.counter_changes,
    hcevents.parked_store, hcevents.open_records, hcevents.topic_modes,
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
'Ends the pause of an event type, or all pauses, and has the relay try at once the topics that it left alone because they failed. A copied database is made one of its own by resume() without argument.';

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
    SELECT id, from_lsn, to_lsn, from_time, to_time, cause, events,
           acknowledged_by, acknowledged_time
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
    SELECT id, event_id, event_type, topic, source_table, reason, error,
           attempts, size, envelope IS NOT NULL AS retriable, commit_time,
           first_failed_time, last_failed_time
    FROM hcevents.dead_letter_store
    WHERE retried_time IS NULL;
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
            JOIN pg_class AS c ON c.oid = a.target
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

/* ---- dead letters, gaps: what a DBA does about them ---- */

CREATE FUNCTION hcevents.tell_relay() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'hcevents_tell_relay';
REVOKE ALL ON FUNCTION hcevents.tell_relay() FROM PUBLIC;
COMMENT ON FUNCTION hcevents.tell_relay() IS
'Makes the relay count dead letters and gaps again when the transaction commits.';
CREATE TRIGGER tell_relay AFTER DELETE OR TRUNCATE ON hcevents.dead_letter_store
    FOR EACH STATEMENT EXECUTE FUNCTION hcevents.tell_relay();
CREATE TRIGGER tell_relay AFTER UPDATE OR DELETE OR TRUNCATE ON hcevents.gap_log
    FOR EACH STATEMENT EXECUTE FUNCTION hcevents.tell_relay();
CREATE TRIGGER tell_relay AFTER INSERT ON hcevents.counter_changes
    FOR EACH STATEMENT EXECUTE FUNCTION hcevents.tell_relay();
/* also where triggers are switched off by session_replication_role */
ALTER TABLE hcevents.dead_letter_store ENABLE ALWAYS TRIGGER tell_relay;
ALTER TABLE hcevents.gap_log ENABLE ALWAYS TRIGGER tell_relay;
ALTER TABLE hcevents.counter_changes ENABLE ALWAYS TRIGGER tell_relay;

/*
 * Who calls a function that runs as its owner: what SET ROLE says, else the
 * session's user.
 */
CREATE FUNCTION hcevents.calling_role() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE pg_catalog.current_setting('role')
        WHEN 'none' THEN session_user::pg_catalog.text
        WHEN session_user::pg_catalog.text THEN session_user::pg_catalog.text
        ELSE pg_catalog.format('%s (session user %s)',
                               pg_catalog.current_setting('role'), session_user)
        END;
END;
REVOKE ALL ON FUNCTION hcevents.calling_role() FROM PUBLIC;
COMMENT ON FUNCTION hcevents.calling_role() IS
'Who calls, for audit lines.';

CREATE FUNCTION hcevents.audit(message text) RETURNS void
    LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_audit';
REVOKE ALL ON FUNCTION hcevents.audit(text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.audit(text) IS
'Writes a line into the server log, without the statement.';

/*
 * The letters that are meant, locked.  Only those that the stored position
 * covers: others would come again from the journal after a crash.
 */
CREATE FUNCTION hcevents.choose_dead_letters(ids bigint[], event_type text,
                                             since timestamptz,
                                             until timestamptz)
    RETURNS SETOF hcevents.dead_letter_store
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    settled record;
    letter hcevents.dead_letter_store;
    unsettled bigint := 0;
BEGIN
    IF num_nulls(choose_dead_letters.ids, choose_dead_letters.event_type,
                 choose_dead_letters.since, choose_dead_letters.until) = 4 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'all arguments are NULL',
            HINT = 'Say which dead letters are meant: ids, event_type, since or until. All of them: since => ''-infinity''.';
    END IF;
    SELECT p.epoch, p.commit_lsn, p.event_index INTO STRICT settled
    FROM hcevents.position AS p;
    FOR letter IN
        SELECT d.* FROM hcevents.dead_letter_store AS d
        WHERE d.retried_time IS NULL
            AND (choose_dead_letters.ids IS NULL
                 OR d.id = ANY (choose_dead_letters.ids))
            AND (choose_dead_letters.event_type IS NULL
                 OR d.event_type = choose_dead_letters.event_type)
            AND (choose_dead_letters.since IS NULL
                 OR d.last_failed_time >= choose_dead_letters.since)
            AND (choose_dead_letters.until IS NULL
                 OR d.last_failed_time < choose_dead_letters.until)
        ORDER BY d.id
        FOR UPDATE
    LOOP
        IF (letter.epoch, letter.commit_lsn, letter.event_index)
            < (settled.epoch, settled.commit_lsn, settled.event_index) THEN
            RETURN NEXT letter;
        ELSE
            unsettled := unsettled + 1;
        END IF;
    END LOOP;
    IF unsettled > 0 THEN
        RAISE NOTICE USING
            MESSAGE = format('dead letters left alone: %s, events before them are not settled yet', unsettled),
            HINT = 'Call again when hcevents.flush() returns true.';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION hcevents.choose_dead_letters(bigint[], text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.choose_dead_letters(bigint[], text, timestamptz, timestamptz) IS
'The part that retry_dead_letters() and discard_dead_letters() share.';

CREATE FUNCTION hcevents.parked_bytes(envelope text, key text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.octet_length(envelope)
        OPERATOR(pg_catalog.+) coalesce(pg_catalog.octet_length(key), 0)
        OPERATOR(pg_catalog.+) 200;
END;
REVOKE ALL ON FUNCTION hcevents.parked_bytes(text, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.parked_bytes(text, text) IS
'What a parked event counts against hcevents.max_parked_size.';

CREATE FUNCTION hcevents.retry_dead_letters(ids bigint[] DEFAULT NULL,
                                            event_type text DEFAULT NULL,
                                            since timestamptz DEFAULT NULL,
                                            until timestamptz DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    moved bigint[] := '{}';
    empty bigint := 0;
    nameless bigint := 0;
    letter hcevents.dead_letter_store;
    topic text;
BEGIN
    FOR letter IN
        SELECT * FROM hcevents.choose_dead_letters(ids, event_type, since, until)
    LOOP
        topic := hcevents.topic_name(letter.event_type,
                                     coalesce(letter.source_schema, ''));
        IF letter.envelope IS NULL THEN
            empty := empty + 1;
        ELSIF topic IS NULL THEN
            nameless := nameless + 1;
        ELSE
            INSERT INTO hcevents.parked_store (timeline, commit_lsn,
                event_index, epoch, event_id, event_type, topic, source_table,
                key, headers, envelope, commit_time, parked_time, cause)
            VALUES (letter.timeline, letter.commit_lsn, letter.event_index,
                letter.epoch, letter.event_id, letter.event_type, topic,
                letter.source_table, letter.key, letter.headers,
                letter.envelope, letter.commit_time, clock_timestamp(),
                'retried');
            INSERT INTO hcevents.counter_changes
            VALUES (letter.event_type, topic, -1, 1, 1,
                hcevents.parked_bytes(letter.envelope, letter.key));
            moved := moved || letter.id;
        END IF;
    END LOOP;
    UPDATE hcevents.dead_letter_store AS d
    SET retried_time = clock_timestamp(), key = NULL, headers = NULL,
        envelope = NULL
    WHERE d.id = ANY (moved);

    IF empty > 0 THEN
        RAISE NOTICE USING
            MESSAGE = format('dead letters without an envelope, which cannot be retried: %s', empty),
            HINT = 'They failed at capture, were forgotten, or are older than hcevents.dead_letter_retention. Publish them by hand, or discard them.';
    END IF;
    IF nameless > 0 THEN
        RAISE NOTICE USING
            MESSAGE = format('dead letters for which the settings make no valid topic name: %s', nameless),
            HINT = 'Change hcevents.topic or hcevents.topic_prefix, and retry them in a new session.';
    END IF;
    IF moved <> '{}' THEN
        PERFORM hcevents.audit(format(
            'role %s retries dead letters of hcevents: %s, ids %s to %s',
            hcevents.calling_role(), cardinality(moved), moved[1],
            moved[cardinality(moved)]));
    END IF;
    RETURN cardinality(moved);
END
$$;
REVOKE ALL ON FUNCTION hcevents.retry_dead_letters(bigint[], text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.retry_dead_letters(bigint[], text, timestamptz, timestamptz) IS
'Has dead letters sent again, to the topics that the settings now make: those that meet all arguments given (since <= last_failed_time < until). Returns how many. One that fails again is a dead letter again, with one more attempt.';

CREATE FUNCTION hcevents.discard_dead_letters(ids bigint[] DEFAULT NULL,
                                              event_type text DEFAULT NULL,
                                              since timestamptz DEFAULT NULL,
                                              until timestamptz DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    chosen bigint[];
BEGIN
    chosen := ARRAY(SELECT c.id
                    FROM hcevents.choose_dead_letters(ids, event_type, since,
                                                      until) AS c
                    ORDER BY c.id);
    IF chosen = '{}' THEN
        RETURN 0;
    END IF;
    DELETE FROM hcevents.dead_letter_store AS d WHERE d.id = ANY (chosen);
    PERFORM hcevents.audit(format(
        'role %s discards dead letters of hcevents: %s, ids %s to %s',
        hcevents.calling_role(), cardinality(chosen), chosen[1],
        chosen[cardinality(chosen)]));
    RETURN cardinality(chosen);
END
$$;
REVOKE ALL ON FUNCTION hcevents.discard_dead_letters(bigint[], text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.discard_dead_letters(bigint[], text, timestamptz, timestamptz) IS
'Removes dead letters for good: those that meet all arguments given (since <= last_failed_time < until). Returns how many. They stay counted as dead in hcevents.delivery_stats.';

CREATE FUNCTION hcevents.forget(resource text, key text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    dead bigint;
    parked bigint;
    unsettled bigint;
BEGIN
    IF num_nulls(forget.resource, forget.key) > 0 THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'resource and key must not be NULL',
            HINT = 'Name one resource, such as hcevents.forget(''patient'', ''123'').';
    END IF;
    UPDATE hcevents.dead_letter_store AS d
    SET key = NULL, headers = NULL, envelope = NULL, reason = 'forgotten',
        error = 'erased by hcevents.forget()'
    WHERE split_part(d.event_type, '.', 1) = forget.resource
        AND d.key = forget.key;
    GET DIAGNOSTICS dead = ROW_COUNT;

    /* those that the position does not cover would come again from the journal */
    WITH taken AS (
        DELETE FROM hcevents.parked_store AS p USING hcevents.position AS s
        WHERE split_part(p.event_type, '.', 1) = forget.resource
            AND p.key = forget.key
            AND (p.epoch, p.commit_lsn, p.event_index)
                < (s.epoch, s.commit_lsn, s.event_index)
        RETURNING p.*
    ), counted AS (
        INSERT INTO hcevents.counter_changes
        SELECT t.event_type, t.topic, count(*), -count(*), -count(*),
            -sum(hcevents.parked_bytes(t.envelope, t.key))
        FROM taken AS t GROUP BY t.event_type, t.topic
    )
    INSERT INTO hcevents.dead_letter_store AS d (event_id, event_type, topic,
        source_table, reason, error, size, timeline, epoch, commit_lsn,
        event_index, commit_time, first_failed_time, last_failed_time)
    SELECT t.event_id, t.event_type, t.topic, t.source_table, 'forgotten',
        'erased by hcevents.forget()', octet_length(t.envelope), t.timeline,
        t.epoch, t.commit_lsn, t.event_index, t.commit_time,
        clock_timestamp(), clock_timestamp()
    FROM taken AS t
    ON CONFLICT (event_id) DO UPDATE
    SET reason = excluded.reason, error = excluded.error, key = NULL,
        headers = NULL, envelope = NULL, retried_time = NULL,
        last_failed_time = excluded.last_failed_time;
    GET DIAGNOSTICS parked = ROW_COUNT;

    SELECT count(*) INTO unsettled FROM hcevents.parked_store AS p
    WHERE split_part(p.event_type, '.', 1) = forget.resource
        AND p.key = forget.key;
    IF unsettled > 0 THEN
        RAISE NOTICE USING
            MESSAGE = format('parked events left alone: %s, events before them are not settled yet', unsettled),
            HINT = 'Call again when hcevents.flush() returns true.';
    END IF;

    PERFORM hcevents.audit(format(
        'role %s has hcevents forget one resource: dead letters %s, parked events %s',
        hcevents.calling_role(), dead, parked));
    RETURN dead + parked;
END
$$;
REVOKE ALL ON FUNCTION hcevents.forget(text, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.forget(text, text) IS
'Erases key and payload of all dead letters and parked events of one resource, such as forget(''patient'', ''123''). Returns how many events. Their metadata stays, as dead letters with the reason "forgotten". The journal and Kafka are not touched; parked events that are not settled are left, with a NOTICE.';

CREATE FUNCTION hcevents.event_payload(event_id uuid) RETURNS text
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM hcevents.audit(format('role %s reads the payload of event %s',
                                  hcevents.calling_role(),
                                  event_payload.event_id));
    RETURN (
        SELECT e.envelope
        FROM (SELECT d.envelope FROM hcevents.dead_letter_store AS d
              WHERE d.event_id = event_payload.event_id
              UNION ALL
              SELECT p.envelope FROM hcevents.parked_store AS p
              WHERE p.event_id = event_payload.event_id) AS e
        WHERE e.envelope IS NOT NULL
        LIMIT 1);
END
$$;
REVOKE ALL ON FUNCTION hcevents.event_payload(uuid) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.event_payload(uuid) IS
'The envelope of a dead letter or parked event; NULL when there is none. Each call is in the server log with role and event id.';

CREATE FUNCTION hcevents.acknowledge_gap(id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    gap record;
BEGIN
    SELECT g.acknowledged_by, g.acknowledged_time INTO gap
    FROM hcevents.gap_log AS g WHERE g.id = acknowledge_gap.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('there is no gap with the id %s', acknowledge_gap.id),
            HINT = 'The view hcevents.gaps has the ids.';
    END IF;
    IF gap.acknowledged_time IS NOT NULL THEN
        RAISE NOTICE 'gap % is acknowledged already, by % at %',
            acknowledge_gap.id, gap.acknowledged_by, gap.acknowledged_time;
        RETURN;
    END IF;
    UPDATE hcevents.gap_log AS g
    SET acknowledged_by = hcevents.calling_role(),
        acknowledged_time = clock_timestamp()
    WHERE g.id = acknowledge_gap.id;
    PERFORM hcevents.audit(format('role %s acknowledges gap %s of hcevents',
                                  hcevents.calling_role(),
                                  acknowledge_gap.id));
END
$$;
REVOKE ALL ON FUNCTION hcevents.acknowledge_gap(bigint) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.acknowledge_gap(bigint) IS
'Says that somebody has dealt with a gap: it stays in hcevents.gaps with role and time, and hcevents.status and hcevents.check() count it no more.';

/* ---- who may do what ---- */

/*
 * The objects of a level.  "monitor" is what pg_monitor has, so that it can
 * never lag behind it; the levels have nothing in common, so that revoking
 * one takes nothing from another.
 */
CREATE FUNCTION hcevents.access_objects(level text)
    RETURNS TABLE (privilege text, object text)
    LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    functions text[];
BEGIN
    CASE access_objects.level
        WHEN 'monitor' THEN
            RETURN QUERY
            SELECT 'SELECT', c.oid::regclass::text
            FROM pg_class AS c, aclexplode(c.relacl) AS a
            WHERE c.relnamespace = 'hcevents'::regnamespace
                AND a.grantee = 'pg_monitor'::regrole
                AND a.privilege_type = 'SELECT'
            UNION ALL
            SELECT 'EXECUTE', 'FUNCTION ' || p.oid::regprocedure::text
            FROM pg_proc AS p, aclexplode(p.proacl) AS a
            WHERE p.pronamespace = 'hcevents'::regnamespace
                AND a.grantee = 'pg_monitor'::regrole
            ORDER BY 1, 2;
            RETURN;
        WHEN 'attach' THEN
            functions := '{attach,attach_healthcore,detach}';
        WHEN 'publish' THEN
            functions := '{publish}';
        WHEN 'test' THEN
            functions := '{captured_events}';
        WHEN 'operate' THEN
            functions := '{pause,resume,retry_dead_letters,discard_dead_letters,acknowledge_gap,restart_relay,reset_stats,create_topics,make_topics}';
        ELSE
            RAISE invalid_parameter_value USING
                MESSAGE = format('unknown level "%s"', access_objects.level),
                HINT = 'The levels are monitor, attach, publish, operate and test.';
    END CASE;
    RETURN QUERY
    SELECT 'EXECUTE', 'FUNCTION ' || p.oid::regprocedure::text
    FROM pg_proc AS p
    WHERE p.pronamespace = 'hcevents'::regnamespace
        AND p.proname::text = ANY (functions)
    ORDER BY 2;
END
$$;
REVOKE ALL ON FUNCTION hcevents.access_objects(text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.access_objects(text) IS
'What a level of hcevents.grant_access() consists of.';

CREATE FUNCTION hcevents.change_access(grantee regrole, level text,
                                       command text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    owner oid;
    item record;
BEGIN
    SELECT e.extowner INTO STRICT owner
    FROM pg_extension AS e WHERE e.extname = 'hcevents';
    IF NOT pg_has_role(current_user, owner, 'USAGE') THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'only the owner of the extension hcevents may change access to it',
            HINT = 'Ask a superuser, or the role that created the extension.';
    END IF;
    IF num_nulls(change_access.grantee, change_access.level) > 0 THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'grantee and level must not be NULL',
            HINT = 'The levels are monitor, attach, publish, operate and test.';
    END IF;
    FOR item IN
        SELECT o.privilege, o.object
        FROM hcevents.access_objects(change_access.level) AS o
    LOOP
        EXECUTE format(change_access.command, item.privilege, item.object,
                       change_access.grantee);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION hcevents.change_access(regrole, text, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.change_access(regrole, text, text) IS
'The part that grant_access() and revoke_access() share.';

CREATE FUNCTION hcevents.grant_access(grantee regrole, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM hcevents.change_access(grantee, level, 'GRANT %s ON %s TO %s');
END
$$;
REVOKE ALL ON FUNCTION hcevents.grant_access(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.grant_access(regrole, text) IS
'Grants a role what a level needs: monitor (read the views, check), attach (tables that it owns), publish (by hand), operate (pause, retry, discard, acknowledge, restart, create topics) or test (see the events of its own transactions).';

CREATE FUNCTION hcevents.revoke_access(grantee regrole, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM hcevents.change_access(grantee, level, 'REVOKE %s ON %s FROM %s');
END
$$;
REVOKE ALL ON FUNCTION hcevents.revoke_access(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION hcevents.revoke_access(regrole, text) IS
'Takes back what hcevents.grant_access() has granted.';

/* ---- who made which table publish ---- */

CREATE TABLE hcevents.attachment_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time timestamptz NOT NULL,
    role text NOT NULL,
    session_role text NOT NULL,
    action text NOT NULL,
    table_oid oid NOT NULL,
    table_name text NOT NULL,
    resource text NOT NULL,
    columns_before text[],
    columns_after text[]
);
COMMENT ON TABLE hcevents.attachment_log IS
'Each change of what publishes: attach, replace and detach, also by CREATE and DROP TRIGGER; rename and skip, when columns were renamed or dropped; and drop of the table. Rows are only ever added.';
COMMENT ON COLUMN hcevents.attachment_log.resource IS
'What the attachment publishes; ? for a trigger whose arguments made no sense.';
COMMENT ON COLUMN hcevents.attachment_log.columns_after IS
'The column list of the attachment, as attach() takes it: names, never values.';
REVOKE ALL ON hcevents.attachment_log FROM PUBLIC;
GRANT SELECT ON hcevents.attachment_log TO pg_monitor;

CREATE FUNCTION hcevents.append_only() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RAISE insufficient_privilege USING
        MESSAGE = format('%s.%s is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME),
        HINT = 'It is an audit log: rows are neither changed nor removed.';
END
$$;
REVOKE ALL ON FUNCTION hcevents.append_only() FROM PUBLIC;
COMMENT ON FUNCTION hcevents.append_only() IS
'Refuses UPDATE, DELETE and TRUNCATE, also to superusers.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON hcevents.attachment_log
    FOR EACH STATEMENT EXECUTE FUNCTION hcevents.append_only();
ALTER TABLE hcevents.attachment_log ENABLE ALWAYS TRIGGER append_only;

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
                WHEN relay.state = 'standby' AND relay.waiting_for IS NULL
                    THEN 'ok'
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
               WHEN 'paused' THEN 'hcevents.resume() lets it go on. A copied database or data directory publishes nothing, so that it cannot be taken for the original: if this one replaces the original, or is to be one of its own, hcevents.resume() makes it so; for a data directory that was moved ALTER DATABASE ... SET hcevents.detect_copies = off takes it for the original. If it is to publish nothing, drop the extension here.'
               WHEN 'disabled' THEN 'Set hcevents.enabled = on.'
               WHEN 'standby' THEN 'The primary delivers; this server goes on from its position after a promotion.'
               WHEN 'excluded' THEN 'Events of this database are captured and not delivered, because hcevents.excluded_databases matches its name. For tests that is right, see hcevents.captured_events(); if it is to publish, change that setting in postgresql.conf and reload, or rename the database.'
               WHEN 'failed' THEN
                   CASE WHEN relay.waiting_for LIKE '%max_worker_processes%'
                       THEN 'Raise max_worker_processes and restart the server, or end background workers that are not needed.'
                        WHEN relay.waiting_for LIKE '%max_replication_slots%'
                       THEN 'Drop a replication slot that nobody needs, or raise max_replication_slots and restart the server.'
                       ELSE 'The launcher starts it again; the server log says why it ended.' END
               WHEN 'stopped' THEN
                   CASE WHEN relay.waiting_for IS NULL
                       THEN 'See the check "launcher" and the server log.'
                       ELSE 'The relay starts when what it waits for has come.' END
           END;

    /* A database that nobody can connect to is seen from another one only. */
    RETURN QUERY
    SELECT 'other_relays',
           CASE WHEN s.names IS NULL THEN 'ok' ELSE 'error' END,
           coalesce('no relay runs for: ' || s.names,
                    'no other database with hcevents lacks its relay'),
           CASE WHEN s.names IS NOT NULL
               THEN 'Their WAL is kept and not bounded by hcevents.max_retained_wal. The server log says what to do: "no relay runs for database".'
           END
    FROM (SELECT string_agg(format('%s (waits for %s%s)', o.datname,
                                o.waiting_for,
                                ', ' || pg_size_pretty(o.retained_wal_bytes)
                                || ' of WAL retained'), ', '
                            ORDER BY o.datname) AS names
          FROM hcevents.status AS o
          WHERE o.datname <> current_database() AND o.relay_pid IS NULL
              AND o.state IN ('stopped', 'failed')
              AND o.waiting_for IS NOT NULL) AS s;
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
    wanted text;
BEGIN
    /* an excluded database has none, and should not */
    IF EXISTS (SELECT FROM hcevents.status AS s
               WHERE s.datname = current_database()
                   AND s.state = 'excluded') THEN
        RETURN;
    END IF;
    SELECT coalesce(nullif(current_setting('hcevents.slot_name'), ''),
                    'hcevents_' || d.oid::text) INTO wanted
    FROM pg_database AS d
    WHERE d.datname = current_database();
    SELECT r.slot_name, r.active, r.wal_status, r.restart_lsn INTO slot
    FROM pg_replication_slots AS r
    WHERE r.slot_name = wanted;

    SELECT count(*) INTO slots FROM pg_replication_slots;
    RETURN QUERY
    SELECT 'max_replication_slots',
           CASE WHEN slots < slot_limit OR slot.slot_name IS NOT NULL
               THEN 'ok' ELSE 'error' END,
           format('%s of %s replication slots are in use', slots, slot_limit),
           CASE WHEN slots >= slot_limit THEN
               'Another database''s relay would find none. Increase max_replication_slots, and restart the server.'
           END;

    RETURN QUERY
    SELECT 'failover_slot', 'ok',
           format('%s is kept by the primary''s relay, and by each hot standby that has the library', wanted),
           format(E'Patroni drops slots it does not know. Put into its configuration:\nignore_slots:\n- name: %1$s\n  type: physical\nOr, for standbys without hot_standby or without the library, so that Patroni keeps the slot itself:\nslots:\n  %1$s:\n    type: physical', wanted);

    IF slot.slot_name IS NULL THEN
        RETURN QUERY VALUES ('slot', 'error',
            'the relay''s replication slot does not exist',
            'The relay makes it when it starts; WAL that was removed meanwhile is recorded in hcevents.gaps.');
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'slot',
           CASE WHEN slot.wal_status = 'lost' THEN 'error'
                WHEN slot.wal_status = 'unreserved'
                    OR NOT slot.active AND NOT pg_is_in_recovery()
                    THEN 'warning'
                ELSE 'ok' END,
           format('%s is %s, its WAL is %s', slot.slot_name,
                  CASE WHEN slot.active THEN 'held by the relay'
                       ELSE 'held by nobody' END,
                  coalesce(slot.wal_status, 'not reserved')),
           CASE WHEN slot.wal_status IN ('lost', 'unreserved')
               THEN 'More WAL was written than max_slot_wal_keep_size keeps; what was not delivered is recorded in hcevents.gaps.'
                WHEN NOT slot.active AND NOT pg_is_in_recovery()
                    THEN 'See the check "relay".'
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
               THEN format('stretches of journal that were lost and are not acknowledged: %s', relay.gaps)
               ELSE 'no journal was lost, or it is acknowledged' END,
           CASE WHEN relay.gaps > 0
               THEN 'hcevents.gaps has time and cause of each; consumers lack the events committed then. hcevents.acknowledge_gap() when that is dealt with.'
           END;
    RETURN QUERY
    SELECT 'dead_letters',
           CASE WHEN relay.dead > 0 THEN 'warning' ELSE 'ok' END,
           format('events that could not be delivered: %s',
                  coalesce(relay.dead, 0)),
           CASE WHEN relay.dead > 0
               THEN 'hcevents.dead_letters has the reason of each. Mend it and call hcevents.retry_dead_letters(), or hcevents.discard_dead_letters().' END;
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
    IF EXISTS (SELECT FROM hcevents.status AS s
               WHERE s.datname = current_database()
                   AND s.state = 'excluded') THEN
        RETURN QUERY VALUES ('brokers', 'ok',
            'not asked, the database is excluded', NULL::text);
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

CREATE FUNCTION hcevents.check_connection()
    RETURNS TABLE ("check" text, status text, detail text, hint text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'hcevents_check_connection';
COMMENT ON FUNCTION hcevents.check_connection() IS
'The part of hcevents.check() about the options of the connection to Kafka.';

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
                                'losses', 'settings', 'connection',
                                'brokers']
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
    hcevents.check_connection(), hcevents.check_brokers(), hcevents.check()
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hcevents.topic_name(text, text),
    hcevents.describe_topics(text[]), hcevents.expected_topics(),
    hcevents.topics(), hcevents.process_state(), hcevents.check_server(),
    hcevents.check_relay(), hcevents.check_slot(),
    hcevents.check_attachments(), hcevents.check_losses(),
    hcevents.check_settings(), hcevents.check_connection(),
    hcevents.check_brokers(), hcevents.check()
    TO pg_monitor;
