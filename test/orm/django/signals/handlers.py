"""The guide's way: a signal handler publishes what Django says it saved."""
from django.conf import settings
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils.module_loading import import_string

from patients.models import Appointment, Patient

publish = import_string(settings.SIGNALS_PUBLISH)


def patient_data(patient):
    return {'patient_id': patient.pk, 'name': patient.name,
            'email': patient.email}


def appointment_data(appointment):
    return {'appointment_id': appointment.pk,
            'patient_id': appointment.patient_id,
            'status': appointment.status}


@receiver(post_save, sender=Patient)
def patient_saved(sender, instance, created, **kwargs):
    publish('patient.created' if created else 'patient.updated',
            patient_data(instance), str(instance.pk))


@receiver(post_delete, sender=Patient)
def patient_deleted(sender, instance, **kwargs):
    publish('patient.deleted', patient_data(instance), str(instance.pk))


@receiver(post_save, sender=Appointment)
def appointment_saved(sender, instance, created, **kwargs):
    if created:
        action = 'booked'
    elif instance.status in (Appointment.Status.CANCELLED,
                             Appointment.Status.COMPLETED):
        action = instance.status
    else:
        return
    publish(f'appointment.{action}', appointment_data(instance),
            str(instance.pk))
