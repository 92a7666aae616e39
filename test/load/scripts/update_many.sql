\set first random(1, 190)
UPDATE patients SET name = any_name() WHERE id IN
    (SELECT id FROM patients WHERE id BETWEEN :first AND :first + 4
      ORDER BY id FOR UPDATE);
