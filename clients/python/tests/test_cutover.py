"""Cut-over from signals to the extension, under writers that never stop.

An ordinary Django app publishes with signal handlers and confluent-kafka to
healthcore.*.  Then, in the steps of doc/cutover.md: the extension publishes to
shadow.*; both are compared; the prefix is switched, without a stop and with
one; the handlers are removed.
Threads write all the time, and note each change of theirs in the transaction
that makes it, with what it finds in the catalog there.  At the end each change
must be in Kafka once, under the prefix that was in force for it.
"""
import json
import subprocess
import sys
import threading
import uuid
from collections import Counter
from random import Random

import psycopg
import pytest
from clinic.models import Appointment, Change, Patient
from confluent_kafka import Producer
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from django.db.models import F
from django.db.models.signals import post_delete, post_save

from conftest import wait_until
from hcevents.compare import read_topics
from hcevents.cutover import Switch
from hcevents.django.cutover import signals_publish

ALIAS = 'cutover'
NAME = 'hce_cutover'
REAL, SHADOW = 'healthcore', 'shadow'
TYPES = ('patient.created', 'patient.updated', 'patient.deleted',
         'appointment.booked', 'appointment.cancelled',
         'appointment.completed')
# In force for a transaction: whether the extension publishes its changes, and
# whether under the real prefix.  Asked without the code that is tested.
PHASE = f"""
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'hcevents_patient'),
           EXISTS (SELECT FROM pg_db_role_setting AS s
                          JOIN pg_database AS d ON d.oid = s.setdatabase
                    WHERE d.datname = '{NAME}' AND s.setrole = 0 AND
                        'hcevents.topic_prefix={REAL}' = ANY (setconfig))"""


class Handlers:
    """The signal handlers of the app, as the guide's project has them."""

    def __init__(self, bootstrap):
        self.producer = Producer({'bootstrap.servers': bootstrap,
                                  'partitioner': 'murmur2_random'})
        self.gated = True

    def connect(self):
        post_save.connect(self.saved, sender=Patient)
        post_save.connect(self.saved, sender=Appointment)
        post_delete.connect(self.deleted, sender=Patient)

    def disconnect(self):
        for sender in (Patient, Appointment):
            post_save.disconnect(self.saved, sender=sender)
        post_delete.disconnect(self.deleted, sender=Patient)

    def saved(self, sender, instance, created, using, **kwargs):
        if sender is Patient:
            self.publish('created' if created else 'updated', instance, using)
        elif created or instance.status != 'booked':
            self.publish(instance.status, instance, using)

    def deleted(self, sender, instance, using, **kwargs):
        self.publish('deleted', instance, using)

    def publish(self, action, instance, using):
        if self.gated and not signals_publish(using):
            return
        resource = type(instance).__name__.lower()
        event_type, key = f'{resource}.{action}', str(instance.pk)
        value = json.dumps({
            'event_id': str(uuid.uuid4()), 'event_type': event_type,
            'timestamp': '2026-01-31T12:00:00Z',
            'data': data_of(instance),
            'metadata': {'source': 'healthcore-api', 'version': '1.0'}})
        transaction.on_commit(lambda: self.producer.produce(
            f'{REAL}.{event_type}', value, key), using=using)

    def flush(self):
        assert self.producer.flush(60) == 0


def data_of(instance):
    if isinstance(instance, Patient):
        return {'patient_id': instance.pk, 'name': instance.name,
                'email': instance.email, 'version': instance.version}
    return {'appointment_id': instance.pk, 'patient_id': instance.patient_id,
            'status': instance.status, 'version': instance.version}


class Undone(Exception):
    """Ends a transaction that is to be rolled back."""


class Writer(threading.Thread):
    """One process of the application: writes until it is told to stop."""

    def __init__(self, number):
        super().__init__()
        self.random = Random(number)
        self.number = number
        self.stopping = threading.Event()
        self.failure = None
        self.count = 0

    def run(self):
        try:
            while not self.stopping.is_set():
                self.one_transaction()
        except BaseException as problem:
            self.failure = problem
            raise
        finally:
            connections[ALIAS].close()

    def one_transaction(self):
        try:
            with transaction.atomic(using=ALIAS):
                # Whoever locks rows of others does so in one order.
                for _ in range(self.random.randint(1, 3)):
                    self.random.choice(self.ACTIONS)(self)
                if self.random.random() < 0.1:
                    raise Undone
            self.count += 1
        except Undone:
            pass
        except OperationalError as problem:
            # A deadlock with attach(): an application tries again.
            if 'deadlock' not in str(problem):
                raise

    def note(self, action, instance, visible=True):
        """In the transaction of the change, what must become of it."""
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(PHASE)
            attached, switched = cursor.fetchone()
        Change.objects.using(ALIAS).create(
            event_type=f'{type(instance).__name__.lower()}.{action}',
            key=str(instance.pk), version=instance.version, visible=visible,
            attached=attached, switched=switched)

    def patient(self):
        """One of this writer's own, if there is one."""
        mine = Patient.objects.using(ALIAS).filter(email=f'w{self.number}')
        return mine.order_by('?').first()

    def create(self):
        patient = Patient(name='Ana "Nita" Μüller 李', email=f'w{self.number}')
        patient.save(using=ALIAS)
        self.note('created', patient)

    def create_many(self):
        for patient in Patient.objects.using(ALIAS).bulk_create(
                [Patient(name='bulk', email=f'w{self.number}')
                 for _ in range(3)]):
            self.note('created', patient, visible=False)

    def update(self):
        patient = self.patient()
        if patient:
            patient.version += 1
            patient.name = f'version {patient.version}'
            patient.save()
            self.note('updated', patient)

    def update_by_query(self):
        patient = self.patient()
        if patient:
            Patient.objects.using(ALIAS).filter(pk=patient.pk).update(
                version=F('version') + 1)
            patient.refresh_from_db()
            self.note('updated', patient, visible=False)

    def book(self):
        patient = self.patient()
        if patient:
            appointment = Appointment(patient=patient)
            appointment.save(using=ALIAS)
            self.note('booked', appointment)
            if self.random.random() < 0.6:
                appointment.status = self.random.choice(
                    ('cancelled', 'completed'))
                appointment.version += 1
                appointment.save()
                self.note(appointment.status, appointment)

    def delete(self):
        patient = self.patient()
        if patient:
            deleted = Patient(pk=patient.pk, version=patient.version)
            patient.delete()
            self.note('deleted', deleted)

    ACTIONS = (create, create, create_many, update, update, update_by_query,
               book, book, delete)


@pytest.fixture(scope='module')
def database(make_database):
    database = make_database(NAME, extension=False)
    database.sql(f'ALTER DATABASE {NAME} RESET hcevents.topic_prefix')
    call_command('migrate', 'clinic', '0001', database=ALIAS, verbosity=0,
                 skip_checks=True)
    connections[ALIAS].close()
    return database


@pytest.fixture
def writers():
    """writers(): starts three; ended in any case."""
    started = []

    def start():
        fresh = [Writer(len(started) + number) for number in range(3)]
        started.extend(fresh)
        for writer in fresh:
            writer.start()
        return fresh
    yield start
    stop(started)


def stop(writers):
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()
        assert writer.failure is None, writer.failure


def let_them_write(writers, transactions):
    """Until each of them has committed so many more."""
    goals = [(writer, writer.count + transactions) for writer in writers]
    wait_until(lambda: all(writer.count >= goal or not writer.is_alive()
                           for writer, goal in goals), 'the writing', 120)
    assert all(writer.is_alive() for writer in writers)


def attach(database):
    """Give way to the writers, and try again, as doc/cutover.md says."""
    def attempt():
        try:
            database.sql("""
                SET LOCAL lock_timeout = '500ms';
                SELECT hcevents.attach_healthcore(
                    'clinic_patient', 'clinic_appointment',
                    '{name,email,version}', '{patient_id,status,version}')""")
            return True
        except psycopg.errors.LockNotAvailable:
            return False
    wait_until(attempt, 'attach_healthcore()')


def switch(database, prefix):
    result = subprocess.run(
        [sys.executable, '-m', 'hcevents.cutover', '--dsn', database.dsn,
         prefix], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    assert 'the relay publishes under the new prefix' in result.stdout


def run_compare(database, since):
    return subprocess.run(
        [sys.executable, '-m', 'hcevents.compare', '--real', REAL,
         '--shadow', SHADOW, '--since', since, '--bootstrap-servers',
         database.bootstrap], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)


def in_kafka(database, prefix):
    """How often each (event type, key, version) is there."""
    return Counter(
        (event['event_type'], delivery.key, event['data']['version'])
        for event, delivery in read_topics(
            {'bootstrap.servers': database.bootstrap},
            [f'{prefix}.{name}' for name in TYPES]))


def test_no_event_is_lost_or_doubled(database, writers):
    handlers = Handlers(database.bootstrap)
    handlers.connect()
    try:
        # 1. Before: signals alone.
        running = writers()
        let_them_write(running, 15)

        # 2. The extension joins, under another prefix.
        database.sql(f"ALTER DATABASE {NAME} SET hcevents.topic_prefix = "
                     f"'{SHADOW}'")
        database.sql('CREATE EXTENSION hcevents')
        attach(database)
        let_them_write(running, 5)
        stop(running)

        # 3. Compare, for a time that begins and ends in quiet.
        handlers.flush()
        database.flush()
        since = database.value(
            "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
            "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
        first = database.value('SELECT count(*) FROM clinic_change')
        running = writers()
        let_them_write(running, 15)
        stop(running)
        handlers.flush()
        database.flush()
        compared = run_compare(database, since)
        seen, unseen = (database.value(
            'SELECT count(*) FROM (SELECT visible FROM clinic_change '
            'ORDER BY id OFFSET %s) AS c WHERE visible = %s', first, visible)
            for visible in (True, False))
        assert compared.stdout == (
            f'both={seen} different=0 only_real=0 only_shadow={unseen}\n')
        assert compared.returncode == 0 and unseen > 0

        # 4. Without a stop: there and back, twice, while they write.
        running = writers()
        let_them_write(running, 5)
        for prefix in (REAL, SHADOW) * 2:
            switch(database, prefix)
            let_them_write(running, 5)
        stop(running)

        # 5. In one deploy, with a stop: handlers that know of nothing.
        handlers.gated = False
        running = writers()
        let_them_write(running, 5)
        stop(running)
        handlers.flush()
        switch(database, REAL)
        handlers.disconnect()
        running = writers()
        let_them_write(running, 10)
        stop(running)
        database.flush()
    finally:
        handlers.disconnect()

    check_everything(database)


def check_everything(database):
    """Each committed change once, under the prefix in force for it."""
    real, shadow = in_kafka(database, REAL), in_kafka(database, SHADOW)
    expected_real, expected_shadow, phases = Counter(), Counter(), Counter()
    for event_type, key, version, visible, attached, switched in database.sql(
            'SELECT event_type, key, version, visible, attached, switched '
            'FROM clinic_change'):
        fact = (event_type, key, version)
        phases[attached, switched] += 1
        if switched or visible:
            expected_real[fact] += 1
        if attached and not switched:
            expected_shadow[fact] += 1
    assert set(phases) == {(False, False), (True, False), (True, True)}
    assert min(phases.values()) > 50
    assert expected_real - real == Counter(), 'lost'
    assert real - expected_real == Counter(), 'doubled, or never committed'
    assert expected_shadow - shadow == Counter(), 'lost in the shadow'
    assert shadow - expected_shadow == Counter(), 'too much in the shadow'
    assert max(real.values()) == 1
    assert database.value('SELECT sum(captured) FROM '
                          'hcevents.delivery_stats') == (
        phases[True, False] + phases[True, True])


def test_the_comparison_finds_what_is_not_equal(database):
    """What a wrong attachment, or a rolled-back change, would look like."""
    handlers = Handlers(database.bootstrap)
    since = '2026-01-01T00:00:00Z'
    before = run_compare(database, since)
    assert before.returncode == 1       # the phase without the extension
    handlers.producer.produce(f'{REAL}.patient.created', json.dumps(
        {'event_id': str(uuid.uuid4()), 'event_type': 'patient.created',
         'data': {'patient_id': -1}}), '-1')
    handlers.flush()
    after = run_compare(database, since)
    count = [int(result.stdout.split('only_real=')[1].split()[0])
             for result in (before, after)]
    assert count[1] == count[0] + 1


def test_the_gate_needs_a_transaction(database):
    from django.db.transaction import TransactionManagementError
    from hcevents.errors import HceventsError
    with pytest.raises(TransactionManagementError, match='atomic'):
        signals_publish(ALIAS)
    with transaction.atomic(using=ALIAS):
        assert signals_publish(ALIAS, prefix='another')
        assert not signals_publish(ALIAS)
    with pytest.raises(HceventsError, match='repeatable read'):
        with transaction.atomic(using=ALIAS):
            with connections[ALIAS].cursor() as cursor:
                cursor.execute(
                    'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ')
            signals_publish(ALIAS)
    connections[ALIAS].close()


def refused(database, *options):
    result = subprocess.run(
        [sys.executable, '-m', 'hcevents.cutover', '--dsn', database.dsn,
         '--timeout', '3', *options, 'other'], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 1
    return result.stderr


def test_between_the_switch_and_the_new_relay_nothing_is_sent(database):
    """What commits then stays in the journal, and goes to the new prefix."""
    class Watched(Switch):
        def _finish(self):
            event_id = database.value("""
                SELECT hcevents.publish('patient.updated',
                                        '{"patient_id": -2, "version": 1}')""")
            assert not database.value("SELECT hcevents.flush('1 s')")
            self.early = str(event_id)
            super()._finish()

    for prefix in (SHADOW, REAL):
        watched = Watched(database.dsn, prefix)
        watched.run()
        database.flush()
        for name in (SHADOW, REAL):
            ids = [event['event_id'] for event, _ in read_topics(
                {'bootstrap.servers': database.bootstrap},
                [f'{name}.patient.updated'])]
            assert (watched.early in ids) == (name == prefix)


def with_a_dead_letter(database):
    """What the command says while there is one that could be retried."""
    database.sql(f"ALTER DATABASE {NAME} SET hcevents.topic = '%p.%t.{LONG}'")
    try:
        with database.connect() as writer:
            writer.execute("SET LOCAL hcevents.topic = '%p.%t'")
            writer.execute("""SELECT hcevents.publish('patient.updated',
                                                      '{"patient_id": -3}')""")
        wait_until(lambda: database.value(
            'SELECT count(*) FROM hcevents.dead_letters'), 'a dead letter')
        return refused(database)
    finally:
        database.sql("SELECT hcevents.discard_dead_letters("
                     "since => '-infinity')")
        database.sql(f'ALTER DATABASE {NAME} RESET hcevents.topic')


LONG = 'x' * 230
PREFIX = f"""SELECT c FROM pg_db_role_setting AS s
    JOIN pg_database AS d ON d.oid = s.setdatabase, unnest(setconfig) AS c
    WHERE d.datname = '{NAME}' AND c LIKE 'hcevents.topic_prefix=%'"""


def test_a_switch_that_cannot_be_leaves_everything_as_it_was(database):
    before = database.sql(PREFIX)
    database.sql('SELECT hcevents.pause()')
    assert 'delivery is paused' in refused(database)
    database.sql('SELECT hcevents.resume()')
    with database.connect() as writer:
        writer.execute("INSERT INTO clinic_patient (name, version) "
                       "VALUES ('in a long transaction', 1)")
        assert 'a transaction goes on writing them' in refused(database)
    assert 'there are dead letters' in with_a_dead_letter(database)
    assert 'not switched: ' in refused(database, '--dsn', 'dbname=hce_none')
    database.flush()
    assert database.sql(PREFIX) == before
    assert database.value('SELECT count(*) FROM hcevents.pauses') == 0
