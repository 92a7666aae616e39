"""Note what handlers of signals would publish, for a comparison.

The file takes a line at once, like a message sent to Kafka: no rollback takes
it back.  The outbox takes a row in the transaction of the change, where the
program has one open (in autocommit mode Django sends the signal after it).
"""
import json
import threading

from django.conf import settings
from django.db import connection

from .models import Outbox

one_at_a_time = threading.Lock()


def publish(event_type, data, key):
    # libpq knows the value: no query, which might alter what is compared.
    step = connection.connection.info.parameter_status('application_name')
    with one_at_a_time, open(settings.SIGNALS_FILE, 'a',
                             encoding='utf-8') as file:
        json.dump([step, event_type, key], file)
        file.write('\n')
    Outbox.objects.create(event_type=event_type, key=key, data=data,
                          step=step)
