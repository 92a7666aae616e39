\set number random(1, 4000000000000000000)
BEGIN;
INSERT INTO patients (name) SELECT any_name() FROM generate_series(1, 3);
PREPARE TRANSACTION 'hce-:client_id-:number';
ROLLBACK PREPARED 'hce-:client_id-:number';
