"""A column that is not published goes; Django sends DROP COLUMN … CASCADE."""
from importlib import import_module

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0007_telephone')]

    operations = import_module(
        'patients.changing.0008_no_notes').Migration.operations
