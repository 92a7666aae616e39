"""The same API with the guide's signal handlers, which publish to Kafka."""
import os

from .settings import *  # noqa: F401,F403
from .settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, 'signals']
SIGNALS_PUBLISH = 'signals.kafka.publish'
KAFKA_BOOTSTRAP_SERVERS = os.environ.get('KAFKA_BOOTSTRAP_SERVERS',
                                         'localhost:9092')
KAFKA_TOPIC_PREFIX = os.environ.get('KAFKA_TOPIC_PREFIX', 'healthcore')
