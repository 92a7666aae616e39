-- Enough for several journal records of one transaction.
BEGIN;
INSERT INTO patients (name, email)
SELECT any_name(), repeat('x', 400) FROM generate_series(1, 100);
SAVEPOINT a;
INSERT INTO patients (name, email)
SELECT any_name(), repeat('y', 400) FROM generate_series(1, 100);
ROLLBACK TO a;
INSERT INTO patients (name, email)
SELECT any_name(), repeat('z', 400) FROM generate_series(1, 100);
COMMIT;
