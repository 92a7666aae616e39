"""A new column, published from the same transaction on; another that is not.

Attaching again replaces the column list.  The way back runs the operations
in reverse: the list first, then the column.  attach() takes a weaker lock than
DROP COLUMN, and to take the stronger one later is a deadlock with a writer who
came in between: so the way back takes it at once.
"""
from django.db import migrations, models

ATTACH = "SELECT hcevents.attach('patients', 'patient', '{name,email,version,phone}')"
BEFORE = "SELECT hcevents.attach('patients', 'patient', '{name,email,version}')"

LOCK = 'LOCK TABLE patients IN ACCESS EXCLUSIVE MODE'


class Migration(migrations.Migration):

    dependencies = [('patients', '0002_publish')]

    operations = [
        migrations.AddField('patient', 'phone', models.TextField(null=True)),
        migrations.AddField('patient', 'notes',
                            models.TextField(db_default='none')),
        migrations.RunSQL(ATTACH, BEFORE),
        migrations.RunSQL(migrations.RunSQL.noop, LOCK),
    ]
