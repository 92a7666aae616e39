"""A published column would go: refused, so this one is never applied."""
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0011_partitioned')]

    operations = [migrations.RemoveField('patient', 'email')]
