"""A new table that publishes from its first row on; dropped, it publishes no more."""
from django.db import migrations, models

ATTACH = "SELECT hcevents.attach('visits', 'visit', '{reason,version}')"


class Migration(migrations.Migration):

    dependencies = [('patients', '0009_telephone')]

    operations = [
        migrations.CreateModel(
            'Visit',
            [('id', models.BigIntegerField(primary_key=True)),
             ('reason', models.TextField()),
             ('version', models.IntegerField(db_default=1, default=1))],
            options={'db_table': 'visits'}),
        migrations.RunSQL(ATTACH, migrations.RunSQL.noop),
    ]
