-- Cancelled, booked again (no event) and cancelled again: two events of one
-- key and topic in one transaction.
\set hot random(1, 200)
BEGIN;
INSERT INTO appointments (patient_id, status) VALUES (:hot, 'booked')
    RETURNING id \gset
UPDATE appointments SET status = 'cancelled' WHERE id = :id;
UPDATE appointments SET status = 'booked' WHERE id = :id;
UPDATE appointments SET status = 'cancelled' WHERE id = :id;
COMMIT;
