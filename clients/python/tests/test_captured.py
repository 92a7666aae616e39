"""captured_events() where applications look at it: a Django test run, by a
role that is no superuser, and a pytest fixture that rolls back."""
import os
import subprocess
import sys

import psycopg
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope='module')
def template():
    """test_template, as README.md tells a superuser to make it."""
    with psycopg.connect('dbname=postgres', autocommit=True) as server:
        server.execute('CREATE ROLE hce_tester LOGIN CREATEDB')
        server.execute('CREATE DATABASE test_template IS_TEMPLATE true')
        with psycopg.connect('dbname=test_template') as database:
            database.execute('CREATE EXTENSION hcevents')
            database.execute("SELECT hcevents.grant_access('hce_tester', l) "
                             "FROM unnest('{test,attach}'::text[]) AS l")
        yield server
        server.execute('DROP DATABASE IF EXISTS test_captured')
        server.execute('ALTER DATABASE test_template IS_TEMPLATE false')
        server.execute('DROP DATABASE test_template')
        server.execute('DROP ROLE hce_tester')


def django_tests(*arguments, **environment):
    path = os.pathsep.join([os.path.join(HERE, 'project'),
                            os.environ.get('PYTHONPATH', '')])
    # Not PGUSER's database: the runner connects to "postgres" to make its own.
    return subprocess.run(
        [sys.executable, '-m', 'django', 'test', 'captured', *arguments],
        env=dict(os.environ, PYTHONPATH=path,
                 DJANGO_SETTINGS_MODULE='captured_settings', **environment),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300)


def slots(server):
    return server.execute('SELECT count(*) FROM pg_replication_slots '
                          "WHERE slot_name ~ '^hcevents_'").fetchone()


def test_django_test_run(template):
    before = slots(template)
    run = django_tests('--keepdb')
    assert run.returncode == 0, run.stdout
    assert 'Ran 5 tests' in run.stdout
    assert slots(template) == before
    with psycopg.connect('dbname=test_captured') as database:
        assert database.execute(
            'SELECT state FROM hcevents.status '
            'WHERE datname = current_database()').fetchall() == [('excluded',)]
    template.execute('DROP DATABASE test_captured')


def test_django_test_run_in_parallel(template):
    run = django_tests('--parallel', '2')
    assert run.returncode == 0, run.stdout
    assert 'Ran 5 tests' in run.stdout
    assert template.execute('SELECT count(*) FROM pg_database WHERE datname '
                            "LIKE 'test_captured%'").fetchone() == (0,)


def test_a_run_without_attachments_fails(template):
    run = django_tests(HCE_WITHOUT_MIGRATIONS='1')
    assert run.returncode != 0
    assert "AssertionError: Lists differ: [] != [('patient.created'" \
        in run.stdout, run.stdout


def test_nothing_is_sent(template):
    """Those of the test that commits, and all others."""
    from confluent_kafka.admin import AdminClient
    admin = AdminClient(
        {'bootstrap.servers': os.environ['KAFKA_BOOTSTRAP_SERVERS']})
    assert 'healthcore.patient.created' not in admin.list_topics(
        timeout=30).topics


@pytest.fixture(scope='module')
def clinic():
    with psycopg.connect('dbname=postgres', autocommit=True) as server:
        server.execute('CREATE DATABASE test_clinic')
        with psycopg.connect('dbname=test_clinic') as database:
            database.execute('CREATE EXTENSION hcevents')
            database.execute('CREATE TABLE patients (id bigint GENERATED '
                             'ALWAYS AS IDENTITY PRIMARY KEY, name text, '
                             'email text)')
            database.execute("SELECT hcevents.attach('patients', 'patient', "
                             "'{name,email}')")
        yield
        server.execute('DROP DATABASE test_clinic')


@pytest.fixture
def database(clinic):
    with psycopg.connect('dbname=test_clinic options='
                         "'-c hcevents.keep_captured=on'") as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize('name', ['Jane', 'Joe'])
def test_insert_publishes(database, name):
    assert database.execute('SELECT count(*) FROM patients'
                            ).fetchone() == (0,)
    database.execute('INSERT INTO patients (name, email) VALUES (%s, %s)',
                     (name, 'jane@example.com'))
    events = database.execute('SELECT event_type, data '
                              'FROM hcevents.captured_events()').fetchall()
    assert [(event_type, data['name']) for event_type, data in events] == [
        ('patient.created', name)]
