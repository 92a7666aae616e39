-- Moved first, which is no event, then completed, which is one.
BEGIN;
CREATE TEMPORARY TABLE due ON COMMIT DROP AS
    SELECT id FROM appointments WHERE status = 'booked' ORDER BY id
     LIMIT 2 FOR UPDATE SKIP LOCKED;
UPDATE appointments SET patient_id = patient_id
 WHERE id IN (SELECT id FROM due);
UPDATE appointments SET status = 'completed'
 WHERE id IN (SELECT id FROM due);
COMMIT;
