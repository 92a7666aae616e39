"""Publish to Kafka at once, without waiting for the answer."""
import json
import logging
import uuid
from datetime import datetime, timezone

from confluent_kafka import Producer
from django.conf import settings

logger = logging.getLogger(__name__)


class KafkaProducer:
    """One producer of the process, made when it is first used."""
    instance = None

    @classmethod
    def get_instance(cls):
        if cls.instance is None:
            cls.instance = cls()
        return cls.instance

    def __init__(self):
        self.producer = Producer(
            {'bootstrap.servers': settings.KAFKA_BOOTSTRAP_SERVERS})

    @staticmethod
    def on_delivery(error, message):
        if error is not None:
            logger.error('not delivered: %s', error)

    def publish(self, event_type, data, key):
        envelope = {'event_id': str(uuid.uuid4()), 'event_type': event_type,
                    'timestamp': datetime.now(timezone.utc).isoformat(),
                    'data': data,
                    'metadata': {'source': 'healthcore-api', 'version': '1.0'}}
        self.producer.produce(f'{settings.KAFKA_TOPIC_PREFIX}.{event_type}',
                              key=key, value=json.dumps(envelope),
                              on_delivery=self.on_delivery)
        self.producer.poll(0)


def publish(event_type, data, key):
    KafkaProducer.get_instance().publish(event_type, data, key)
