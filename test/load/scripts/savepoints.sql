-- Savepoints released and rolled back, nested, before, between and after
-- rows.  A version that was rolled back is given to another update later: a
-- phantom shows as a duplicate of it.
\set hot random(1, 200)
BEGIN;
SAVEPOINT nothing;
RELEASE nothing;
UPDATE patients SET name = any_name() WHERE id = :hot;
SAVEPOINT a;
UPDATE patients SET name = any_name() WHERE id = :hot;
SAVEPOINT b;
INSERT INTO patients (name) VALUES (any_name());
ROLLBACK TO b;
UPDATE patients SET name = any_name() WHERE id = :hot;
RELEASE a;
SAVEPOINT c;
UPDATE patients SET name = any_name() WHERE id = :hot;
SAVEPOINT d;
UPDATE patients SET name = any_name() WHERE id = :hot;
SAVEPOINT e;
INSERT INTO appointments (patient_id) VALUES (:hot);
RELEASE e;
RELEASE d;
ROLLBACK TO c;
SAVEPOINT f;
INSERT INTO appointments (patient_id) VALUES (:hot);
RELEASE f;
UPDATE patients SET name = any_name() WHERE id = :hot;
SAVEPOINT g;
UPDATE patients SET name = any_name() WHERE id = :hot;
ROLLBACK TO g;
COMMIT;
