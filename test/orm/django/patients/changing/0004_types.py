"""The types of published columns change."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('patients', '0003_phone')]

    operations = [
        migrations.AlterField('patient', 'name',
                              models.CharField(max_length=300)),
        migrations.AlterField('patient', 'email',
                              models.TextField(unique=True, null=True)),
    ]
