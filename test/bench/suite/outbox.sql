-- What the documentation of outbox relays recommends: a table, filled by a
-- trigger in the transaction of the change.  Columns as Debezium's outbox event
-- router expects them; "position" is for a relay that polls.
CREATE TABLE outbox (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            uuid NOT NULL DEFAULT gen_random_uuid(),
    aggregatetype text NOT NULL,
    aggregateid   text NOT NULL,
    type          text NOT NULL,
    payload       jsonb NOT NULL
);

CREATE FUNCTION outbox_patient() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject patients := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    action  text := CASE TG_OP WHEN 'INSERT' THEN 'created'
                               WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
BEGIN
    INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
    VALUES ('patient', subject.id, 'patient.' || action,
            jsonb_build_object('event_type', 'patient.' || action,
                               'timestamp', now(), 'version', '1.0',
                               'source', 'healthcore-api',
                               'data', jsonb_build_object('patient_id', subject.id,
                                                          'name', subject.name,
                                                          'email', subject.email)));
    RETURN NULL;
END
$$;
