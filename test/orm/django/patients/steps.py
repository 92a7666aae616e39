"""The steps of the ORM suite, see test/orm/README.md.

Ordinary use of Django's ORM, transaction by transaction.
"""
import threading

from django.db import (DatabaseError, IntegrityError, connection, models,
                       transaction)
from people import UNICODE_NAMES, email, people

from .models import Appointment, Patient

WRITERS = 8
PATIENTS_OF_A_WRITER = 25
NO_SUCH_PATIENT = 2 ** 40


class ShouldHaveFailed(Exception):
    """Something that must fail has succeeded."""


class Rollback(Exception):
    """Raised to roll a transaction back."""


def name_connection(step):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)",
                       [step])


def create():
    Patient.objects.create(name='Jane Doe', email=email('create'))


def bulk_create():
    Patient.objects.bulk_create(
        [Patient(name=name, email=address)
         for name, address in people('bulk', 100)])


def update_field():
    patient = Patient.objects.get(email=email('create'))
    patient.email = email('changed')
    patient.save(update_fields=['email'])


def bulk_update():
    changed = Patient.objects.filter(email__startswith='bulk.').update(
        version=models.F('version') + 1)
    assert changed == 100, changed


def upsert():
    rows = ([Patient(name='renamed', email=email('bulk', number))
             for number in range(5)] +
            [Patient(name=name, email=address)
             for name, address in people('upsert', 5)])
    Patient.objects.bulk_create(rows, update_conflicts=True,
                                unique_fields=['email'],
                                update_fields=['name'])


def transition():
    patient = Patient.objects.create(name='Visitor',
                                     email=email('transition'))
    done, off, _ = [Appointment.objects.create(patient=patient)
                    for _ in range(3)]
    done.status = Appointment.Status.COMPLETED
    done.save()
    off.status = Appointment.Status.CANCELLED
    off.save(update_fields=['status'])


def delete_cascade():
    patient = Patient.objects.create(name='Leaving', email=email('delete'))
    patient.appointments.create()
    patient.appointments.create()
    deleted, _ = patient.delete()
    assert deleted == 3, deleted


def nested_rollback():
    with transaction.atomic():
        Patient.objects.create(name='Stays', email=email('nested', 0))
        try:
            with transaction.atomic():
                Patient.objects.create(name='Goes', email=email('nested', 1))
                raise Rollback
        except Rollback:
            pass


def rollback():
    try:
        with transaction.atomic():
            for name, address in people('rollback', 5):
                Patient.objects.create(name=name, email=address)
            raise Rollback
    except Rollback:
        pass


def failed_commit():
    in_time = False
    try:
        with transaction.atomic():
            Patient.objects.create(name='Unlucky', email=email('failed'))
            Appointment.objects.create(patient_id=NO_SUCH_PATIENT)
            in_time = True
    except IntegrityError as error:
        # It is COMMIT that fails, not the INSERT.
        assert in_time and error.__cause__.sqlstate == '23503', error
    else:
        raise ShouldHaveFailed('COMMIT')


def raw_sql():
    with connection.cursor() as cursor:
        cursor.execute('INSERT INTO patients (name, email) VALUES (%s, %s)',
                       ['Raw', email('raw')])


def concurrent():
    failures = []

    def write(writer):
        try:
            name_connection('concurrent')
            for name, address in people(f'writer{writer}',
                                        PATIENTS_OF_A_WRITER):
                with transaction.atomic():
                    Patient.objects.create(name=name, email=address)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=[number])
               for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    if failures:
        raise failures[0]


def unicode():
    for number, name in enumerate(UNICODE_NAMES):
        Patient.objects.create(name=name, email=email('unicode', number))


def end_backend():
    """End the backend of the connection from another connection."""
    other = connection.copy()
    with connection.cursor() as cursor:
        cursor.execute('SELECT pg_backend_pid()')
        pid = cursor.fetchone()[0]
    with other.cursor() as cursor:
        cursor.execute('SELECT pg_terminate_backend(%s, 10000)', [pid])
        assert cursor.fetchone()[0], 'the backend did not end'
    other.close()


def killed():
    try:
        with transaction.atomic():
            for name, address in people('killed', 3):
                Patient.objects.create(name=name, email=address)
            end_backend()
            Patient.objects.count()
    except DatabaseError:
        connection.close()
    else:
        raise ShouldHaveFailed('a statement of an ended backend')
    assert not Patient.objects.filter(email__startswith='killed.').exists()


def copy():
    """COPY, Django's connection being psycopg's."""
    with connection.cursor() as cursor:
        with cursor.copy('COPY patients (name, email) FROM STDIN') as stream:
            for row in people('copy', 20):
                stream.write_row(row)


def queryset_delete():
    """One call for many rows, with appointments of some."""
    patients = [Patient.objects.create(name=name, email=address)
                for name, address in people('leaving', 4)]
    Appointment.objects.bulk_create(
        [Appointment(patient=patient) for patient in patients[:2]])
    Patient.objects.filter(email__startswith='leaving.').delete()


STEPS = {step.__name__: step for step in (
    create, bulk_create, update_field, bulk_update, upsert, transition,
    delete_cascade, nested_rollback, rollback, failed_commit, raw_sql,
    concurrent, unicode, killed, copy, queryset_delete)}
