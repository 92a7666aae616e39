"""The new column's values for the rows there were, in batches.

Each batch is a transaction of its own, and each row an event.  The program
that serves does not know the column: rows that it makes meanwhile stay
without, so the end is fixed at the beginning.
"""
from django.db import migrations, models
from django.db.models.functions import Cast, Concat

BATCH = 500


def backfill(apps, schema_editor):
    patients = apps.get_model('patients', 'Patient').objects.filter(phone=None)
    last = patients.aggregate(last=models.Max('id'))['last'] or 0
    due = patients.filter(id__lte=last).order_by('id')
    number = Concat(models.Value('+49 30 '), Cast('id', models.TextField()))
    while batch := list(due.values_list('id', flat=True)[:BATCH]):
        patients.filter(id__in=batch).update(phone=number)


class Migration(migrations.Migration):

    atomic = False
    dependencies = [('patients', '0005_status')]

    operations = [
        migrations.RunPython(backfill, migrations.RunPython.noop),
    ]
