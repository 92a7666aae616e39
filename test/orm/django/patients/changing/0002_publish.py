"""The tables publish."""
from django.db import migrations

ATTACH = """SELECT hcevents.attach_healthcore(
    patient_columns => '{name,email,version}',
    appointment_columns => '{patient_id,status,version}')"""
DETACH = """SELECT hcevents.detach('patients', 'patient'),
                   hcevents.detach('appointments', 'appointment')"""


class Migration(migrations.Migration):

    dependencies = [('patients', '0001_initial')]

    operations = [migrations.RunSQL(ATTACH, DETACH)]
