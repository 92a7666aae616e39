from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [('patients', '0005_status')]

    operations = [migrations.AlterModelTable('patient', 'clinic_patients')]
