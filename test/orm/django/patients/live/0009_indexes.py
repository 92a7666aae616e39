"""Indexes, added and removed concurrently.

A concurrent build waits for transactions, but nobody waits for it: it may have
more patience than the migrations that lock.  One that gave up leaves an invalid
index, so the next attempt begins by dropping it.
"""
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

PATIENCE = "SET lock_timeout = '20s'"
AS_BEFORE = 'RESET lock_timeout'


def left_over(name):
    return migrations.RunSQL(f'DROP INDEX CONCURRENTLY IF EXISTS {name}',
                             migrations.RunSQL.noop)


class Migration(migrations.Migration):

    atomic = False
    dependencies = [('patients', '0008_no_notes')]

    operations = [
        migrations.RunSQL(PATIENCE, AS_BEFORE),
        left_over('patients_by_name'),
        left_over('appointments_by_status'),
        AddIndexConcurrently(
            'patient', models.Index(fields=['name'], name='patients_by_name')),
        AddIndexConcurrently(
            'appointment',
            models.Index(fields=['status'], name='appointments_by_status')),
        migrations.RunSQL(AS_BEFORE, PATIENCE),
    ]
