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

KafkaConsumer is that of the package hcevents in clients/python, which is used
from the checkout when it is not installed.

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
import sys

try:
    from hcevents.consumer import EVENT_TYPES, KafkaConsumer
except ModuleNotFoundError as problem:
    if problem.name not in ('hcevents', 'hcevents.consumer'):
        raise
    sys.path.insert(0, os.path.join(
        os.path.dirname(os.path.abspath(__file__)), os.pardir, 'clients',
        'python', 'src'))
    from hcevents.consumer import EVENT_TYPES, KafkaConsumer

logger = logging.getLogger('kafka_consumer')


def print_event(event):
    print(json.dumps(event, ensure_ascii=False), flush=True)


def parse_arguments():
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
    return parser.parse_args()


def main():
    options = parse_arguments()
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
