"""The type of the column whose transitions are events.

In a transaction of its own: on the way back it would come before the change
of patients, and writers take patients first.
"""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('patients', '0004_types')]

    operations = [
        migrations.AlterField('appointment', 'status', models.TextField()),
    ]
