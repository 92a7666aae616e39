from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel('Patient', [
            ('id', models.BigAutoField(primary_key=True)),
            ('name', models.TextField()),
            ('email', models.TextField(null=True)),
            ('version', models.IntegerField(default=1)),
        ]),
        migrations.CreateModel('Appointment', [
            ('id', models.BigAutoField(primary_key=True)),
            ('patient', models.ForeignKey('clinic.Patient', models.CASCADE)),
            ('status', models.TextField(default='booked')),
            ('room', models.TextField(null=True, db_column='room_name')),
            ('version', models.IntegerField(default=1)),
        ]),
        migrations.CreateModel('Change', [
            ('id', models.BigAutoField(primary_key=True)),
            ('event_type', models.TextField()),
            ('key', models.TextField()),
            ('version', models.IntegerField()),
            ('visible', models.BooleanField()),
            ('attached', models.BooleanField()),
            ('switched', models.BooleanField()),
        ]),
    ]
