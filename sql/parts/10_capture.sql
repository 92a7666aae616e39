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
