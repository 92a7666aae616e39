"""Django: the system checks, and Attach and Detach in migrations."""
import io

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, migrations, models
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter

from hcevents.django.operations import Attach, AttachHealthcore, Detach


@pytest.fixture(scope='module')
def database(make_database):
    database = make_database('hce_django')
    migrate('0001')
    return database


@pytest.fixture(scope='module', autouse=True)
def bare(make_database, database):
    yield
    for connection in connections.all():
        connection.close()


def migrate(target, **options):
    out = io.StringIO()
    call_command('migrate', 'clinic', target, verbosity=0, stdout=out,
                 stderr=out, skip_checks=True, **options)
    return out.getvalue()


def ids(messages):
    return sorted(message.id for message in messages
                  if message.id.startswith('hcevents.'))


def checks(*databases):
    return [message for message in run_checks(databases=databases or None)
            if message.id.startswith('hcevents.')]


ATTACHED = ('SELECT target::text, resource, events, columns, valid '
            'FROM hcevents.attachments ORDER BY 1, 2')
PATIENT = ('clinic_patient', 'patient',
           ['patient.created', 'patient.updated', 'patient.deleted'],
           ['name', 'email', 'version'], True)
APPOINTMENT = ('clinic_appointment', 'appointment',
               ['appointment.booked', 'appointment.cancelled',
                'appointment.completed'],
               ['patient_id', 'status', 'room:room_name', 'version'], True)


def test_migrate_forwards_backwards_and_twice(database):
    for _ in range(2):
        migrate('0002')
        assert database.sql(ATTACHED) == [APPOINTMENT, PATIENT]
        migrate('0001')
        assert database.sql(ATTACHED) == []


def test_run_twice_without_harm(database):
    """As after --fake, or in a database that a DBA has attached by hand."""
    migrate('0002')
    migrate('0001', fake=True)
    migrate('0002')
    assert database.sql(ATTACHED) == [APPOINTMENT, PATIENT]
    migrate('0001')
    migrate('0002', fake=True)
    migrate('0001')
    assert database.sql(ATTACHED) == []


def test_sqlmigrate_shows_the_statement(database):
    out = io.StringIO()
    call_command('sqlmigrate', 'clinic', '0002', stdout=out)
    assert "SELECT hcevents.attach_healthcore('\"clinic_patient\"'::regclass" \
        in out.getvalue()
    out = io.StringIO()
    call_command('sqlmigrate', 'clinic', '0002', backwards=True, stdout=out)
    assert 'hcevents.detach' in out.getvalue()
    assert database.sql(ATTACHED) == []


@pytest.fixture
def run(database):
    """run(operation, backwards=False) on the models of 0001."""
    state = ProjectState()
    migration = __import__('clinic.migrations.0001_initial',
                           fromlist=['Migration']).Migration
    for operation in migration.operations:
        operation.state_forwards('clinic', state)

    def run(operation, backwards=False):
        connection = connections['default']
        after = state.clone()
        operation.state_forwards('clinic', after)
        with connection.schema_editor(atomic=True) as editor:
            if backwards:
                operation.database_backwards('clinic', editor, after, state)
            else:
                operation.database_forwards('clinic', editor, state, after)
    yield run
    database.sql("SELECT hcevents.detach(t) FROM (SELECT DISTINCT target "
                 'FROM hcevents.attachments) AS a(t)')


def test_attach_with_everything(run, database):
    operation = Attach(
        'Appointment', 'visit', ['patient', 'place:room', 'status'],
        on_insert='made', on_update=None, on_delete=None,
        transitions=[{'column': 'room', 'to': "Dr. O'Neill 100 %s",
                      'event': 'moved'}], key=['patient', 'id'])
    for _ in range(2):
        run(operation)
    assert database.sql('SELECT target::text, events, columns, key '
                        'FROM hcevents.attachments') == [
        ('clinic_appointment', ['visit.made', 'visit.moved'],
         ['patient_id', 'place:room_name', 'status'], ['patient_id', 'id'])]
    for _ in range(2):
        run(operation, backwards=True)
    assert database.sql(ATTACHED) == []


def test_the_way_back_to_an_earlier_attachment(run, database):
    first = Attach('Patient', 'patient', ['name'])
    second = Attach('Patient', 'patient', ['name', 'email'], replaces=first)
    columns = 'SELECT columns FROM hcevents.attachments'
    run(first)
    run(second)
    assert database.value(columns) == ['name', 'email']
    run(second, backwards=True)
    assert database.value(columns) == ['name']
    run(first, backwards=True)
    assert database.sql(columns) == []


def test_detach_and_back(run, database):
    arguments = dict(model='clinic.Patient', resource='patient',
                     columns=['name'], on_delete=None)
    run(Attach(**arguments))
    before = database.sql(ATTACHED)
    detach = Detach(**arguments)
    for _ in range(2):
        run(detach)
        assert database.sql(ATTACHED) == []
    for _ in range(2):
        run(detach, backwards=True)
        assert database.sql(ATTACHED) == before
    assert len(before) == 1


def test_a_table_without_a_model(run, database):
    database.sql('CREATE TABLE "Old.Notes" (id int PRIMARY KEY, t text)')
    operation = Attach(table='Old.Notes', resource='note', columns=['t'])
    run(operation)
    assert database.value('SELECT target::text FROM hcevents.attachments'
                          ) == '"Old.Notes"'
    run(operation, backwards=True)
    assert database.sql(ATTACHED) == []


def test_create_and_attach_in_one_migration(database):
    """The table is there only for the operations behind it."""
    state = ProjectState()
    operations = [
        migrations.CreateModel('Room', [
            ('id', models.BigAutoField(primary_key=True)),
            ('name', models.TextField())]),
        Attach('Room', 'room', ['name'])]
    connection = connections['default']
    with connection.schema_editor(atomic=True) as editor:
        for operation in operations:
            before = state.clone()
            operation.state_forwards('clinic', state)
            operation.database_forwards('clinic', editor, before, state)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO clinic_room (name) VALUES ('Ω')")
    ((event, _),) = database.events('hce_django.room.created')
    assert event['data']['name'] == 'Ω'
    database.sql('DROP TABLE clinic_room')


def test_squashed_migrations_can_write_the_operations():
    for operation in (
            Attach('clinic.Patient', 'patient', ['name'], on_delete=None,
                   replaces=Attach('clinic.Patient', 'patient')),
            Detach(table='t', resource='x', key=['id']),
            AttachHealthcore('clinic.Patient', 'clinic.Appointment')):
        text, imports = OperationWriter(operation, indentation=0).serialize()
        scope = {}
        exec('\n'.join(sorted(imports)), scope)
        again = eval(text.rstrip().rstrip(','), scope)
        assert again.deconstruct()[1] == operation.deconstruct()[1]
        assert type(again) is type(operation)
        assert operation.describe() and operation.migration_name_fragment


def test_wrong_arguments():
    with pytest.raises(ValueError, match='model or a table'):
        Attach('a.B', 'x', table='t')
    with pytest.raises(ValueError, match='model or a table'):
        Attach(resource='x')
    with pytest.raises(ValueError, match='resource'):
        Attach('a.B')


@pytest.fixture
def project(settings_of, database):
    """The project as it should be: attached, and the settings say so."""
    settings_of(HCEVENTS_MODELS=['clinic.Patient', 'clinic.Appointment'],
                HCEVENTS_EVENT_TYPES=['patient.created'])
    migrate('0002')
    yield settings_of
    migrate('0001')


@pytest.fixture
def settings_of(monkeypatch):
    from django.conf import settings

    def change(**values):
        for name, value in values.items():
            monkeypatch.setattr(settings, name, value, raising=False)
    return change


def test_nothing_is_wrong(project):
    assert checks('default') == []


def test_nothing_is_asked_without_a_database(project):
    migrate('0001')
    assert checks() == []
    migrate('0002')


def test_a_model_without_attachment(project):
    migrate('0001')
    messages = checks('default')
    assert ids(messages) == ['hcevents.W003', 'hcevents.W003',
                             'hcevents.W006']
    assert 'clinic.Patient publishes no events' in messages[0].msg
    assert 'Attach("clinic.Patient", "patient"' in messages[0].hint
    migrate('0002')


def test_an_invalid_attachment_and_a_disabled_one(project, database):
    database.sql('ALTER TABLE clinic_patient RENAME email TO mail')
    database.sql('ALTER TABLE clinic_appointment DISABLE TRIGGER USER')
    invalid = database.value('SELECT NOT valid FROM hcevents.attachments '
                             "WHERE resource = 'patient'")
    try:
        found = ids(checks('default'))
    finally:
        database.sql('ALTER TABLE clinic_patient RENAME mail TO email')
        database.sql('ALTER TABLE clinic_appointment ENABLE TRIGGER USER')
    # A release that follows RENAME COLUMN keeps the attachment valid.
    assert found == (['hcevents.W004'] if invalid else []) + ['hcevents.W005']


def test_event_types_of_a_model_and_of_any_table(project):
    project(HCEVENTS_MODELS={'clinic.Patient': ['patient.created',
                                                'patient.merged']},
            HCEVENTS_EVENT_TYPES=['appointment.booked', 'report.finished'])
    messages = checks('default')
    assert ids(messages) == ['hcevents.W006', 'hcevents.W006']
    text = ' '.join(message.msg for message in messages)
    assert 'clinic.Patient does not publish patient.merged' in text
    assert 'publishes report.finished' in text


def test_capture_is_off(project, database):
    database.sql('ALTER DATABASE hce_django SET hcevents.enabled = off')
    connections['default'].close()
    try:
        assert ids(checks('default')) == ['hcevents.W002']
    finally:
        database.sql('ALTER DATABASE hce_django RESET hcevents.enabled')
        connections['default'].close()


def test_a_plain_role_sees_triggers_only(project, database):
    with connections['default'].cursor() as cursor:
        cursor.execute('CREATE ROLE hce_plain')
        cursor.execute('SET ROLE hce_plain')
        assert ids(checks('default')) == ['hcevents.W007']
        cursor.execute('RESET ROLE')
        migrate('0001')
        cursor.execute('SET ROLE hce_plain')
        assert ids(checks('default')) == ['hcevents.W003', 'hcevents.W003',
                                          'hcevents.W007']
        cursor.execute('RESET ROLE')
        cursor.execute('DROP ROLE hce_plain')
    migrate('0002')


def test_no_extension(settings_of, make_database):
    settings_of(HCEVENTS_EVENT_TYPES=['patient.created'],
                HCEVENTS_DATABASE='bare')
    assert ids(checks('bare')) == ['hcevents.W008']     # no database at all
    make_database('hce_bare', extension=False)
    messages = checks('bare')
    assert ids(messages) == ['hcevents.W001']
    assert 'CREATE EXTENSION hcevents' in messages[0].hint
    connections['bare'].close()


def test_settings_that_make_no_sense(settings_of, database):
    settings_of(HCEVENTS_MODELS=['clinic.Nobody', 'nothing'],
                HCEVENTS_EVENT_TYPES='patient.created')
    assert ids(checks('default')) == ['hcevents.E001'] * 3


def test_a_partition_publishes_by_its_parent(settings_of, database):
    """The model's table is a partition; the parent has the attachment."""
    settings_of(HCEVENTS_MODELS=['clinic.Change'])
    assert ids(checks('default')) == ['hcevents.W003']
    database.sql('ALTER TABLE clinic_change RENAME TO plain_change')
    try:
        database.sql('CREATE TABLE changes (LIKE plain_change, PRIMARY KEY '
                     '(id)) PARTITION BY RANGE (id)')
        database.sql('CREATE TABLE clinic_change PARTITION OF changes '
                     'DEFAULT')
        database.sql("SELECT hcevents.attach('changes', 'change')")
        assert checks('default') == []
    finally:
        database.sql('DROP TABLE IF EXISTS changes CASCADE')
        database.sql('ALTER TABLE plain_change RENAME TO clinic_change')
