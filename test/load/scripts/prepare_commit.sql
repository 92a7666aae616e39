-- New rows only: a prepared transaction that a crash leaves behind must not
-- stop the other clients.
\set number random(1, 4000000000000000000)
BEGIN;
INSERT INTO patients (name) SELECT any_name() FROM generate_series(1, 3);
SAVEPOINT a;
INSERT INTO patients (name) VALUES (any_name());
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO patients (name) VALUES (any_name());
RELEASE b;
PREPARE TRANSACTION 'hce-:client_id-:number';
INSERT INTO patients (name) VALUES (any_name());
COMMIT PREPARED 'hce-:client_id-:number';
