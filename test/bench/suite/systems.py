"""The systems that are measured, each set up as its own documentation has it.

A system is asked, in this order, to start() on a fresh cluster, for its topic,
for the CPU and memory of what brings events from the database to Kafka
(delivery), and to stop().  hold() lets a backlog grow, go_on() ends that.
"""
import json
import os
import signal
import subprocess
import urllib.request

from world import BENCH, TABLE, cpu_of, free_port, memory_of, run, wait_until

CONNECT_DIR = os.environ.get('HCE_CONNECT_DIR', '/var/tmp/hcevents-connect')
OUTBOX_TABLE = (BENCH / 'suite' / 'outbox.sql').read_text(encoding='utf-8')


class System:
    name = ''
    title = ''
    # What somebody has to do to use it, beside a running PostgreSQL and Kafka.
    steps = ()
    topic = None
    settings = {}
    # Rows of a backlog: fewer where they take minutes.
    backlog_rows = 1000000

    def __init__(self, world):
        self.world = world
        self.postgres = world.postgres

    def publishes(self):
        return self.topic is not None

    def start(self):
        if self.topic:
            self.world.kafka.fresh_topic(self.topic)
        self.postgres.start(self.settings_now())
        self.postgres.sql(TABLE)
        self.install()
        if self.topic:
            self.warm_up()

    def settings_now(self):
        return self.settings

    def install(self):
        """What makes the table publish."""

    def warm_up(self):
        before = self.world.kafka.count(self.topic)
        self.postgres.sql("INSERT INTO patients (name) VALUES ('warm up')")
        wait_until(lambda: self.world.kafka.count(self.topic) > before, 120,
                   f'the first event of {self.name}')

    def pids(self):
        """Processes that bring events from the database to Kafka."""
        return []

    def cpu(self):
        return sum(cpu_of(pid) for pid in self.pids())

    def memory(self):
        return sum(memory_of(pid) for pid in self.pids())

    def hold(self):
        raise NotImplementedError

    def go_on(self):
        raise NotImplementedError

    def stop(self):
        self.postgres.stop()


class Nothing(System):
    name = 'none'
    title = 'nothing captured'


class NoOp(System):
    name = 'noop'
    title = 'a C trigger that does nothing'

    def install(self):
        self.postgres.sql(
            'CREATE EXTENSION hcevents_test',
            'CREATE TRIGGER noop AFTER INSERT OR UPDATE OR DELETE ON patients '
            'FOR EACH ROW EXECUTE FUNCTION hce_test_noop()')


class Hcevents(System):
    name = 'hcevents'
    title = 'hcevents'
    topic = 'healthcore.patient.created'
    steps = ("shared_preload_libraries = 'hcevents' and a restart",
             'hcevents.bootstrap_servers', 'CREATE EXTENSION hcevents',
             "SELECT hcevents.attach('patients', 'patient', '{name,email}')")
    held = None

    def settings_now(self):
        return {'shared_preload_libraries': "'hcevents'",
                'hcevents.bootstrap_servers': f"'{self.world.kafka.bootstrap}'"}

    def install(self):
        self.postgres.sql(
            'CREATE TABLE uncaptured (LIKE patients INCLUDING ALL)',
            'CREATE EXTENSION hcevents',
            "SELECT hcevents.attach('patients', 'patient', '{name,email}')")

    def pids(self):
        pid = self.postgres.sql('SELECT relay_pid FROM hcevents.status '
                                'WHERE datname = current_database()')
        return [int(pid)] if pid else []

    def hold(self):
        self.held = self.pids()[0]
        os.kill(self.held, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.held, signal.SIGCONT)


class HceventsPlain(Hcevents):
    name = 'hcevents_no_headers'
    title = "hcevents, hcevents.headers = ''"

    def settings_now(self):
        return {**super().settings_now(), 'hcevents.headers': "''"}


class HceventsPaused(Hcevents):
    """The relay is stopped: what the writers pay for capture alone."""
    name = 'hcevents_paused'
    title = 'hcevents, relay stopped'

    def start(self):
        super().start()
        self.hold()

    def publishes(self):
        return False

    def stop(self):
        if self.held:
            self.go_on()
        super().stop()


class Outbox(System):
    name = 'outbox'
    title = 'outbox table by a plpgsql trigger, polling relay (SKIP LOCKED)'
    topic = 'outbox.patient.created'
    steps = ('the outbox table', 'a trigger function in plpgsql',
             'a trigger for each table', 'a relay program to be deployed',
             'its supervision', 'vacuum of the outbox')
    backlog_rows = 100000
    relay = None

    def install(self):
        self.postgres.sql(
            OUTBOX_TABLE,
            'CREATE TRIGGER outbox AFTER INSERT OR UPDATE OR DELETE ON patients '
            'FOR EACH ROW EXECUTE FUNCTION outbox_patient()')
        self.go_on()

    def go_on(self):
        self.relay = subprocess.Popen(
            ['/usr/bin/python3', '-B', str(BENCH / 'suite' / 'outbox_relay.py'),
             self.postgres.conninfo(), self.world.kafka.bootstrap, 'outbox.'])

    def hold(self):
        self.relay.terminate()
        self.relay.wait()

    def pids(self):
        backends = self.postgres.sql("SELECT pid FROM pg_stat_activity "
                                     "WHERE application_name = 'outbox relay'")
        return [self.relay.pid, *map(int, backends.split())]

    def stop(self):
        if self.relay:
            self.hold()
        super().stop()


class Debezium(System):
    """Kafka Connect standalone with Debezium's connector for PostgreSQL.

    Settings of its guide for throughput: larger batches and queue, batched
    producer with LZ4; heap and garbage collector as for the broker.
    """
    name = 'debezium'
    title = 'Debezium, pgoutput'
    topic = 'dbz.public.patients'
    steps = ('wal_level = logical and a restart', 'a role with REPLICATION',
             'a publication', 'Kafka Connect to be deployed', 'its supervision',
             'the connector’s plugin', 'the worker’s configuration',
             'the connector’s configuration')
    settings = {'wal_level': 'logical'}
    backlog_rows = 500000
    poll_ms = 500
    connect = None

    def install(self):
        self.postgres.sql('CREATE PUBLICATION dbz FOR TABLE patients')
        self.go_on()

    def connector(self):
        return {
            'name': 'clinic',
            'config': {
                'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
                'tasks.max': '1',
                'database.hostname': '127.0.0.1',
                'database.port': str(self.tcp_port),
                'database.user': 'postgres', 'database.password': 'none',
                'database.dbname': 'postgres',
                'topic.prefix': 'dbz', 'plugin.name': 'pgoutput',
                'publication.name': 'dbz', 'slot.name': 'dbz',
                'publication.autocreate.mode': 'disabled',
                'table.include.list': self.tables(),
                'snapshot.mode': 'no_data',
                'message.prefix.exclude.list': '.*',
                'poll.interval.ms': str(self.poll_ms),
                'max.batch.size': '8192', 'max.queue.size': '32768',
                'producer.override.linger.ms': '0',
                'producer.override.batch.size': '1000000',
                'producer.override.compression.type': 'lz4',
                'producer.override.max.request.size': '2000000',
                **self.transforms()}}

    def tables(self):
        return 'public.patients'

    def transforms(self):
        return {}

    def settings_now(self):
        self.tcp_port = self.postgres.port
        return {**self.settings, 'listen_addresses': "'127.0.0.1'"}

    def go_on(self):
        directory = self.world.work / 'connect'
        directory.mkdir(exist_ok=True)
        plugins = directory / 'plugins'
        plugins.mkdir(exist_ok=True)
        rest = free_port()
        worker = {
            'bootstrap.servers': self.world.kafka.bootstrap,
            'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
            'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
            'key.converter.schemas.enable': 'false',
            'value.converter.schemas.enable': 'false',
            'offset.storage.file.filename': str(directory / 'offsets'),
            'offset.flush.interval.ms': '10000',
            'listeners': f'http://127.0.0.1:{rest}',
            'connector.client.config.override.policy': 'All',
            'plugin.discovery': 'only_scan',
            # Empty: the connector is on the class path.
            'plugin.path': str(plugins)}
        (directory / 'worker.properties').write_text(
            ''.join(f'{name}={value}\n' for name, value in worker.items()),
            encoding='utf-8')
        (directory / 'connector.json').write_text(json.dumps(self.connector()),
                                                  encoding='utf-8')
        log = open(directory / 'log', 'a', encoding='utf-8')
        self.connect = subprocess.Popen(
            ['java', '-Xms256m', '-Xmx1g', '-XX:+UseSerialGC', '-XX:-UsePerfData',
             f'-Dlog4j2.configurationFile={BENCH.parent / "kafka" / "log4j2.properties"}',
             '-cp', f'{CONNECT_DIR}/*',
             'org.apache.kafka.connect.cli.ConnectStandalone',
             str(directory / 'worker.properties'), str(directory / 'connector.json')],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        wait_until(lambda: self.streams(rest), 180, f'{self.name} to stream')

    def streams(self, rest):
        if self.connect.poll() is not None:
            raise RuntimeError(f'Kafka Connect ended, see {self.world.work}/connect/log')
        try:
            with urllib.request.urlopen(
                    f'http://127.0.0.1:{rest}/connectors/clinic/status') as answer:
                status = json.load(answer)
        except OSError:
            return False
        for task in status['tasks']:
            if task['state'] == 'FAILED':
                raise RuntimeError(task['trace'][:2000])
        return self.postgres.sql('SELECT count(*) FROM pg_stat_replication') != '0'

    def hold(self):
        self.connect.terminate()
        try:
            self.connect.wait(30)
        except subprocess.TimeoutExpired:
            self.connect.kill()
            self.connect.wait()
        wait_until(lambda: self.postgres.sql(
            'SELECT count(*) FROM pg_stat_replication') == '0', 30,
            'the walsender to end')

    def pids(self):
        senders = self.postgres.sql('SELECT pid FROM pg_stat_replication')
        return [self.connect.pid, *map(int, senders.split())]

    def poll(self, milliseconds):
        """Another poll.interval.ms from now on."""
        self.hold()
        self.poll_ms = milliseconds
        self.go_on()

    def stop(self):
        if self.connect:
            self.hold()
        (self.world.work / 'connect' / 'offsets').unlink(missing_ok=True)
        super().stop()


class DebeziumOutbox(Debezium):
    """Debezium's outbox event router over a table that a trigger fills."""
    name = 'debezium_outbox'
    title = 'Debezium, outbox event router'
    topic = 'outbox.event.patient'
    steps = (*Debezium.steps, 'the outbox table', 'a trigger function in plpgsql',
             'a trigger for each table', 'cleaning of the outbox')

    def install(self):
        self.postgres.sql(
            OUTBOX_TABLE,
            'CREATE TRIGGER outbox AFTER INSERT OR UPDATE OR DELETE ON patients '
            'FOR EACH ROW EXECUTE FUNCTION outbox_patient()',
            'CREATE PUBLICATION dbz FOR TABLE outbox')
        self.go_on()

    def tables(self):
        return 'public.outbox'

    def transforms(self):
        return {'transforms': 'outbox',
                'transforms.outbox.type':
                    'io.debezium.transforms.outbox.EventRouter',
                'transforms.outbox.table.expand.json.payload': 'true'}


class DjangoProgram(System):
    """Not a system to publish but a client: Django's ORM in processes."""
    name = 'django'
    title = 'Django ORM, nothing published'
    mode = 'plain'

    def commits(self, clients, seconds):
        cache = os.environ.get('HCE_ORM_CACHE', '/var/tmp/hcevents-orm')
        environment = {
            **os.environ, 'PGHOST': str(self.postgres.dir),
            'PGPORT': str(self.postgres.port), 'PGUSER': 'postgres',
            'PGDATABASE': 'postgres',
            'KAFKA_BOOTSTRAP_SERVERS': self.world.kafka.bootstrap}
        line = run(f'{cache}/django/venv/bin/python', '-B',
                   BENCH / 'suite' / 'django_writer.py', self.mode, clients,
                   seconds, env=environment)
        return float(line.split()[-1])


class DjangoSignals(DjangoProgram):
    name = 'django_signals'
    title = 'Django ORM, signals and confluent-kafka'
    mode = 'signals'
    steps = ('a handler for each model and event', 'a producer in each process',
             'its flush at the process’ end')


class DjangoHcevents(DjangoProgram, Hcevents):
    name = 'django_hcevents'
    title = 'Django ORM, hcevents'


SYSTEMS = {system.name: system for system in (
    Nothing, NoOp, Hcevents, HceventsPlain, HceventsPaused, Outbox, Debezium,
    DebeziumOutbox, DjangoProgram, DjangoSignals, DjangoHcevents)}
