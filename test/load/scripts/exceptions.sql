-- EXCEPTION blocks are sub-transactions too, here five deep.
\set hot random(1, 200)
DO $$
BEGIN
    FOR i IN 1..5 LOOP
        BEGIN
            UPDATE patients SET name = any_name() WHERE id = :hot;
            BEGIN
                INSERT INTO patients (name) VALUES (any_name());
                IF i % 2 = 0 THEN
                    PERFORM 1 / 0;
                END IF;
            EXCEPTION WHEN division_by_zero THEN
                INSERT INTO appointments (patient_id) VALUES (:hot);
            END;
            IF i = 3 THEN
                PERFORM 1 / 0;
            END IF;
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
END
$$;
