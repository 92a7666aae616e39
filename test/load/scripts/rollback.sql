-- Nothing of this may ever arrive.
\set hot random(1, 200)
BEGIN;
INSERT INTO patients (name) SELECT any_name() FROM generate_series(1, 3);
UPDATE patients SET name = any_name() WHERE id = :hot;
INSERT INTO appointments (patient_id) VALUES (:hot);
ROLLBACK;
