import assert from 'node:assert/strict';
import { DataSource, DeepPartial, EntityManager, Like } from 'typeorm';
import { Appointment, Patient } from './entities';
import { names } from './names';

const bulk = 100;

class Undo extends Error {}

const patient = (name: string, email: string): DeepPartial<Patient> =>
  ({ name, email: `${email}@example.com` });

const booked = (count: number): DeepPartial<Appointment>[] =>
  Array.from({ length: count }, () => ({ status: 'booked' }));

async function createSome(manager: EntityManager, prefix: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await manager.save(Patient, patient(`${prefix} ${i}`, `${prefix}-${i}`));
  }
}

async function create(db: DataSource): Promise<void> {
  await db.getRepository(Patient).save(patient('Ada Lovelace', 'ada'));
}

async function bulkCreate(db: DataSource): Promise<void> {
  const rows = Array.from({ length: bulk }, (_, i) => ({
    name: `Bulk ${i}`, email: `bulk-${i}@example.com`,
  }));
  await db.getRepository(Patient).insert(rows);
}

async function updateField(db: DataSource): Promise<void> {
  const patients = db.getRepository(Patient);
  const ada = await patients.findOneByOrFail({ email: 'ada@example.com' });
  ada.email = 'countess@example.com';
  await patients.save(ada);
}

async function bulkUpdate(db: DataSource): Promise<void> {
  const result = await db.getRepository(Patient)
    .increment({ email: Like('bulk-%') }, 'version', 1);
  assert.equal(result.affected, bulk);
}

// Every second of the ten is there already.
async function upsert(db: DataSource): Promise<void> {
  const rows = Array.from({ length: 5 }, (_, i) => [
    { name: `Known ${i}`, email: `bulk-${i}@example.com` },
    { name: `New ${i}`, email: `upsert-${i}@example.com` },
  ]).flat();
  await db.getRepository(Patient).upsert(rows, ['email']);
}

async function transition(db: DataSource): Promise<void> {
  const grace = await db.getRepository(Patient)
    .save({ ...patient('Grace Hopper', 'grace'), appointments: booked(3) });
  const appointments = db.getRepository(Appointment);
  const [first, second] = await appointments.find({
    where: { patient: { id: grace.id } }, order: { id: 'ASC' },
  });
  first.status = 'completed';
  await appointments.save(first);
  await appointments.update(second.id, { status: 'cancelled' });
}

async function deleteCascade(db: DataSource): Promise<void> {
  const patients = db.getRepository(Patient);
  const alan = await patients
    .save({ ...patient('Alan Turing', 'alan'), appointments: booked(2) });
  await patients.remove(await patients.findOneByOrFail({ id: alan.id }));
}

async function nestedRollback(db: DataSource): Promise<void> {
  await db.transaction(async (outer) => {
    await outer.save(Patient, patient('Outer', 'outer'));
    await assert.rejects(outer.transaction(async (inner) => {
      await inner.save(Patient, patient('Inner', 'inner'));
      throw new Undo();
    }), Undo);
  });
}

async function rollback(db: DataSource): Promise<void> {
  await assert.rejects(db.transaction(async (manager) => {
    await createSome(manager, 'rollback', 5);
    throw new Undo();
  }), Undo);
}

// The foreign key is checked at COMMIT.
async function failedCommit(db: DataSource): Promise<void> {
  let written = false;
  await assert.rejects(db.transaction(async (manager) => {
    await manager.save(Patient, patient('Nobody', 'nobody'));
    await manager.insert(Appointment, { patient: { id: '1099511627776' }, status: 'booked' });
    written = true;
  }), { code: '23503' });
  assert(written, 'the appointment was refused before COMMIT');
}

async function rawSql(db: DataSource): Promise<void> {
  await db.query('INSERT INTO patients (name, email) VALUES ($1, $2)', ['Raw', 'raw@example.com']);
}

async function concurrent(db: DataSource): Promise<void> {
  const writers = Array.from({ length: 8 }, (_, i) => createSome(db.manager, `writer-${i}`, 25));
  await Promise.all(writers);
}

async function unicode(db: DataSource): Promise<void> {
  for (const [i, name] of names.entries()) {
    await db.getRepository(Patient).save(patient(name, `unicode-${i}`));
  }
}

// An administrator ends the session in the middle of a transaction.
async function killed(db: DataSource): Promise<void> {
  let ended = false;
  await assert.rejects(db.transaction(async (manager) => {
    await createSome(manager, 'killed', 3);
    const [{ pid }] = await manager.query('SELECT pg_backend_pid() AS pid');
    [{ ended }] = await db.query('SELECT pg_terminate_backend($1, 30000) AS ended', [pid]);
  }));
  assert(ended, 'the session has not ended');
}

export const steps = {
  create,
  bulk_create: bulkCreate,
  update_field: updateField,
  bulk_update: bulkUpdate,
  upsert,
  transition,
  delete_cascade: deleteCascade,
  nested_rollback: nestedRollback,
  rollback,
  failed_commit: failedCommit,
  raw_sql: rawSql,
  concurrent,
  unicode,
  killed,
};
