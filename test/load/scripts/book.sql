\set hot random(1, 200)
INSERT INTO appointments (patient_id)
VALUES (:hot), (:hot), (:hot), (:hot);
