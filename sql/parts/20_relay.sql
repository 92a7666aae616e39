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
    last_delivered_time timestamptz
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
    cause text NOT NULL
);
COMMENT ON TABLE hcevents.gap_log IS
'Stretches of journal that were lost; read hcevents.gaps.';

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

REVOKE ALL ON hcevents.position, hcevents.counters, hcevents.gap_log,
    hcevents.dead_letter_store FROM PUBLIC;

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
    OUT foreign_messages bigint)
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

/* ---- views ---- */

CREATE VIEW hcevents.delivery_stats AS
    SELECT event_type, topic, captured, delivered, pending, parked, dead,
           redelivered, bytes, per_second, oldest_pending_time,
           last_captured_time, last_delivered_time, p50_ms, p95_ms, p99_ms,
           last_error, last_error_time, stats_reset
    FROM hcevents.type_stats();
COMMENT ON VIEW hcevents.delivery_stats IS
'Delivery of this database''s events by type: captured = delivered + pending + parked + dead. Latencies are from commit to acknowledgement.';

CREATE VIEW hcevents.status AS
    SELECT s.datid, d.datname, s.relay_pid, s.state, s.waiting_for,
           s.settled_lsn, s.read_lsn, s.lag_bytes, s.lag_seconds,
           s.retained_wal_bytes, s.in_flight, 0::bigint AS parked, s.dead,
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
    SELECT id, from_lsn, to_lsn, from_time, to_time, cause
    FROM hcevents.gap_log;
COMMENT ON VIEW hcevents.gaps IS
'Stretches of journal that were lost, with their cause. Events committed in them were not delivered.';

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
