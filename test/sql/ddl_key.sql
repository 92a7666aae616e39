-- A key that is not written down is the primary key: what becomes of it when
-- the primary key goes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE TABLE patients (id int PRIMARY KEY, email text NOT NULL, name text);
SELECT hcevents.attach('patients', 'patient', '{name}');

-- not another column in its place
ALTER TABLE patients DROP COLUMN id, ADD PRIMARY KEY (email);
ALTER TABLE patients DROP COLUMN id, ADD COLUMN number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE patients DROP COLUMN id, ADD COLUMN id int;
SELECT key, valid FROM hcevents.attachments;
-- the same column, made again
ALTER TABLE patients DROP COLUMN id, ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE patients ALTER COLUMN id TYPE int;
ALTER TABLE patients RENAME COLUMN id TO patient_id;
ALTER TABLE patients DROP CONSTRAINT patients_pkey, ADD PRIMARY KEY (patient_id);
SELECT key, valid FROM hcevents.attachments;

-- as long as the column is there, one is told
ALTER TABLE patients DROP CONSTRAINT patients_pkey;
SELECT valid FROM hcevents.attachments;
ALTER TABLE patients ADD PRIMARY KEY (patient_id);
ALTER TABLE patients DROP CONSTRAINT patients_pkey, ADD PRIMARY KEY (email);
ALTER TABLE patients DROP CONSTRAINT patients_pkey, ADD PRIMARY KEY (patient_id, email);
ALTER TABLE patients DROP CONSTRAINT patients_pkey, ADD PRIMARY KEY (email, patient_id);
SELECT key, valid FROM hcevents.attachments;
ALTER TABLE patients DROP COLUMN patient_id, ADD PRIMARY KEY (email);
SET hcevents.on_missing_column = skip;
ALTER TABLE patients DROP COLUMN patient_id, ADD PRIMARY KEY (email);
RESET hcevents.on_missing_column;

-- a key that is written down does not care
SELECT hcevents.attach('patients', 'patient', '{name}', key => '{patient_id}');
ALTER TABLE patients DROP CONSTRAINT patients_pkey;
ALTER TABLE patients ADD PRIMARY KEY (email);
ALTER TABLE patients DROP COLUMN email;
SELECT key, valid FROM hcevents.attachments;
DROP TABLE patients;

-- partitions: said once
CREATE TABLE logs (id int, region text, text text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_n PARTITION OF logs FOR VALUES IN ('n');
SELECT hcevents.attach('logs', 'log', '{text}');
ALTER TABLE logs DROP CONSTRAINT logs_pkey;
ALTER TABLE logs ADD PRIMARY KEY (region, id);
DROP TABLE logs;
