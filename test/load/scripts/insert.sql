-- Several rows by one statement.
INSERT INTO patients (name, email)
SELECT any_name(), 'p' || n || '@example.com' FROM generate_series(1, 6) AS n;
