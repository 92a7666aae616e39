"""The steps of the ORM suite with asynchronous sessions.

See test/orm/README.md.
"""
import asyncio

from clinic.database import Step, database_url
from clinic.models import Appointment, Patient
from people import UNICODE_NAMES, email, people
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

WRITERS = 8
PATIENTS_OF_A_WRITER = 25
NO_SUCH_PATIENT = 2 ** 40

engine = create_async_engine(database_url('asyncpg'), pool_size=WRITERS)
# An expired attribute would be read again outside of an await.
NewSession = async_sessionmaker(engine, expire_on_commit=False)


class ShouldHaveFailed(Exception):
    """Something that must fail has succeeded."""


async def create():
    async with NewSession.begin() as session:
        session.add(Patient(name='Jane Doe', email=email('create')))


async def bulk_create():
    async with NewSession.begin() as session:
        await session.execute(insert(Patient),
                              [{'name': name, 'email': address}
                               for name, address in people('bulk', 100)])


async def update_field():
    async with NewSession.begin() as session:
        patient = (await session.scalars(
            select(Patient).filter_by(email=email('create')))).one()
        patient.email = email('changed')


async def bulk_update():
    async with NewSession.begin() as session:
        changed = (await session.execute(
            update(Patient).where(Patient.email.startswith('bulk.'))
            .values(version=Patient.version + 1))).rowcount
        assert changed == 100, changed


async def upsert():
    rows = ([{'name': 'renamed', 'email': email('bulk', number)}
             for number in range(5)] +
            [{'name': name, 'email': address}
             for name, address in people('upsert', 5)])
    statement = postgresql.insert(Patient).values(rows)
    async with NewSession.begin() as session:
        await session.execute(statement.on_conflict_do_update(
            index_elements=[Patient.email],
            set_={'name': statement.excluded.name}))


async def transition():
    async with NewSession() as session:
        appointments = [Appointment() for _ in range(3)]
        session.add(Patient(name='Visitor', email=email('transition'),
                            appointments=appointments))
        await session.commit()
        appointments[0].status = 'completed'
        await session.commit()
        appointments[1].status = 'cancelled'
        await session.commit()


async def delete_cascade():
    async with NewSession() as session:
        patient = Patient(name='Leaving', email=email('delete'),
                          appointments=[Appointment(), Appointment()])
        session.add(patient)
        await session.commit()
        await session.delete(patient)
        await session.commit()
        assert await session.scalar(
            select(func.count()).select_from(Appointment)
            .where(Appointment.patient_id == patient.id)) == 0


async def nested_rollback():
    async with NewSession.begin() as session:
        session.add(Patient(name='Stays', email=email('nested', 0)))
        await session.flush()
        savepoint = await session.begin_nested()
        session.add(Patient(name='Goes', email=email('nested', 1)))
        await session.flush()
        await savepoint.rollback()


async def rollback():
    async with NewSession() as session:
        session.add_all(Patient(name=name, email=address)
                        for name, address in people('rollback', 5))
        await session.flush()
        await session.rollback()


async def failed_commit():
    async with NewSession() as session:
        session.add(Patient(name='Unlucky', email=email('failed')))
        session.add(Appointment(patient_id=NO_SUCH_PATIENT))
        await session.flush()
        try:
            await session.commit()
        except IntegrityError as error:
            assert error.orig.sqlstate == '23503', error
        else:
            raise ShouldHaveFailed('COMMIT')


async def raw_sql():
    async with NewSession.begin() as session:
        await session.execute(text('INSERT INTO patients (name, email) '
                                   'VALUES (:name, :email)'),
                              {'name': 'Raw', 'email': email('raw')})


async def concurrent():
    async def write(writer):
        for name, address in people(f'writer{writer}', PATIENTS_OF_A_WRITER):
            async with NewSession.begin() as session:
                session.add(Patient(name=name, email=address))

    await asyncio.gather(*(write(number) for number in range(WRITERS)))


async def unicode():
    async with NewSession.begin() as session:
        session.add_all(Patient(name=name, email=email('unicode', number))
                        for number, name in enumerate(UNICODE_NAMES))


async def killed():
    async with NewSession() as session:
        session.add_all(Patient(name=name, email=address)
                        for name, address in people('killed', 3))
        await session.flush()
        pid = await session.scalar(select(func.pg_backend_pid()))
        async with engine.connect() as other:
            assert await other.scalar(
                select(func.pg_terminate_backend(pid, 10000)))
        try:
            await session.execute(select(1))
        except DBAPIError as error:
            assert error.connection_invalidated, error
        else:
            raise ShouldHaveFailed('a statement of an ended backend')
    async with NewSession() as session:
        assert await session.scalar(
            select(func.count()).select_from(Patient)
            .where(Patient.email.startswith('killed.'))) == 0


async def cancelled_task():
    """A task that is cancelled in its transaction, as a web server does
    when the client has gone."""
    reached = asyncio.Event()

    async def write():
        async with NewSession.begin() as session:
            session.add(Patient(name='Gone', email=email('gone')))
            await session.flush()
            reached.set()
            await session.execute(select(func.pg_sleep(60)))

    task = asyncio.create_task(write())
    await reached.wait()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    else:
        raise ShouldHaveFailed('a cancelled task')


STEPS = (create, bulk_create, update_field, bulk_update, upsert, transition,
         delete_cascade, nested_rollback, rollback, failed_commit, raw_sql,
         concurrent, unicode, killed, cancelled_task)


async def main():
    current = Step(engine.sync_engine)
    for step in STEPS:
        current.begin(step.__name__)
        await step()
    await engine.dispose()


if __name__ == '__main__':
    asyncio.run(main())
