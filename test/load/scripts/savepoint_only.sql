-- The only rows are in sub-transactions: the top one writes nothing.
BEGIN;
SAVEPOINT a;
INSERT INTO patients (name) VALUES (any_name());
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO patients (name) VALUES (any_name());
RELEASE b;
COMMIT;
