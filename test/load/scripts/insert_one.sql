INSERT INTO patients (name, email) VALUES (any_name(), NULL);
