from django.db import migrations

from hcevents.django.operations import AttachHealthcore


class Migration(migrations.Migration):
    dependencies = [('clinic', '0001_initial')]
    operations = [
        AttachHealthcore('clinic.Patient', 'clinic.Appointment',
                         patient_columns=['name', 'email', 'version'],
                         appointment_columns=['patient', 'status', 'room',
                                              'version']),
    ]
