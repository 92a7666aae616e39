"""KafkaProducer: the event is part of the caller's transaction."""
import os
import uuid

import pg8000.dbapi
import psycopg
import psycopg2
import pytest
import sqlalchemy
from django.db import connections, transaction
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from hcevents import (InvalidEventError, KafkaProducer, NoConnectionError,
                      NotInstalledError, NotPermittedError, NotWritableError,
                      PatientCreatedEvent)
from hcevents.errors import HceventsError, translate


@pytest.fixture(scope='module')
def database(make_database):
    return make_database('hce_producer')


@pytest.fixture(scope='module', autouse=True)
def default_database(make_database):
    """Django's own, for what the guide shows."""
    return make_database('hce_default')


def engine_of(database, driver):
    module = {'psycopg': psycopg, 'psycopg2': psycopg2}[driver]
    return sqlalchemy.create_engine(
        f'postgresql+{driver}://', creator=lambda: module.connect(
            database.dsn), poolclass=sqlalchemy.pool.NullPool)


class Django:
    """Django's connection in the form of the others."""

    def __init__(self):
        self.connection = connections['producer']
        self.connection.set_autocommit(False)

    def commit(self):
        self.connection.commit()

    def rollback(self):
        self.connection.rollback()

    def close(self):
        self.connection.set_autocommit(True)
        self.connection.close()


class Plain:
    """A connection or session that commits itself."""

    def __init__(self, connection):
        self.connection = connection
        self.commit = connection.commit
        self.rollback = connection.rollback
        self.close = connection.close


WAYS = {
    'psycopg': lambda database: Plain(psycopg.connect(database.dsn)),
    'psycopg_dict_rows': lambda database: Plain(psycopg.connect(
        database.dsn, row_factory=psycopg.rows.dict_row)),
    'psycopg2': lambda database: Plain(psycopg2.connect(database.dsn)),
    'pg8000': lambda database: Plain(pg8000.dbapi.connect(
        os.environ['PGUSER'], database=database.name,
        unix_sock='{PGHOST}/.s.PGSQL.{PGPORT}'.format_map(os.environ))),
    'sqlalchemy_session': lambda database: Plain(
        Session(engine_of(database, 'psycopg'))),
    'sqlalchemy_psycopg2_session': lambda database: Plain(
        Session(engine_of(database, 'psycopg2'))),
    'sqlalchemy_connection': lambda database: Plain(
        engine_of(database, 'psycopg').connect()),
    'sqlalchemy_scoped_session': lambda database: Plain(
        scoped_session(sessionmaker(engine_of(database, 'psycopg')))),
    'django': lambda database: Django(),
}


@pytest.fixture(params=sorted(WAYS))
def way(request, database):
    way = WAYS[request.param](database)
    way.name = request.param
    yield way
    way.rollback()
    way.close()


def test_committed_and_rolled_back(way, database):
    """Only what commits arrives, with its id, key, data and headers."""
    publish = KafkaProducer.get_instance().publish
    kind = f'{way.name}.made'
    data = {'name': 'Ana "Nita" Müller \U0001F600', 'n': 1, 'none': None,
            'list': [1, 2.5, {'a': 'é'}]}
    first = publish(kind, data, key='1', headers={'trace_id': 'ü1'},
                    connection=way.connection)
    way.commit()
    publish(kind, {'name': 'never'}, key='2', connection=way.connection)
    way.rollback()
    second = publish(event_type=kind, data={f'{way.name}_id': 33},
                     connection=way.connection)
    way.commit()

    assert isinstance(first, uuid.UUID)
    got = {event['event_id']: (event, delivery) for event, delivery
           in database.events(f'hce_producer.{kind}')}
    assert set(got) == {str(first), str(second)}
    event, delivery = got[str(first)]
    assert event['data'] == data
    assert event['event_type'] == kind
    assert delivery.key == '1'
    assert delivery.headers['trace_id'] == 'ü1'
    assert delivery.headers['event_id'] == str(first)
    assert got[str(second)][1].key == '33'


def test_the_guides_code(default_database, monkeypatch):
    """As it stands there, on the imports of the project's own modules."""
    from django.conf import settings
    from src.apps.core.kafka import KafkaProducer
    from src.apps.patients.events import PatientCreatedEvent
    monkeypatch.setitem(connections['default'].settings_dict, 'NAME',
                        'hce_default')
    connections['default'].close()
    try:
        with transaction.atomic():
            event = PatientCreatedEvent(
                patient_id=123,
                patient_data={'name': 'John Doe'}
            )
            producer = KafkaProducer.get_instance()
            producer.publish(
                event_type=event.event_type,
                data=event.to_dict(),
                key=str(123)
            )
    finally:
        connections['default'].close()
    ((event, delivery),) = default_database.events(
        'hce_default.patient.created')
    assert event['data'] == {'patient_id': 123, 'name': 'John Doe'}
    assert list(event) == ['event_id', 'event_type', 'timestamp', 'data',
                           'metadata']
    assert event['metadata'] == {'source': 'healthcore-api', 'version': '1.0'}
    assert delivery.key == '123'
    assert settings.DATABASES['default']


def test_a_savepoint_takes_its_events_along(database):
    """Django: atomic() inside atomic()."""
    producer = KafkaProducer.get_instance()
    with transaction.atomic(using='producer'):
        kept = producer.publish('nested.made', {'nested_id': 1},
                                using='producer')
        with pytest.raises(ZeroDivisionError):
            with transaction.atomic(using='producer'):
                producer.publish('nested.made', {'nested_id': 2},
                                 using='producer')
                raise ZeroDivisionError
    connections['producer'].close()
    assert [event['event_id'] for event, _ in
            database.events('hce_producer.nested.made')] == [str(kept)]


def test_a_producer_with_a_connection_of_its_own(database):
    with database.connect() as connection:
        by_object = KafkaProducer(connection)
        by_function = KafkaProducer(lambda: connection)
        ids = {str(by_object.publish_event(PatientCreatedEvent(1))),
               str(by_function.publish_event(PatientCreatedEvent(2)))}
    got = database.events('hce_producer.patient.created')
    assert {event['event_id'] for event, _ in got} == ids
    assert {delivery.key for _, delivery in got} == {'1', '2'}


def test_get_instance_is_one_and_can_be_told_its_connection(database):
    assert KafkaProducer.get_instance() is KafkaProducer.get_instance()
    with database.connect() as connection:
        KafkaProducer.set_connection(lambda: connection)
        try:
            made = KafkaProducer.get_instance().publish('told.made', {})
        finally:
            KafkaProducer.set_connection(None)
    assert [event['event_id'] for event, _ in
            database.events('hce_producer.told.made')] == [str(made)]
    with pytest.raises(TypeError, match='function'):
        KafkaProducer.set_connection('dbname=clinic')


def test_off_means_none(database):
    with database.connect() as connection:
        connection.execute('SET hcevents.enabled = off')
        assert KafkaProducer(connection).publish('off.made', {}) is None


def test_flush(database):
    with database.connect(autocommit=True) as connection:
        producer = KafkaProducer(connection)
        producer.publish('flushed.made', {})
        assert producer.flush(60) is True


INVALID = {
    'type': (('patient', {}), '22023', 'resource.action'),
    'nul': (('a.made', {'x': 'a\0b'}), '22P05', 'U.0000'),
    'surrogate': (('a.made', {'x': '\ud800'}), '22P02', 'JSON'),
    'own_header': (('a.made', {}, None, {'event_id': 'x'}), '42939',
                   'another name'),
    'header_value': (('a.made', {}, None, {'n': 1}), '22023', 'trace_id'),
    'size': (('a.made', {'x': 'y' * 2000000}), '54000', 'max_event_size'),
    'long_type': (('a.' + 'b' * 250, {}), '42622', 'at most'),
}


@pytest.mark.parametrize('name', sorted(INVALID))
def test_an_invalid_event(way, name):
    arguments, sqlstate, hint = INVALID[name]
    with pytest.raises(InvalidEventError, match=hint) as caught:
        KafkaProducer.get_instance().publish(*arguments,
                                             connection=way.connection)
    assert caught.value.sqlstate == sqlstate
    assert caught.value.hint
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value, ValueError)


def test_data_that_is_no_dict(database):
    with database.connect() as connection:
        for data in (None, [1], 'x'):
            with pytest.raises(InvalidEventError, match='must be a dict'):
                KafkaProducer(connection).publish('a.made', data)


def test_no_right(way, database):
    database.sql("""DO $$ BEGIN CREATE ROLE hce_nobody;
        EXCEPTION WHEN duplicate_object THEN NULL; END $$""")
    execute(way, 'SET ROLE hce_nobody')
    with pytest.raises(NotPermittedError, match='grant_access') as caught:
        KafkaProducer.get_instance().publish('a.made', {},
                                             connection=way.connection)
    assert caught.value.sqlstate == '42501'


def execute(way, query):
    if 'sqlalchemy' in way.name:
        way.connection.execute(sqlalchemy.text(query))
    else:
        way.connection.cursor().execute(query)


def test_a_standby_refuses_with_a_hint():
    """What the server says there, without one."""
    class ReadOnly(Exception):
        sqlstate = '25006'

    error = translate(ReadOnly('cannot publish an event during recovery'))
    assert isinstance(error, NotWritableError)
    assert 'primary' in error.hint
    assert translate(ZeroDivisionError()) is None


def test_no_extension(make_database):
    bare = make_database('hce_without', extension=False)
    for connect in (psycopg.connect, psycopg2.connect):
        connection = connect(bare.dsn)
        with pytest.raises(NotInstalledError,
                           match='CREATE EXTENSION hcevents'):
            KafkaProducer(connection).publish('a.made', {})
        connection.close()


def test_other_errors_are_the_drivers(database):
    with database.connect() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute('SELECT 1 / 0')
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            KafkaProducer(connection).publish('a.made', {})
    closed = database.connect()
    closed.close()
    with pytest.raises(psycopg.OperationalError):
        KafkaProducer(closed).publish('a.made', {})


def test_what_is_no_connection():
    for thing in (42, 'dbname=clinic', object()):
        with pytest.raises(NoConnectionError, match='no database connection'):
            KafkaProducer(thing).publish('a.made', {})


def test_an_asynchronous_connection_is_told_apart(database):
    import asyncio

    async def attempt():
        connection = await psycopg.AsyncConnection.connect(database.dsn)
        try:
            with pytest.raises(HceventsError, match='asynchronous'):
                KafkaProducer(connection).publish('a.made', {})
        finally:
            await connection.close()
    asyncio.run(attempt())
