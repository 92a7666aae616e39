"""A published column would go: refused, so this one is never applied."""
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0009_telephone')]

    operations = [migrations.RemoveField('patient', 'email')]
