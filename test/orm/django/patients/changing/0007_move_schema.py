"""Into the schema of the role's name, where its search path begins."""
from django.db import migrations

MOVE = """CREATE SCHEMA clinic;
          ALTER TABLE clinic_patients SET SCHEMA clinic"""
BACK = """ALTER TABLE clinic.clinic_patients SET SCHEMA public;
          DROP SCHEMA clinic"""


class Migration(migrations.Migration):

    dependencies = [('patients', '0006_rename_table')]

    operations = [migrations.RunSQL(MOVE, BACK)]
