"""KafkaConsumer: handles each event once, and loses none."""
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from confluent_kafka import Producer

import hcevents.consumer as module
from conftest import PATIENCE, wait_until
from hcevents import KafkaConsumer
from hcevents.compare import read_topics

PREFIX = 'hce_consumer'


@pytest.fixture(scope='module')
def database(make_database):
    return make_database(PREFIX)


@pytest.fixture(scope='module')
def send(database):
    """send(topic, value, …): a message as no relay would send it."""
    producer = Producer({'bootstrap.servers': database.bootstrap})

    def send(topic, value, key=None, headers=(), partition=0):
        if not isinstance(value, bytes):
            value = json.dumps(value).encode()
        producer.produce(topic, value, key, headers=list(headers),
                         partition=partition)
        assert producer.flush(30) == 0
    return send


def envelope(event_id, event_type, **data):
    return {'event_id': event_id, 'event_type': event_type, 'data': data}


def consumer(event_types=None, group='a group', **options):
    """One that gives up when nothing more comes: no test hangs."""
    options.setdefault('backoff', 0.01)
    member = KafkaConsumer(event_types, group_id=group, topic_prefix=PREFIX,
                           **options)
    watchdog = threading.Timer(90 * PATIENCE, member.stop)
    watchdog.daemon = True
    watchdog.start()
    return member


def publish(database, event_type, *numbers):
    resource = event_type.split('.')[0]
    with database.connect() as connection:
        for number in numbers:
            connection.execute(
                "SELECT hcevents.publish(%s, %s::jsonb)",
                [event_type, json.dumps({f'{resource}_id': number})])
    database.flush()


def numbers(events):
    return sorted(next(iter(event['data'].values())) for event in events)


def consume_until(member, condition, what):
    """Consume until something is so, and return the number of events."""
    def watch():
        try:
            wait_until(condition, what)
        finally:
            member.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    handled = member.consume()
    watcher.join()
    assert condition(), what
    return handled


def dead_letters(database, name):
    """(value or event, headers) of a topic of dead letters."""
    return [(event, delivery.headers) for event, delivery in read_topics(
        {'bootstrap.servers': database.bootstrap}, [f'{PREFIX}.{name}'])]


def test_topics_and_prefix():
    named = consumer(['patient.created', f'{PREFIX}.x'])
    assert named.topics == [f'{PREFIX}.patient.created', f'{PREFIX}.x']
    assert len(consumer().topics) == 6
    assert consumer(handlers={'a.b': print}).topics == [f'{PREFIX}.a.b']
    with pytest.raises(TypeError, match='list of names'):
        consumer('patient.created')


def test_djangos_settings_name_the_brokers(database, monkeypatch):
    from django.conf import settings
    monkeypatch.setattr(settings, 'KAFKA_TOPIC_PREFIX', 'fromdjango',
                        raising=False)
    assert KafkaConsumer(['a.b']).topics == ['fromdjango.a.b']


def test_the_guides_consumer(database, monkeypatch):
    """Its code, with the environment of the guide; stopped by a handler."""
    monkeypatch.setenv('KAFKA_TOPIC_PREFIX', PREFIX)
    monkeypatch.setenv('KAFKA_GROUP_ID', 'guide')
    from src.apps.core.kafka.consumer import KafkaConsumer
    publish(database, 'patient.created', 1)
    publish(database, 'appointment.booked', 2)
    seen = []

    consumer = KafkaConsumer([
        'patient.created',
        'appointment.booked'
    ], handler=seen.append)
    assert consumer.consume(limit=2) == 2
    assert numbers(seen) == [1, 2]


def test_handlers_by_type_and_what_they_may_look_at(database):
    publish(database, 'byt.one', 1, 2)
    publish(database, 'byt.two', 3)
    publish(database, 'byt.other', 4)
    one, two, rest, deliveries = [], [], [], []
    member = consumer(['byt.one', 'byt.two', 'byt.other'], group='byt',
                      handler=rest.append, handlers={'byt.two': two.append})

    @member.on('byt.one')
    def take(event):
        one.append(event)
        deliveries.append(member.delivery)

    assert member.consume(limit=4) == 4
    assert (numbers(one), numbers(two), numbers(rest)) == ([1, 2], [3], [4])
    assert member.delivery is None
    assert {delivery.key for delivery in deliveries} == {'1', '2'}
    assert all(delivery.topic == f'{PREFIX}.byt.one'
               and delivery.headers['event_type'] == 'byt.one'
               and delivery.position.epoch == 1 for delivery in deliveries)


def test_a_group_goes_on_where_it_was(database):
    publish(database, 'goes.on', 1, 2, 3)
    first, second = [], []
    consumer(['goes.on'], group='on', handler=first.append).consume(limit=2)
    publish(database, 'goes.on', 4)
    consumer(['goes.on'], group='on', handler=second.append).consume(limit=2)
    assert numbers(first + second) == [1, 2, 3, 4]


def test_a_handler_is_called_again_until_it_succeeds(database):
    publish(database, 'again.made', 1)
    calls = []

    def fail_twice(event):
        calls.append(event)
        if len(calls) < 3:
            raise RuntimeError('not yet')

    assert consumer(['again.made'], group='again', handler=fail_twice,
                    retries=2).consume(limit=1) == 1
    assert len(calls) == 3


def test_a_handler_that_fails_for_good_keeps_its_event(database, caplog):
    publish(database, 'fail.made', 1)
    calls, seen = [], []

    def fail(event):
        calls.append(event)
        raise RuntimeError('John Doe')

    with pytest.raises(RuntimeError):
        consumer(['fail.made'], group='fail', handler=fail,
                 retries=1).consume()
    assert len(calls) == 2
    assert 'RuntimeError' in caplog.text and 'John' not in caplog.text
    consumer(['fail.made'], group='fail',
             handler=seen.append).consume(limit=1)
    assert numbers(seen) == [1]


def test_dead_letters(database, send):
    """An event that always fails, and what is no event, go there."""
    publish(database, 'dead.made', 1, 2)
    bad = [b'{not json', b'', b'[1]', b'{"event_id": 1}', b'\xff\xfe',
           b'[' * 200000]
    for value in bad:
        send(f'{PREFIX}.dead.made', value, 'k', [('h', b'v')])
    publish(database, 'dead.made', 3)
    seen = []

    def handle(event):
        if event['data']['dead_id'] == 2:
            raise KeyError('secret')
        seen.append(event)

    member = consumer(['dead.made'], group='dead', handler=handle, retries=1,
                      dead_letter_topic='letters')
    assert consume_until(
        member, lambda: len(seen) == 2 and len(raw_values(
            database, f'{PREFIX}.letters')) == len(bad) + 1,
        'seven dead letters') == 3
    assert numbers(seen) == [1, 3]
    ((event, headers),) = dead_letters(database, 'letters')
    assert event['data'] == {'dead_id': 2}
    assert headers['dead_letter_error'] == 'KeyError'
    assert headers['dead_letter_attempts'] == '2'
    assert headers['dead_letter_topic'] == f'{PREFIX}.dead.made'
    assert headers['event_type'] == 'dead.made' and 'position' in headers
    assert 'secret' not in str(headers)
    # Messages that are no events: as many as went in, and their bytes.
    raw = raw_values(database, f'{PREFIX}.letters')
    assert sorted(raw) == sorted(bad + [value for value in raw
                                        if b'"dead_id": 2' in value])
    # Nothing is left for the group.
    again = []
    threading.Timer(3, (late := consumer(
        ['dead.made'], group='dead', handler=again.append)).stop).start()
    late.consume()
    assert again == []


def raw_values(database, topic):
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    reader = Consumer({'bootstrap.servers': database.bootstrap,
                       'group.id': 'raw', 'enable.partition.eof': True})
    known = reader.list_topics(timeout=30).topics
    parts = known[topic].partitions if topic in known else ()
    reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING)
                   for number in parts])
    values, ended = [], 0
    while ended < len(parts):
        message = reader.poll(30)
        assert message is not None
        if message.error():
            ended += 1
        else:
            values.append(message.value() or b'')
    reader.close()
    return values


def test_what_is_no_event_is_skipped_without_a_topic_for_it(database, send,
                                                            caplog):
    publish(database, 'skip.made', 1)
    send(f'{PREFIX}.skip.made', b'{"patient": "John"}', 'Doe')
    publish(database, 'skip.made', 2)
    seen = []
    member = consumer(['skip.made'], group='skip', handler=seen.append)
    assert consume_until(
        member, lambda: len(seen) == 2 and caplog.text.count('no event') == 1,
        'both events and the log line') == 2
    assert numbers(seen) == [1, 2]
    assert 'no event at hce_consumer.skip.made[0]' in caplog.text
    assert 'John' not in caplog.text and 'Doe' not in caplog.text


def test_a_dead_letter_that_kafka_does_not_take_is_not_lost(database):
    publish(database, 'lost.made', 1)

    def fail(event):
        raise RuntimeError

    member = consumer(['lost.made'], group='lost', handler=fail, retries=0,
                      dead_letter_topic='x' * 250)
    with pytest.raises(module.KafkaException):
        member.consume()
    seen = []
    consumer(['lost.made'], group='lost', handler=seen.append).consume(limit=1)
    assert numbers(seen) == [1]


def position(number):
    return ('position', f'1-{number:016x}-00000000'.encode())


def test_an_event_that_comes_twice_is_handled_once(database, send):
    """Also over a restart, by a look at what was handled before it."""
    topic = f'{PREFIX}.twice.made'
    made = {number: (envelope(f'id{number}', 'twice.made', n=number),
                     [position(number)]) for number in range(1, 7)}

    def post(*which):
        for number in which:
            send(topic, made[number][0], 'k', made[number][1])

    post(1, 2, 3, 2, 3, 4)          # as after a crash of the relay
    seen = []
    member = consumer(['twice.made'], group='twice', handler=seen.append)
    assert member.consume(limit=4) == 4
    assert numbers(seen) == [1, 2, 3, 4]
    post(3, 4, 5)
    other = []
    consumer(['twice.made'], group='twice',
             handler=other.append).consume(limit=1)
    assert numbers(other) == [5]
    # Without the look back the restart repeats them.
    post(5, 6)
    blind = []
    consumer(['twice.made'], group='twice', handler=blind.append,
             lookback=0).consume(limit=2)
    assert numbers(blind) == [5, 6]


def test_a_retried_dead_letter_of_the_relay_is_handled(database, send):
    """It keeps its old position; only strict positions drop it."""
    topic = f'{PREFIX}.old.made'
    for number in (1, 3, 2, 4):
        send(topic, envelope(f'old{number}', 'old.made', n=number), 'k',
             [position(number)])
    easy, strict = [], []
    consumer(['old.made'], group='easy', handler=easy.append).consume(limit=4)
    consumer(['old.made'], group='strict', handler=strict.append,
             strict_positions=True).consume(limit=3)
    assert numbers(easy) == [1, 2, 3, 4]
    assert numbers(strict) == [1, 3, 4]


def test_retries_that_the_group_would_not_bear():
    with pytest.raises(ValueError, match='max.poll.interval.ms'):
        consumer(['a.b'], retries=20, backoff=10)
    with pytest.raises(ValueError, match='negative'):
        consumer(['a.b'], retries=-1)


def test_stop_from_another_thread_ends_a_wait_too(database):
    publish(database, 'stop.made', 1)
    failed = threading.Event()

    def fail(event):
        failed.set()
        raise RuntimeError

    member = consumer(['stop.made'], group='stop', handler=fail, retries=2,
                      backoff=30)
    result = []
    thread = threading.Thread(target=lambda: result.append(member.consume()))
    thread.start()
    assert failed.wait(60)
    member.stop()
    thread.join(20)
    assert result == [0]
    seen = []
    consumer(['stop.made'], group='stop', handler=seen.append).consume(limit=1)
    assert numbers(seen) == [1]


PROGRAM = """
import sys, time
from hcevents.consumer import KafkaConsumer
def handle(event):
    print('began', flush=True)
    time.sleep(1)
    print('ended', flush=True)
n = KafkaConsumer(['term.made'], handler=handle, group_id='term',
                  topic_prefix='hce_consumer').consume()
print('consumed', n, flush=True)
"""


def test_sigterm_ends_after_the_event_in_hand(database):
    publish(database, 'term.made', 1, 2, 3)
    program = subprocess.Popen([sys.executable, '-c', PROGRAM], text=True,
                               stdout=subprocess.PIPE)
    assert program.stdout.readline() == 'began\n'
    program.send_signal(signal.SIGTERM)
    out, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert out == 'ended\nconsumed 1\n'
    seen = []
    consumer(['term.made'], group='term', handler=seen.append).consume(limit=2)
    assert len(seen) == 2       # the handled one was committed


def test_the_members_of_a_group_share(database):
    publish(database, 'share.made', *range(60))
    seen, members = [], []
    for _ in range(2):
        members.append(consumer(['share.made'], group='share',
                                handler=seen.append))
    threads = [threading.Thread(target=member.consume) for member in members]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len({event['event_id'] for event in seen}) == 60,
                   'the whole of the topic', 120)
    finally:
        for member in members:
            member.stop()
        for thread in threads:
            thread.join(60)
    assert numbers({event['event_id']: event
                    for event in seen}.values()) == list(range(60))


def test_without_confluent_kafka_publishing_still_works(tmp_path):
    (tmp_path / 'confluent_kafka.py').write_text('raise ImportError("none")')
    program = ('import hcevents; hcevents.KafkaProducer\n'
               'try: hcevents.KafkaConsumer\n'
               'except ImportError as e: print(e)')
    result = subprocess.run(
        [sys.executable, '-c', program], text=True, check=True,
        stdout=subprocess.PIPE, env={**os.environ, 'PYTHONPATH': ':'.join(
            [str(tmp_path), os.environ['PYTHONPATH']])})
    assert 'pip install "hcevents[consumer]"' in result.stdout
