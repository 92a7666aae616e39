#!/usr/bin/python3
"""Topics of a test broker, without a JVM per question.

    admin.py BOOTSTRAP list
    admin.py BOOTSTRAP create PARTITIONS TOPIC...
    admin.py BOOTSTRAP partitions TOTAL TOPIC...  gives topics more of them
    admin.py BOOTSTRAP delete TOPIC...
    admin.py BOOTSTRAP end-offsets [TOPIC...]     topic:partition:offset lines
    admin.py BOOTSTRAP count [TOPIC...]           sum of all end offsets
    admin.py BOOTSTRAP dump TOPIC                 one JSON object a message
"""
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

TIMEOUT = 30


def finish(futures):
    """Wait for each topic's answer; the first failure ends the program."""
    for topic, future in futures.items():
        try:
            future.result(TIMEOUT)
        except Exception as error:
            sys.exit(f'{topic}: {error}')


def partitions_of(admin, topics):
    known = admin.list_topics(timeout=TIMEOUT).topics
    names = topics or [name for name in known if not name.startswith('__')]
    return [(name, partition)
            for name in sorted(names) if name in known
            for partition in sorted(known[name].partitions)]


def end_offsets(bootstrap, admin, topics):
    consumer = Consumer({'bootstrap.servers': bootstrap,
                         'group.id': 'hcevents-test-admin'})
    for topic, partition in partitions_of(admin, topics):
        _, end = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=TIMEOUT)
        yield topic, partition, end
    consumer.close()


def text(raw):
    return None if raw is None else raw.decode('utf-8', 'backslashreplace')


def dump(bootstrap, admin, topic):
    """Each partition's messages in order, up to the end it has now."""
    ends = {partition: end for _, partition, end
            in end_offsets(bootstrap, admin, [topic]) if end > 0}
    consumer = Consumer({'bootstrap.servers': bootstrap,
                         'group.id': 'hcevents-test-admin',
                         'enable.auto.commit': False})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)
                     for partition in ends])
    while ends:
        message = consumer.poll(TIMEOUT)
        if message is None or message.error():
            sys.exit(f'{topic}: {message and message.error()}')
        partition = message.partition()
        if message.offset() + 1 == ends.get(partition):
            del ends[partition]
        yield {'partition': partition, 'offset': message.offset(),
               'key': text(message.key()), 'value': text(message.value()),
               'timestamp': message.timestamp()[1],
               'headers': {name: text(value)
                           for name, value in message.headers() or []}}
    consumer.close()


def main(arguments):
    if len(arguments) < 2:
        sys.exit(__doc__)
    bootstrap, verb, rest = arguments[0], arguments[1], arguments[2:]
    admin = AdminClient({'bootstrap.servers': bootstrap})
    if verb == 'list':
        for topic in sorted({name for name, _ in partitions_of(admin, rest)}):
            print(topic)
    elif verb == 'create' and len(rest) > 1:
        finish(admin.create_topics(
            [NewTopic(topic, int(rest[0]), 1) for topic in rest[1:]]))
    elif verb == 'partitions' and len(rest) > 1:
        finish(admin.create_partitions(
            [NewPartitions(topic, int(rest[0])) for topic in rest[1:]]))
    elif verb == 'delete' and rest:
        finish(admin.delete_topics(rest))
    elif verb == 'end-offsets':
        for topic, partition, end in end_offsets(bootstrap, admin, rest):
            print(f'{topic}:{partition}:{end}')
    elif verb == 'count':
        print(sum(end for _, _, end in end_offsets(bootstrap, admin, rest)))
    elif verb == 'dump' and len(rest) == 1:
        for message in dump(bootstrap, admin, rest[0]):
            print(json.dumps(message))
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(sys.argv[1:])
