-- complain if script is sourced in psql rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION hcevents" to load this file. \quit

CREATE SCHEMA hcevents;
COMMENT ON SCHEMA hcevents IS
'hcevents: committed row changes as events in Apache Kafka.';
GRANT USAGE ON SCHEMA hcevents TO PUBLIC;

