-- The ledger while migrations run: on top of ledger.sql.
--
-- A change is due only while the attachment's trigger is there, and with the
-- columns that it has.  Whoever changes a row holds a lock that attaching,
-- detaching and replacing the trigger conflict with, so the catalog says for
-- each change what was true for it.  Rows are read as jsonb, since the types
-- of columns, and the columns, change under sessions that have plans.
-- A column that is renamed after it was published keeps its published name.

CREATE FUNCTION public.ledger_attachment(target oid, resource text)
    RETURNS text
    LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.encode(t.tgargs, 'escape') FROM pg_catalog.pg_trigger t
     WHERE t.tgrelid = target AND t.tgname = 'hcevents_' || resource
$$;

CREATE OR REPLACE FUNCTION public.ledger_patient() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    arguments text := public.ledger_attachment(TG_RELID, 'patient');
    row_image jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD)
                                  ELSE to_jsonb(NEW) END;
    data      json;
BEGIN
    IF arguments IS NULL THEN
        RETURN NULL;
    ELSIF arguments LIKE '%phone%' THEN
        data := json_build_object('patient_id', row_image->'id',
                                  'name', row_image->'name',
                                  'email', row_image->'email',
                                  'version', row_image->'version',
                                  'phone', coalesce(row_image->'phone',
                                                    row_image->'telephone'));
    ELSE
        data := json_build_object('patient_id', row_image->'id',
                                  'name', row_image->'name',
                                  'email', row_image->'email',
                                  'version', row_image->'version');
    END IF;
    PERFORM public.ledger_note(
        'patient.' || CASE TG_OP WHEN 'INSERT' THEN 'created'
                                 WHEN 'UPDATE' THEN 'updated'
                                 ELSE 'deleted' END,
        (row_image->>'id')::bigint, (row_image->>'version')::int, data);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION public.ledger_appointment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    image  jsonb := to_jsonb(NEW);
    action text := 'booked';
BEGIN
    IF public.ledger_attachment(TG_RELID, 'appointment') IS NULL THEN
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        action := image->>'status';
        IF action = to_jsonb(OLD)->>'status'
           OR action NOT IN ('cancelled', 'completed') THEN
            RETURN NULL;
        END IF;
    END IF;
    PERFORM public.ledger_note(
        'appointment.' || action, (image->>'id')::bigint,
        (image->>'version')::int,
        json_build_object('appointment_id', image->'id',
                          'patient_id', image->'patient_id',
                          'status', image->'status',
                          'version', image->'version'));
    RETURN NULL;
END
$$;

CREATE FUNCTION public.ledger_visit() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.ledger_note(
        'visit.created', NEW.id, NEW.version,
        json_build_object('visit_id', NEW.id, 'reason', NEW.reason,
                          'version', NEW.version));
    RETURN NULL;
END
$$;
