from django.db import models


class Patient(models.Model):
    name = models.TextField()
    email = models.EmailField(unique=True, null=True, blank=True)
    version = models.IntegerField(default=1, db_default=1, editable=False)

    class Meta:
        db_table = 'patients'


class Appointment(models.Model):
    class Status(models.TextChoices):
        BOOKED = 'booked'
        CANCELLED = 'cancelled'
        COMPLETED = 'completed'

    patient = models.ForeignKey(Patient, models.CASCADE,
                                related_name='appointments')
    status = models.CharField(max_length=20, choices=Status.choices,
                              default=Status.BOOKED)
    version = models.IntegerField(default=1, db_default=1, editable=False)

    class Meta:
        db_table = 'appointments'
