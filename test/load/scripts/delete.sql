-- Their appointments go by ON DELETE CASCADE, which is no event.
\set skip random(0, 40)
DELETE FROM patients WHERE id IN
    (SELECT id FROM patients WHERE id > 200 ORDER BY id
     OFFSET :skip LIMIT 3 FOR UPDATE SKIP LOCKED);
