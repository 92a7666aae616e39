"""The steps of the ORM suite with sessions, see test/orm/README.md."""
import threading

from people import UNICODE_NAMES, email, people
from sqlalchemy import create_engine, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from .database import Step, database_url
from .models import Appointment, Patient

WRITERS = 8
PATIENTS_OF_A_WRITER = 25
NO_SUCH_PATIENT = 2 ** 40

engine = create_engine(database_url('psycopg'), pool_size=WRITERS,
                       pool_pre_ping=False)
NewSession: sessionmaker[Session] = sessionmaker(engine)


class ShouldHaveFailed(Exception):
    """Something that must fail has succeeded."""


def create():
    with NewSession.begin() as session:
        session.add(Patient(name='Jane Doe', email=email('create')))


def bulk_create():
    with NewSession.begin() as session:
        session.execute(insert(Patient),
                        [{'name': name, 'email': address}
                         for name, address in people('bulk', 100)])


def update_field():
    with NewSession.begin() as session:
        patient = session.scalars(
            select(Patient).filter_by(email=email('create'))).one()
        patient.email = email('changed')


def bulk_update():
    with NewSession.begin() as session:
        changed = session.execute(
            update(Patient).where(Patient.email.startswith('bulk.'))
            .values(version=Patient.version + 1)).rowcount
        assert changed == 100, changed


def upsert():
    rows = ([{'name': 'renamed', 'email': email('bulk', number)}
             for number in range(5)] +
            [{'name': name, 'email': address}
             for name, address in people('upsert', 5)])
    statement = postgresql.insert(Patient).values(rows)
    with NewSession.begin() as session:
        session.execute(statement.on_conflict_do_update(
            index_elements=[Patient.email],
            set_={'name': statement.excluded.name}))


def transition():
    with NewSession() as session:
        appointments = [Appointment() for _ in range(3)]
        session.add(Patient(name='Visitor', email=email('transition'),
                            appointments=appointments))
        session.commit()
        appointments[0].status = 'completed'
        session.commit()
        appointments[1].status = 'cancelled'
        session.commit()


def delete_cascade():
    with NewSession() as session:
        patient = Patient(name='Leaving', email=email('delete'),
                          appointments=[Appointment(), Appointment()])
        session.add(patient)
        session.commit()
        session.delete(patient)
        session.commit()
        assert session.scalar(
            select(func.count()).select_from(Appointment)
            .where(Appointment.patient_id == patient.id)) == 0


def nested_rollback():
    with NewSession.begin() as session:
        session.add(Patient(name='Stays', email=email('nested', 0)))
        session.flush()
        savepoint = session.begin_nested()
        session.add(Patient(name='Goes', email=email('nested', 1)))
        session.flush()
        savepoint.rollback()


def rollback():
    with NewSession() as session:
        session.add_all(Patient(name=name, email=address)
                        for name, address in people('rollback', 5))
        session.flush()
        session.rollback()


def failed_commit():
    with NewSession() as session:
        session.add(Patient(name='Unlucky', email=email('failed')))
        session.add(Appointment(patient_id=NO_SUCH_PATIENT))
        session.flush()
        try:
            session.commit()
        except IntegrityError as error:
            assert error.orig.sqlstate == '23503', error
        else:
            raise ShouldHaveFailed('COMMIT')


def raw_sql():
    with NewSession.begin() as session:
        session.execute(text('INSERT INTO patients (name, email) '
                             'VALUES (:name, :email)'),
                        {'name': 'Raw', 'email': email('raw')})


def concurrent():
    failures = []

    def write(writer):
        try:
            for name, address in people(f'writer{writer}',
                                        PATIENTS_OF_A_WRITER):
                with NewSession.begin() as session:
                    session.add(Patient(name=name, email=address))
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=[number])
               for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    if failures:
        raise failures[0]


def unicode():
    with NewSession.begin() as session:
        session.add_all(Patient(name=name, email=email('unicode', number))
                        for number, name in enumerate(UNICODE_NAMES))


def killed():
    with NewSession() as session:
        session.add_all(Patient(name=name, email=address)
                        for name, address in people('killed', 3))
        session.flush()
        pid = session.scalar(select(func.pg_backend_pid()))
        with engine.connect() as other:
            assert other.scalar(select(func.pg_terminate_backend(pid, 10000)))
        try:
            session.commit()
        except DBAPIError as error:
            assert error.connection_invalidated, error
        else:
            raise ShouldHaveFailed('COMMIT of an ended backend')
    with NewSession() as session:
        assert session.scalar(
            select(func.count()).select_from(Patient)
            .where(Patient.email.startswith('killed.'))) == 0


def update_by_primary_key():
    """SQLAlchemy's bulk UPDATE: rows with their keys, executemany."""
    with NewSession() as session:
        rows = session.scalars(
            insert(Patient).returning(Patient),
            [{'name': name, 'email': address}
             for name, address in people('keys', 10)]).all()
        changes = [{'id': patient.id, 'version': patient.version,
                    'name': 'by key'} for patient in rows]
        session.commit()
        session.execute(update(Patient), changes)
        session.commit()


STEPS = (create, bulk_create, update_field, bulk_update, upsert, transition,
         delete_cascade, nested_rollback, rollback, failed_commit, raw_sql,
         concurrent, unicode, killed, update_by_primary_key)


def main():
    current = Step(engine)
    for step in STEPS:
        current.begin(step.__name__)
        step()


if __name__ == '__main__':
    main()
