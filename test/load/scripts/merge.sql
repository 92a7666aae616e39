-- ON CONFLICT and MERGE.
\set hot random(1, 200)
INSERT INTO patients (id, name) OVERRIDING SYSTEM VALUE
VALUES (:hot, any_name())
ON CONFLICT (id) DO UPDATE SET name = excluded.name;
MERGE INTO patients AS p
USING (VALUES (:hot), (-1)) AS wanted (id) ON p.id = wanted.id
WHEN MATCHED THEN UPDATE SET name = any_name()
WHEN NOT MATCHED THEN INSERT (name) VALUES (any_name());
