"""The clinic of the tests: an ordinary Django app without any events."""
from django.db import models


class Patient(models.Model):
    name = models.TextField()
    email = models.TextField(null=True)
    version = models.IntegerField(default=1)


class Appointment(models.Model):
    patient = models.ForeignKey(Patient, models.CASCADE)
    status = models.TextField(default='booked')
    room = models.TextField(null=True, db_column='room_name')
    version = models.IntegerField(default=1)


class Change(models.Model):
    """What a transaction of the cut-over test has changed."""

    event_type = models.TextField()
    key = models.TextField()
    version = models.IntegerField()
    visible = models.BooleanField()     # to signal handlers
    attached = models.BooleanField()    # the extension has seen it
    switched = models.BooleanField()    # under the real prefix
