-- The verifier's ledger (test/verify/schema.sql) for tables that an ORM made:
-- row triggers of its own note the event that each change must give, in the
-- transaction of the change.  Besides, with each:
--
--   step   the program's step, from application_name
--   tried  a sequence for each step counts changes, also those rolled back
--
-- The functions name no table, so that a migration may rename it.  The harness
-- makes the sequences (ledger_tried.STEP): a change under any other
-- application_name is an error of the program.

CREATE SCHEMA ledger_tried;

CREATE TABLE public.ledger (
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    event_type text NOT NULL,
    key        text NOT NULL,
    version    int NOT NULL,
    data       json NOT NULL,
    step       text NOT NULL
);

CREATE FUNCTION public.ledger_raise_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.ledger_note(event_type text, key bigint, version int,
                                   data json) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    step  text := current_setting('application_name');
    tried regclass := to_regclass(format('ledger_tried.%I', step));
BEGIN
    IF tried IS NULL THEN
        RAISE 'a change outside of the steps: application_name is "%"', step;
    END IF;
    PERFORM nextval(tried);
    INSERT INTO public.ledger (event_type, key, version, data, step)
    VALUES (ledger_note.event_type, ledger_note.key, ledger_note.version,
            ledger_note.data, step);
END
$$;

CREATE FUNCTION public.ledger_patient() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    subject record;
    action  text;
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN subject := NEW; action := 'created';
        WHEN 'UPDATE' THEN subject := NEW; action := 'updated';
        WHEN 'DELETE' THEN subject := OLD; action := 'deleted';
    END CASE;
    PERFORM public.ledger_note(
        'patient.' || action, subject.id, subject.version,
        json_build_object('patient_id', subject.id, 'name', subject.name,
                          'email', subject.email,
                          'version', subject.version));
    RETURN NULL;
END
$$;

CREATE FUNCTION public.ledger_appointment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    action text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        action := 'booked';
    ELSIF NEW.status IS DISTINCT FROM OLD.status
          AND NEW.status IN ('cancelled', 'completed') THEN
        action := NEW.status;
    ELSE
        RETURN NULL;
    END IF;
    PERFORM public.ledger_note(
        'appointment.' || action, NEW.id, NEW.version,
        json_build_object('appointment_id', NEW.id,
                          'patient_id', NEW.patient_id,
                          'status', NEW.status, 'version', NEW.version));
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_version BEFORE UPDATE ON public.patients
    FOR EACH ROW EXECUTE FUNCTION public.ledger_raise_version();
CREATE TRIGGER ledger_version BEFORE UPDATE ON public.appointments
    FOR EACH ROW EXECUTE FUNCTION public.ledger_raise_version();
CREATE TRIGGER ledger_note AFTER INSERT OR UPDATE OR DELETE
    ON public.patients
    FOR EACH ROW EXECUTE FUNCTION public.ledger_patient();
CREATE TRIGGER ledger_note AFTER INSERT OR UPDATE ON public.appointments
    FOR EACH ROW EXECUTE FUNCTION public.ledger_appointment();

-- The counts of a run, in the form of the file "expected".
CREATE FUNCTION public.ledger_counts()
    RETURNS TABLE (step text, what text, number bigint)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tried name;
BEGIN
    RETURN QUERY SELECT l.step, l.event_type, count(*)
        FROM public.ledger l GROUP BY 1, 2;
    FOR tried IN SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'ledger_tried'::regnamespace
          AND c.relkind = 'S'
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, ''tried''::text,
                    CASE WHEN is_called THEN last_value ELSE 0 END
               FROM ledger_tried.%I', tried, tried);
    END LOOP;
END
$$;
