from django.db import models


class Outbox(models.Model):
    """What an outbox library stores in the transaction of the change."""
    event_type = models.TextField()
    key = models.TextField()
    data = models.JSONField()
    step = models.TextField()

    class Meta:
        db_table = 'outbox'
