"""The generator of a clinic: always the same, and PostgreSQL takes it all."""
import csv
import json
import os
import subprocess
import sys
import unicodedata

import pytest


@pytest.fixture(scope='module')
def generate(top):
    program = os.path.join(top, 'test', 'lib', 'clinic', 'generate')

    def run(*arguments):
        return subprocess.run([sys.executable, '-B', program, *arguments],
                              check=True, stdout=subprocess.PIPE).stdout
    return run


@pytest.fixture(scope='module')
def database(make_database, generate):
    database = make_database('hce_clinic', extension=False)
    schema = generate('--schema').decode()
    with database.connect() as connection:
        for name in ('by_sql', 'by_copy', 'by_csv'):
            connection.execute(f'CREATE SCHEMA {name}')
            connection.execute(f'SET LOCAL search_path = {name}')
            connection.execute(schema)
    return database


def test_the_same_seed_gives_the_same_bytes(generate):
    for form in ('sql', 'copy'):
        arguments = ('--seed', '7', '--patients', '300', '--format', form)
        once = generate(*arguments)
        assert once == generate(*arguments)
        assert once != generate('--seed', '8', *arguments[2:])


def test_the_bytes_do_not_depend_on_the_hash_seed(top):
    program = os.path.join(top, 'test', 'lib', 'clinic', 'generate')
    outputs = {subprocess.run(
        [sys.executable, '-B', program, '--patients', '50'], check=True,
        stdout=subprocess.PIPE, env={**os.environ, 'PYTHONHASHSEED': seed,
                                     'LC_ALL': 'C'}).stdout
        for seed in ('0', '1', '2')}
    assert len(outputs) == 1


def test_a_row_does_not_depend_on_how_many_there_are(generate):
    few = generate('--patients', '50', '--format', 'csv', '--table',
                   'patients')
    assert generate('--patients', '90', '--format', 'csv', '--table',
                    'patients').startswith(few)


def load(database, generate, form, schema):
    arguments = ['--seed', '5', '--patients', '3000', '--format', form]
    psql = [os.path.join(os.environ.get('PGBIN', ''), 'psql'), '-X', '-q',
            '-v', 'ON_ERROR_STOP=1', '-d', database.name]
    path = {**os.environ, 'PGOPTIONS': f'-c search_path={schema}'}
    if form != 'csv':
        subprocess.run(psql, input=generate(*arguments), check=True, env=path)
        return
    for table in ('patients', 'appointments'):
        subprocess.run(
            [*psql, '-c', f"COPY {table} FROM stdin (FORMAT csv, HEADER, "
             "ENCODING 'UTF8')"], check=True, env=path,
            input=generate(*arguments, '--table', table))


def test_all_forms_give_the_same_rows(database, generate):
    for form in ('sql', 'copy', 'csv'):
        load(database, generate, form, f'by_{form}')
    for table in ('patients', 'appointments'):
        count = database.value(f'SELECT count(*) FROM by_sql.{table}')
        assert count >= 3000
        for other in ('by_copy', 'by_csv'):
            assert database.value(f"""
                SELECT count(*) FROM (
                    (SELECT * FROM by_sql.{table} EXCEPT
                     SELECT * FROM {other}.{table}) UNION ALL
                    (SELECT * FROM {other}.{table} EXCEPT
                     SELECT * FROM by_sql.{table})) AS d""") == 0
            assert database.value(
                f'SELECT count(*) FROM {other}.{table}') == count


def test_it_is_realistic(database):
    """Scripts, statuses, and about one extreme row in a hundred."""
    names = [row[0] for row in database.sql(
        'SELECT name FROM by_copy.patients')]
    text = ''.join(names)
    for script in ('LATIN', 'CYRILLIC', 'GREEK', 'ARABIC', 'HEBREW',
                   'DEVANAGARI', 'CJK', 'HANGUL', 'THAI'):
        assert any(unicodedata.name(letter, '').startswith(script)
                   for letter in text), script
    for letter in ("'", '\u200f', '\u0301', '\U0001F60A', '\u202b', '𠮷'):
        assert letter in text, ascii(letter)
    assert {row[0] for row in database.sql(
        'SELECT DISTINCT status FROM by_copy.appointments')} == {
            'booked', 'cancelled', 'completed'}
    extreme = database.value("""
        SELECT count(*) FROM by_copy.patients
         WHERE octet_length(notes) > 100000 OR notes ~ E'[\\x01-\\x08]'
            OR name = '' OR length(name) > 1000 OR balance = 'NaN'
            OR abs(balance) > 1e9 OR birth_date NOT BETWEEN '1900-01-01'
            AND '2100-01-01' OR email = ''""")
    assert 10 <= extreme <= 60
    assert database.value(
        'SELECT max(octet_length(notes)) FROM by_copy.patients') > 200000


def test_csv_keeps_null_and_empty_apart(generate):
    lines = generate('--patients', '400', '--format', 'csv', '--table',
                     'patients').decode()
    csv.field_size_limit(10 ** 6)
    rows = list(csv.DictReader(lines.splitlines(keepends=True)))
    assert len(rows) >= 400
    assert ',,' in lines and ',"",' in generate(
        '--patients', '4000', '--format', 'csv', '--table',
        'patients').decode()


def exact(text):
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)


def test_every_row_arrives_as_it_is_stored(make_database, generate):
    """Extremes too: the event's data are what to_json() gives for the row."""
    database = make_database('hce_real')
    database.sql(generate('--schema').decode())
    database.sql("SELECT hcevents.attach('patients', 'patient', '{*}'), "
                 "hcevents.attach('appointments', 'appointment', '{*}')")
    load(database, generate, 'copy', 'public')
    rows = 0
    for table, event_type in (('patients', 'patient.created'),
                              ('appointments', 'appointment.created')):
        resource = event_type.split('.')[0]
        stored = {key: exact(text) for key, text in database.sql(
            f'SELECT id::text, row_to_json(t)::text FROM {table} AS t')}
        arrived = {}
        for event, delivery in database.events(f'hce_real.{event_type}',
                                               exact):
            data = event['data']
            assert data.pop(f'{resource}_id') == delivery.key
            assert delivery.key not in arrived
            assert 'password' not in data
            arrived[delivery.key] = data
        for row in stored.values():
            row.pop('password', None)
            row.pop('id')
        assert arrived == stored
        rows += len(stored)
    assert rows > 9000
    assert database.value('SELECT count(*) FROM hcevents.dead_letters') == 0
