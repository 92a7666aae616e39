"""The models as an outbox library for Django wants them: decorated.

django-outbox-pattern replaces save() by one that stores a row of the table
"published" in the same transaction.
"""
from django.db import connection
from django_outbox_pattern.decorators import Config, publish

from patients.models import Appointment, Patient


def step():
    return connection.connection.info.parameter_status('application_name')


def patient_body(patient):
    return {'step': step(), 'key': str(patient.pk)}


def appointment_body(appointment):
    return {'step': step(), 'key': str(appointment.pk),
            'status': appointment.status}


def decorate():
    Patient.outbox_body = patient_body
    Appointment.outbox_body = appointment_body
    for model, destination in (Patient, 'patient'), (Appointment, 'appointment'):
        publish([Config(destination, serializer='outbox_body')])(model)
