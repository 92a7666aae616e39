-- A statement that fails as a whole after some of its rows.
DO $$
BEGIN
    INSERT INTO patients (name)
    SELECT CASE WHEN n < 20 THEN any_name() END
      FROM generate_series(1, 20) AS n;
EXCEPTION WHEN not_null_violation THEN
    INSERT INTO patients (name) VALUES (any_name());
END
$$;
