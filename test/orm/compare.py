#!/usr/bin/python3
"""Which events were due, and which did each way send?

Prints a table in markdown: for each step of a program the events that the
ledger says were due, those that hcevents delivered to Kafka, and what is
missing and invented (sent, though nothing was committed, or sent once more)
of each way: signals, an outbox written by signals, an outbox library.
Status 0 when nothing of hcevents is missing or invented.

A line of --signals is a JSON array: step, event type, key.  The outbox is the
table public.outbox with such columns.  The library's is public.published; it
does not tell a new row from a changed one, so the first message of a patient
counts as its creation.
"""
import argparse
import json
import subprocess
import sys
from collections import Counter

from confluent_kafka import Consumer, KafkaException, TopicPartition

LEDGER = """SELECT coalesce(json_agg(json_build_array(step, event_type, key)), '[]')
              FROM public.ledger"""
OUTBOX = """SELECT coalesce(json_agg(json_build_array(step, event_type, key)), '[]')
              FROM public.outbox"""
LIBRARY = """SELECT coalesce(json_agg(json_build_array(body->>'step',
    destination || '.' || CASE WHEN destination = 'appointment' THEN body->>'status'
                               WHEN nth = 1 THEN 'created' ELSE 'updated' END,
    body->>'key')), '[]')
    FROM (SELECT destination, body, row_number() OVER (
              PARTITION BY destination, body->>'key' ORDER BY added) nth
            FROM public.published) AS published"""
STEP_OF_KEY = """SELECT coalesce(json_agg(json_build_array(event_type, key, version, step)), '[]')
                   FROM public.ledger"""
NOBODY = 'no step'


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--psql', default='psql')
    parser.add_argument('--conninfo', required=True)
    parser.add_argument('--bootstrap-servers', required=True)
    parser.add_argument('--topic-prefix', required=True)
    parser.add_argument('--signals', required=True, metavar='FILE')
    parser.add_argument('--steps', required=True, metavar='FILE',
                        help='lines "step NAME": the order of the table')
    return parser.parse_args()


def query(options, text):
    done = subprocess.run(
        [options.psql, '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
         '-d', options.conninfo, '-c', text],
        check=True, text=True, encoding='utf-8', stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def facts(rows):
    return Counter(tuple(row) for row in rows)


def read_signals(path):
    with open(path, encoding='utf-8') as lines:
        return facts(json.loads(line) for line in lines)


def read_topics(options):
    """(event type, key, version) of each message of the prefix."""
    consumer = Consumer({'bootstrap.servers': options.bootstrap_servers,
                         'group.id': 'hcevents-orm-compare',
                         'enable.auto.commit': False})
    ends = {}
    for topic, known in consumer.list_topics(timeout=30).topics.items():
        if topic.startswith(options.topic_prefix + '.'):
            for number in known.partitions:
                partition = TopicPartition(topic, number, 0)
                _, end = consumer.get_watermark_offsets(partition, timeout=30)
                if end > 0:
                    ends[(topic, number)] = end
    consumer.assign([TopicPartition(*name, 0) for name in ends])
    while ends:
        messages = consumer.consume(1000, timeout=30)
        if not messages:
            sys.exit('compare: Kafka gave nothing for 30 s')
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            envelope = json.loads(message.value())
            yield (envelope['event_type'], message.key().decode(),
                   envelope['data']['version'])
            name = message.topic(), message.partition()
            if message.offset() + 1 >= ends[name]:
                del ends[name]
    consumer.close()


def read_delivered(options):
    steps = {(event_type, key, version): step for event_type, key, version, step
             in query(options, STEP_OF_KEY)}
    return facts((steps.get(fact, NOBODY), fact[0], fact[1])
                 for fact in read_topics(options))


def of_step(counter, step):
    return Counter({fact: number for fact, number in counter.items()
                    if step is None or fact[0] == step})


def row(label, step, due, ways):
    due = of_step(due, step)
    cells = [label, due.total()]
    for way in ways:
        sent = of_step(way, step)
        cells += [sent.total(), (due - sent).total(), (sent - due).total()]
    return '| ' + ' | '.join(str(cell) for cell in cells) + ' |'


def main():
    options = parse_arguments()
    due = facts(query(options, LEDGER))
    delivered = read_delivered(options)
    ways = [delivered, read_signals(options.signals),
            facts(query(options, OUTBOX)), facts(query(options, LIBRARY))]
    with open(options.steps, encoding='utf-8') as lines:
        steps = [line.split()[1] for line in lines
                 if line.startswith('step ')]
    known = {fact[0] for counter in (due, *ways) for fact in counter}
    steps += sorted(known - set(steps))
    print('| step | due | hcevents sent | missing | invented '
          '| signals sent | missing | invented '
          '| outbox sent | missing | invented '
          '| outbox library sent | missing | invented |')
    print('|---|' + '---:|' * 13)
    for step in steps:
        print(row(step, step, due, ways))
    print(row('**all**', None, due, ways))
    return judge(due, *ways)


def judge(due, delivered, signals, outbox, library):
    """Status: hcevents is exact, and the others did what they are here for.

    Handlers that nobody calls, or that note everything twice, would make
    hcevents look good: so they must note most of what saves one object, miss
    what goes past Django's signals, and invent what is rolled back.  Rows of
    the outbox are rolled back too, hence it misses the same and invents
    nothing.  The library also misses deletions, which call no save().
    """
    wrong = []
    if not due or due != delivered:
        wrong.append('hcevents is not exact')
    if not (due & signals).total() > due.total() / 3:
        wrong.append('the handlers of signals hardly noted anything')
    if not due - signals or not signals - due:
        wrong.append('signals missed or invented nothing')
    if outbox - due or due - outbox != due - signals:
        wrong.append('the outbox invented, or missed other events than '
                     'signals')
    if library - due or not (due & library).total() > due.total() / 3:
        wrong.append('the library invented events, or hardly noted any')
    if (due - signals) - (due - library):
        wrong.append('the library noted what signals missed')
    for what in wrong:
        print(f'compare: {what}', file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
