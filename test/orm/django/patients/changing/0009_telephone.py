"""A published column gets another name; it is published under the old one."""
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0008_no_notes')]

    operations = [migrations.RenameField('patient', 'phone', 'telephone')]
