CREATE TABLE patients (
    id      bigserial PRIMARY KEY,
    name    text NOT NULL,
    email   text UNIQUE,
    version int NOT NULL DEFAULT 1
);

CREATE TABLE appointments (
    id         bigserial PRIMARY KEY,
    patient_id bigint NOT NULL REFERENCES patients ON DELETE CASCADE
               DEFERRABLE INITIALLY DEFERRED,
    status     text NOT NULL,
    version    int NOT NULL DEFAULT 1
);
