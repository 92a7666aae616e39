"""A PostgreSQL with hcevents and a Kafka are given by the environment.

PGHOST and PGPORT, KAFKA_BOOTSTRAP_SERVERS: what test/t/python_client.pl
starts.  What is missing ends the run with an error: nothing is skipped.
"""
import json
import os
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.abspath(os.path.join(HERE, '..', '..', '..'))
for folder in ('project', 'guide'):
    sys.path.insert(0, os.path.join(HERE, folder))
os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'
PATIENCE = float(os.environ.get('HCE_TEST_PATIENCE', '1'))


def pytest_configure(config):
    missing = [name for name in ('PGHOST', 'PGPORT',
                                 'KAFKA_BOOTSTRAP_SERVERS')
               if not os.environ.get(name)]
    if missing:
        pytest.exit(f'needed in the environment: {", ".join(missing)}', 2)
    os.environ.setdefault('PGUSER', 'postgres')
    import confluent_kafka  # noqa: F401  (a clear error at once)
    import django
    django.setup()


def wait_until(condition, what, seconds=60):
    """What condition() returns once that is true."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f'{what} did not happen in time'
        time.sleep(0.05)


class Database:
    """A database of the server, with its relay and topics of its own."""

    def __init__(self, name):
        self.name = name
        self.dsn = f'dbname={name}'
        self.bootstrap = os.environ['KAFKA_BOOTSTRAP_SERVERS']

    def connect(self, **options):
        import psycopg
        return psycopg.connect(self.dsn, **options)

    def sql(self, query, *arguments):
        """Run a query in a transaction of its own; its rows."""
        with self.connect() as connection:
            cursor = connection.execute(query, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query, *arguments):
        return self.sql(query, *arguments)[0][0]

    def flush(self):
        assert self.value("SELECT hcevents.flush('60 s')")

    def wait_for_relay(self):
        wait_until(lambda: self.sql(
            "SELECT 1 FROM hcevents.status WHERE state = 'streaming' "
            'AND datname = current_database()'), 'a relay')

    def events(self, topic, parse=json.loads):
        """Events and deliveries that a topic holds, after a flush."""
        from hcevents.compare import read_topics
        self.flush()
        return list(read_topics({'bootstrap.servers': self.bootstrap},
                                [topic], parse))


@pytest.fixture(scope='session')
def make_database():
    """make_database(name, extension=True): the prefix is the name."""
    def make(name, extension=True):
        import psycopg
        with psycopg.connect('dbname=postgres', autocommit=True) as server:
            server.execute(f'CREATE DATABASE {name}')
            server.execute(
                f"ALTER DATABASE {name} SET hcevents.topic_prefix = '{name}'")
        database = Database(name)
        if extension:
            database.sql('CREATE EXTENSION hcevents')
            database.wait_for_relay()
        return database
    return make


@pytest.fixture(scope='session')
def top():
    """The root of the sources."""
    return TOP
