from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0004_types')]

    operations = [migrations.AlterModelTable('patient', 'clinic_patients')]
