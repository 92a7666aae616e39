"""A column that is not published goes; Django sends DROP COLUMN … CASCADE."""
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0007_move_schema')]

    operations = [migrations.RemoveField('patient', 'notes')]
