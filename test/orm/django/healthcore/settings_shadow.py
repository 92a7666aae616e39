"""The same program, where signal handlers note what they would publish.

Into the file CLINIC_SIGNALS at once, as one that publishes to Kafka would,
and into the table of an outbox in the transaction of the change.  Besides, the
models are decorated as django-outbox-pattern has it.
"""
import os

from .settings import *  # noqa: F401,F403
from .settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, 'signals', 'django_outbox_pattern']
SIGNALS_PUBLISH = 'signals.shadow.publish'
SIGNALS_FILE = os.environ['CLINIC_SIGNALS']
SIGNALS_LIBRARY = 'signals.library.decorate'
