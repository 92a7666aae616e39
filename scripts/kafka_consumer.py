#!/usr/bin/env python3
"""Consume the events that hcevents publishes, from Python.

As a program it prints each event:

    python3 scripts/kafka_consumer.py                      # the six events
    python3 scripts/kafka_consumer.py patient.created appointment.booked

As a module it hands each event to a function of yours:

    from kafka_consumer import KafkaConsumer

    def handle(event):
        print(event['event_type'], event['data'])

    KafkaConsumer(['patient.created', 'appointment.booked'],
                  handler=handle).consume()

Needs confluent-kafka (pip install confluent-kafka, or Debian's
python3-confluent-kafka).  Environment: KAFKA_BOOTSTRAP_SERVERS,
KAFKA_TOPIC_PREFIX, KAFKA_GROUP_ID.

Publishing needs no Kafka client at all.  It is SQL, inside your transaction:

    cursor.execute("SELECT hcevents.publish(%s, %s::jsonb, %s)",
                   ['patient.created', json.dumps({'patient_id': 123}), '123'])
"""
import argparse
import json
import logging
import os
import signal
import sys
from collections import OrderedDict

from confluent_kafka import Consumer, KafkaError, KafkaException

logger = logging.getLogger('kafka_consumer')

EVENT_TYPES = ('patient.created', 'patient.updated', 'patient.deleted',
               'appointment.booked', 'appointment.cancelled',
               'appointment.completed')
POLL_SECONDS = 0.5
REMEMBERED_IDS = 100000
# What waiting does not cure; everything else librdkafka tries again.
REFUSALS = (KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED)


def log_event(event):
    """The handler of who gives none: say that the event came.

    Only its names: the data are about patients and do not belong in a log.
    """
    logger.info('%s %s', event['event_type'], event['event_id'])


class KafkaConsumer:
    """A member of a consumer group that handles events one by one.

    The offset is committed after the handler returned, so an event is handled
    at least once: a handler that raises ends consume(), and the event comes
    again at the next start.  Events that were delivered twice are recognised
    by event_id, as far back as this process remembers; a handler that must
    never act twice keeps the event_id with its own result, in one transaction.
    """

    def __init__(self, event_types=EVENT_TYPES, handler=log_event,
                 group_id=None, bootstrap_servers=None, topic_prefix=None,
                 from_beginning=True, config=None):
        prefix = (topic_prefix or os.environ.get('KAFKA_TOPIC_PREFIX')
                  or 'healthcore')
        self.topics = [name if name.startswith(prefix + '.')
                       else f'{prefix}.{name}' for name in event_types]
        self.handler = handler
        self._stopping = False
        self._handled = OrderedDict()
        self._consumer = Consumer({
            'bootstrap.servers': (bootstrap_servers or
                                  os.environ.get('KAFKA_BOOTSTRAP_SERVERS') or
                                  'localhost:9092'),
            'group.id': (group_id or os.environ.get('KAFKA_GROUP_ID') or
                         'healthcore-consumer'),
            'auto.offset.reset': 'earliest' if from_beginning else 'latest',
            'enable.auto.commit': False,
            'error_cb': self._report,
            'log_level': 2,         # the same reports, a second time
            # Topics appear with their first event: look often.
            'topic.metadata.refresh.interval.ms': 2000,
            **(config or {}),
        })

    def stop(self, *_):
        """End consume() after the event in hand; usable as signal handler."""
        self._stopping = True

    def consume(self, limit=None):
        """Handle events until stop(), SIGTERM or SIGINT, or "limit" events.

        Returns the number of events handled.
        """
        handled = 0
        self._consumer.subscribe(self.topics)
        previous = self._take_signals()
        try:
            while not self._stopping and (limit is None or handled < limit):
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None and self._take(message):
                    handled += 1
        finally:
            self._consumer.close()
            for signo, action in previous.items():
                signal.signal(signo, action)
        return handled

    @staticmethod
    def _report(error):
        logger.warning('Kafka reports: %s', error)

    def _take_signals(self):
        """Only the main thread may; another one calls stop() instead."""
        try:
            return {signo: signal.signal(signo, self.stop)
                    for signo in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:
            return {}

    def _take(self, message):
        """Handle and commit one message; False when there was none in it."""
        error = message.error()
        if error is not None:
            if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART,
                                KafkaError._UNKNOWN_TOPIC):
                return False        # its first event is still to come
            if error.fatal() or error.code() in REFUSALS:
                raise KafkaException(error)
            logger.warning('Kafka reports: %s', error)
            return False

        try:
            event = json.loads(message.value())
            event_id = event['event_id']
        except (TypeError, ValueError, KeyError):
            # Not one of ours: skipping it is better than never going on.
            logger.error('no event at %s[%d] offset %d, skipped',
                         message.topic(), message.partition(),
                         message.offset())
            self._commit(message)
            return False

        duplicate = event_id in self._handled
        if not duplicate:
            self.handler(event)
            self._remember(event_id)
        self._commit(message)
        return not duplicate

    def _commit(self, message):
        """A commit that fails is made good by the next one."""
        try:
            self._consumer.commit(message=message, asynchronous=False)
        except KafkaException as problem:
            logger.warning('offset not committed: %s', problem)

    def _remember(self, event_id):
        self._handled[event_id] = True
        if len(self._handled) > REMEMBERED_IDS:
            self._handled.popitem(last=False)


def print_event(event):
    print(json.dumps(event, ensure_ascii=False), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description='Print the events that hcevents publishes to Kafka.')
    parser.add_argument('event_types', nargs='*', default=list(EVENT_TYPES),
                        metavar='EVENT_TYPE')
    parser.add_argument('--group', help='consumer group '
                        '(KAFKA_GROUP_ID, healthcore-consumer)')
    parser.add_argument('--bootstrap-servers',
                        help='(KAFKA_BOOTSTRAP_SERVERS, localhost:9092)')
    parser.add_argument('--topic-prefix',
                        help='(KAFKA_TOPIC_PREFIX, healthcore)')
    parser.add_argument('--new-only', action='store_true',
                        help='a new group starts with the next event instead '
                             'of the oldest')
    parser.add_argument('--count', type=int, help='stop after so many events')
    options = parser.parse_args()

    logging.basicConfig(level=logging.INFO, stream=sys.stderr,
                        format='%(asctime)s %(levelname)s %(message)s')
    consumer = KafkaConsumer(options.event_types, handler=print_event,
                             group_id=options.group,
                             bootstrap_servers=options.bootstrap_servers,
                             topic_prefix=options.topic_prefix,
                             from_beginning=not options.new_only)
    logger.info('consuming %s', ', '.join(consumer.topics))
    handled = consumer.consume(options.count)
    logger.info('stopped after %d events', handled)


if __name__ == '__main__':
    main()
