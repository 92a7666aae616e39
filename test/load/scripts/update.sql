-- One row twice in one transaction: two events, in this order.
\set hot random(1, 200)
BEGIN;
UPDATE patients SET name = any_name() WHERE id = :hot;
UPDATE patients SET name = any_name(), email = 'new@example.com'
 WHERE id = :hot;
COMMIT;
