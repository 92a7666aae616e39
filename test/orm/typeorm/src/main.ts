// The clinic with TypeORM: patients and their appointments.
//
// main.js version | migrate | run. The database is that of the PG* variables.
import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { Appointment, Patient } from './entities';
import { steps } from './steps';

// Opens the database under an application name, and closes it again.
async function withDatabase(
  applicationName: string,
  work: (db: DataSource) => Promise<void>,
): Promise<void> {
  const db = new DataSource({
    type: 'postgres',
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT ?? 5432),
    database: process.env.PGDATABASE,
    username: process.env.PGUSER,
    applicationName,
    poolSize: 10,
    entities: [Patient, Appointment],
  });
  await db.initialize();
  try {
    await work(db);
  } finally {
    await db.destroy();
  }
}

function version(): void {
  const { typeorm, pg } = require('../package.json').dependencies;
  console.log(`TypeORM ${typeorm}, pg ${pg}, Node ${process.versions.node}`);
}

async function run(): Promise<void> {
  for (const [name, step] of Object.entries(steps)) {
    console.log(`step ${name}`);
    await withDatabase(name, step);
  }
}

async function main(command: string | undefined): Promise<void> {
  switch (command) {
    case 'version':
      return version();
    case 'migrate':
      return withDatabase('migrate', (db) => db.synchronize());
    case 'run':
      return run();
    default:
      throw new Error('usage: main.js version | migrate | run');
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
