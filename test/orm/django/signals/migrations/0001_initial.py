from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name='Outbox',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_type', models.TextField()),
                ('key', models.TextField()),
                ('data', models.JSONField()),
                ('step', models.TextField()),
            ],
            options={
                'db_table': 'outbox',
            },
        ),
    ]
