"""attach_sql() and detach_sql(): quoted, and right for every driver."""
import pytest
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations

from hcevents import attach_healthcore_sql, attach_sql, detach_sql
from hcevents.sql import quote_list, quote_value

TRANSITIONS = [{'column': 'st:ate%s', 'from': ":new'", 'to': '100 %\\done',
                'event': 'done'}]
ODD = 'Odd "table" :x %s \'q\' \\b'


@pytest.fixture(scope='module')
def database(make_database):
    database = make_database('hce_sql')
    database.sql('CREATE SCHEMA "The Clinic"')
    odd = ODD.replace('"', '""')
    # The % of a query is doubled for psycopg only where it has parameters.
    database.sql(f'CREATE TABLE "The Clinic"."{odd}" '
                 '(id int, no int, "st:ate%s" text, "full name" text,'
                 ' PRIMARY KEY (id, no))')
    database.sql('CREATE TABLE patients (id int PRIMARY KEY, name text,'
                 ' email text)')
    database.sql('CREATE TABLE appointments (id int PRIMARY KEY,'
                 ' patient_id int, status text)')
    return database


def test_the_plain_statement():
    assert attach_sql('patients', 'patient', ['name', 'email']) == (
        "SELECT hcevents.attach('\"patients\"'::regclass, 'patient', "
        "columns => ARRAY['name', 'email']::text[])")
    assert detach_sql('patients', 'patient') == (
        "SELECT hcevents.detach('\"patients\"'::regclass, 'patient')")
    assert attach_sql('t', 'x', on_update=None, on_delete=None).endswith(
        "'x', on_update => NULL, on_delete => NULL)")


@pytest.mark.parametrize('value', ["a'b", 'a\\b', "\\'", ':name', 'a:b',
                                   '100 %s', '::', 'Ünïcode', '', '"', '%%'],
                         ids=[str(number) for number in range(11)])
def test_literals_survive_every_way(database, value):
    query = f'SELECT {quote_value(value)}, {quote_list([value, "x"])}'
    engine = sqlalchemy.create_engine('postgresql+psycopg://', creator=(
        lambda: database.connect()))
    with database.connect() as connection, engine.connect() as alchemy:
        assert connection.execute(query).fetchone() == (value, [value, 'x'])
        assert connection.execute(query + ', %s', [1]).fetchone() == (
            value, [value, 'x'], 1)
        assert tuple(alchemy.execute(sqlalchemy.text(query)).one()) == (
            value, [value, 'x'])
    engine.dispose()


def test_old_string_literals(database):
    with database.connect() as connection:
        connection.execute('SET standard_conforming_strings = off')
        assert connection.execute(
            f"SELECT {quote_value('a' + chr(92) + 'b')}").fetchone() == (
                'a\\b',)


def test_what_no_literal_can_hold():
    with pytest.raises(ValueError, match='U.0000'):
        quote_value('a\0b')
    with pytest.raises(TypeError, match='list of names'):
        attach_sql('t', 'x', 'name')


def test_odd_names_in_alembic_and_back(database):
    engine = sqlalchemy.create_engine('postgresql+psycopg://', creator=(
        lambda: database.connect()))
    attach = attach_sql(ODD, 'thing', ['label:full name', 'st:ate%s'],
                        schema='The Clinic', on_insert='made',
                        on_delete=None, transitions=TRANSITIONS,
                        key=['no', 'id'])
    attachment = ('SELECT resource, events, columns, key, valid '
                  'FROM hcevents.attachments WHERE resource = \'thing\'')
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.execute(attach)
        op.execute(attach)      # run twice
    assert database.sql(attachment) == [
        ('thing', ['thing.made', 'thing.updated', 'thing.done'],
         ['label:full name', 'st:ate%s'], ['no', 'id'], True)]
    assert 'U+0000' not in database.value(
        "SELECT definition FROM hcevents.attachments WHERE resource = 'thing'")
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.execute(detach_sql(ODD, 'thing', schema='The Clinic'))
        op.execute(detach_sql(ODD, 'thing', schema='The Clinic'))
    assert database.sql(attachment) == []
    engine.dispose()


def test_the_transition_fires(database):
    odd = ODD.replace('"', '""')
    database.sql(attach_sql(ODD, 'thing', ['st:ate%s'], schema='The Clinic',
                            transitions=TRANSITIONS))
    database.sql(f'INSERT INTO "The Clinic"."{odd}" '
                 "VALUES (1, 2, ':new''')")
    database.sql(f'UPDATE "The Clinic"."{odd}" '
                 "SET \"st:ate%s\" = E'100 %\\\\done'")
    ((event, delivery),) = database.events('hce_sql.thing.done')
    assert event['data']['st:ate%s'] == '100 %\\done'


def test_the_key_of_several_columns_is_that_of_an_event_class(database):
    from hcevents import Event

    class ThingMade(Event):
        event_type = 'thing.made'

    ((event, delivery),) = database.events('hce_sql.thing.done')
    assert delivery.key == ThingMade(event['data']['thing_id']).key


def test_healthcore(database):
    database.sql(attach_healthcore_sql())
    database.sql(attach_healthcore_sql())
    assert database.value(
        'SELECT count(*) FROM hcevents.attachments '
        "WHERE target::text IN ('patients', 'appointments')") == 2
    assert database.value(detach_sql('patients')) == 1
    assert database.value(detach_sql('appointments', 'appointment')) == 1
    assert database.value(detach_sql('appointments', 'appointment')) == 0
