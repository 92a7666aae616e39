"""What an application's tests see of its events, without relay and Kafka.

Run by `manage.py test`, not by pytest: test_captured.py starts it.
"""
from clinic.models import Appointment, Patient
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase


def captured_events():
    with connection.cursor() as cursor:
        cursor.execute('SELECT event_type, key, data '
                       'FROM hcevents.captured_events()')
        return cursor.fetchall()


def types_and_keys():
    return [(event_type, key) for event_type, key, _ in captured_events()]


class CancelTest(TestCase):
    def test_delete_publishes(self):
        patient = Patient.objects.create(name='Jane')
        key = str(patient.pk)
        patient.delete()
        self.assertEqual(types_and_keys(), [('patient.created', key),
                                            ('patient.deleted', key)])

    def test_what_is_rolled_back_is_gone(self):
        patient = Patient.objects.create(name='Jane')
        try:
            with transaction.atomic():
                Patient.objects.create(name='Joe')
                raise LookupError
        except LookupError:
            pass
        self.assertEqual(types_and_keys(),
                         [('patient.created', str(patient.pk))])


class BookingTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.patient = Patient.objects.create(name='Ωmega', email='o@example.com')

    def test_events_of_set_up_come_first(self):
        visit = Appointment.objects.create(patient=self.patient)
        Appointment.objects.filter(pk=visit.pk).update(status='cancelled')
        created, booked, cancelled = captured_events()
        self.assertEqual(created[:2],
                         ('patient.created', str(self.patient.pk)))
        self.assertEqual(created[2]['name'], 'Ωmega')
        self.assertEqual(booked[:2], ('appointment.booked', str(visit.pk)))
        self.assertEqual(cancelled[:2],
                         ('appointment.cancelled', str(visit.pk)))
        self.assertEqual(cancelled[2]['status'], 'cancelled')

    def test_each_test_begins_with_those_of_set_up(self):
        self.assertEqual(types_and_keys(),
                         [('patient.created', str(self.patient.pk))])


class CommitTest(TransactionTestCase):
    def test_a_commit_empties_the_list(self):
        with transaction.atomic():
            Patient.objects.create(name='Jane')
            self.assertEqual(len(captured_events()), 1)
        self.assertEqual(captured_events(), [])
