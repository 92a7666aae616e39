UPDATE appointments SET status = 'cancelled' WHERE id IN
    (SELECT id FROM appointments WHERE status = 'booked' ORDER BY id
     LIMIT 2 FOR UPDATE SKIP LOCKED);
