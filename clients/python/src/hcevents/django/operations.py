"""Migration operations that make tables publish.

    operations = [
        Attach('patients.Patient', 'patient', columns=['name', 'email']),
    ]

The statement runs in the migration's transaction and is what sqlmigrate
shows.  Each operation may run twice without harm, and is reversible.  On
another database than PostgreSQL, or where the routers do not allow the model,
it does nothing.

A model is named 'app_label.Model', or 'Model' for one of the migration's own
app.  Its columns may be given as field names: a ForeignKey "patient" is the
column "patient_id".  A table without model is named by table=.
"""
from __future__ import annotations

from typing import (Any, Dict, Iterable, List, Mapping, Optional, Sequence,
                    Tuple)

from django.core.exceptions import FieldDoesNotExist
from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from .. import sql


class Target:
    """A table of a migration: a model in a state, or a table's own name."""

    def __init__(self, model: str, table: str) -> None:
        if bool(model) == bool(table):
            raise ValueError('name either a model or a table')
        self.model = model
        self.table = table

    def __str__(self) -> str:
        return self.model or self.table

    def _model(self, app_label: str, state: ProjectState) -> Any:
        if '.' in self.model:
            return state.apps.get_model(self.model)
        return state.apps.get_model(app_label, self.model)

    def allowed(self, operation: Operation, app_label: str, alias: str,
                state: ProjectState) -> bool:
        """Do the routers let this operation touch that database?"""
        if self.model:
            return operation.allow_migrate_model(
                alias, self._model(app_label, state))
        return router.allow_migrate(alias, app_label)

    def regclass(self, app_label: str, editor: BaseDatabaseSchemaEditor,
                 state: ProjectState) -> str:
        """The table as an SQL expression."""
        table = (self._model(app_label, state)._meta.db_table
                 if self.model else self.table)
        return f'{sql.quote_value(editor.quote_name(table))}::regclass'

    def columns(self, names: Iterable[str], app_label: str,
                state: ProjectState) -> List[str]:
        """Published columns, with names of fields made those of columns.

        A field whose column has another name keeps its own as published
        name, but for a ForeignKey: "patient" is published as "patient_id".
        """
        if not self.model:
            return list(names)
        options = self._model(app_label, state)._meta
        return [_column(options, name) for name in names]


def _column(options: Any, entry: str) -> str:
    published, colon, name = entry.rpartition(':')
    try:
        field = options.get_field(name)
    except FieldDoesNotExist:
        return entry
    column = getattr(field, 'column', None)
    if column is None or column == name:
        return entry
    if colon:
        return f'{published}:{column}'
    if column == getattr(field, 'attname', None):
        return str(column)
    return f'{field.attname}:{column}'


class HceventsOperation(Operation):
    """What the operations have in common."""

    reversible = True
    reduces_to_sql = True
    elidable = False

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Triggers are no part of Django's state."""

    def _run(self, editor: BaseDatabaseSchemaEditor, statement: str) -> None:
        # None: the text has no parameters, so nothing replaces a "%".
        editor.execute(statement, params=None)


class Attach(HceventsOperation):
    """Make a table publish; backwards, end that (or go back to "replaces").

    The arguments are those of hcevents.attach().  To change an attachment
    that an earlier migration made, give that one as replaces=Attach(…), so
    that the way back makes it again.
    """

    def __init__(self, model: str = '', resource: str = '',
                 columns: Iterable[str] = (), *, table: str = '',
                 on_insert: Optional[str] = sql.CREATED,
                 on_update: Optional[str] = sql.UPDATED,
                 on_delete: Optional[str] = sql.DELETED,
                 transitions: Sequence[Mapping[str, str]] = (),
                 key: Optional[Iterable[str]] = None,
                 options: Optional[Mapping[str, Any]] = None,
                 replaces: Optional[Attach] = None) -> None:
        if not resource:
            raise ValueError('an attachment needs a resource, such as '
                             '"patient"')
        self.target = Target(model, table)
        self.resource = resource
        self.columns = list(columns)
        self.settings: Dict[str, Any] = {
            'on_insert': on_insert, 'on_update': on_update,
            'on_delete': on_delete, 'transitions': list(transitions),
            'options': dict(options or {})}
        self.key = None if key is None else list(key)
        self.replaces = replaces

    def deconstruct(self) -> Tuple[str, List[Any], Dict[str, Any]]:
        arguments: Dict[str, Any] = {
            'resource': self.resource, 'columns': self.columns,
            **self.settings, 'key': self.key, 'replaces': self.replaces}
        if self.target.model:
            arguments['model'] = self.target.model
        else:
            arguments['table'] = self.target.table
        return type(self).__name__, [], arguments

    def database_forwards(self, app_label: str,
                          schema_editor: BaseDatabaseSchemaEditor,
                          from_state: ProjectState,
                          to_state: ProjectState) -> None:
        if self._concerns(app_label, schema_editor, to_state):
            self.attach(app_label, schema_editor, to_state)

    def database_backwards(self, app_label: str,
                           schema_editor: BaseDatabaseSchemaEditor,
                           from_state: ProjectState,
                           to_state: ProjectState) -> None:
        if not self._concerns(app_label, schema_editor, to_state):
            return
        if self.replaces is not None:
            self.replaces.attach(app_label, schema_editor, to_state)
        else:
            self.detach(app_label, schema_editor, to_state)

    def _concerns(self, app_label: str, editor: BaseDatabaseSchemaEditor,
                  state: ProjectState) -> bool:
        return (editor.connection.vendor == 'postgresql'
                and self.target.allowed(self, app_label,
                                        editor.connection.alias, state))

    def attach(self, app_label: str, editor: BaseDatabaseSchemaEditor,
               state: ProjectState) -> None:
        settings = dict(self.settings)
        settings['transitions'] = [
            {**transition, 'column': self.target.columns(
                [transition['column']], app_label, state)[0].rpartition(
                    ':')[2]} for transition in settings['transitions']]
        key = self.key and [
            name.rpartition(':')[2] for name in
            self.target.columns(self.key, app_label, state)]
        self._run(editor, sql.attach_call(
            self.target.regclass(app_label, editor, state), self.resource,
            self.target.columns(self.columns, app_label, state), key=key,
            **settings))

    def detach(self, app_label: str, editor: BaseDatabaseSchemaEditor,
               state: ProjectState) -> None:
        self._run(editor, sql.detach_call(
            self.target.regclass(app_label, editor, state), self.resource))

    def describe(self) -> str:
        return f'Publish {self.target} as {self.resource}'

    @property
    def migration_name_fragment(self) -> str:
        return f'attach_{self.resource}'


class Detach(Attach):
    """End the publishing of a resource; backwards, attach it again.

    Give it the arguments of the Attach that it ends: they are what the way
    back needs.
    """

    def database_forwards(self, app_label: str,
                          schema_editor: BaseDatabaseSchemaEditor,
                          from_state: ProjectState,
                          to_state: ProjectState) -> None:
        if self._concerns(app_label, schema_editor, from_state):
            self.detach(app_label, schema_editor, from_state)

    def database_backwards(self, app_label: str,
                           schema_editor: BaseDatabaseSchemaEditor,
                           from_state: ProjectState,
                           to_state: ProjectState) -> None:
        if self._concerns(app_label, schema_editor, to_state):
            self.attach(app_label, schema_editor, to_state)

    def describe(self) -> str:
        return f'End publishing {self.target} as {self.resource}'

    @property
    def migration_name_fragment(self) -> str:
        return f'detach_{self.resource}'


class AttachHealthcore(HceventsOperation):
    """The six events of HealthCore in one operation.

    patients and appointments are models; patients_table and
    appointments_table name tables instead.  appointment_columns may be field
    names, so "patient" is the column "patient_id".
    """

    def __init__(self, patients: str = '', appointments: str = '', *,
                 patients_table: str = '', appointments_table: str = '',
                 patient_columns: Iterable[str] = ('name', 'email'),
                 appointment_columns: Iterable[str] = (
                     'patient_id', 'status')) -> None:
        self.patients = Target(patients, patients_table)
        self.appointments = Target(appointments, appointments_table)
        self.patient_columns = list(patient_columns)
        self.appointment_columns = list(appointment_columns)

    def deconstruct(self) -> Tuple[str, List[Any], Dict[str, Any]]:
        arguments: Dict[str, Any] = {
            'patients': self.patients.model,
            'appointments': self.appointments.model,
            'patients_table': self.patients.table,
            'appointments_table': self.appointments.table,
            'patient_columns': self.patient_columns,
            'appointment_columns': self.appointment_columns}
        return type(self).__name__, [], {
            name: value for name, value in arguments.items() if value != ''}

    def _concerns(self, app_label: str, editor: BaseDatabaseSchemaEditor,
                  state: ProjectState) -> bool:
        alias = editor.connection.alias
        return (editor.connection.vendor == 'postgresql'
                and self.patients.allowed(self, app_label, alias, state)
                and self.appointments.allowed(self, app_label, alias, state))

    def database_forwards(self, app_label: str,
                          schema_editor: BaseDatabaseSchemaEditor,
                          from_state: ProjectState,
                          to_state: ProjectState) -> None:
        if not self._concerns(app_label, schema_editor, to_state):
            return
        self._run(schema_editor, sql.healthcore_call(
            self.patients.regclass(app_label, schema_editor, to_state),
            self.appointments.regclass(app_label, schema_editor, to_state),
            self.patients.columns(self.patient_columns, app_label, to_state),
            self.appointments.columns(self.appointment_columns, app_label,
                                      to_state)))

    def database_backwards(self, app_label: str,
                           schema_editor: BaseDatabaseSchemaEditor,
                           from_state: ProjectState,
                           to_state: ProjectState) -> None:
        if not self._concerns(app_label, schema_editor, to_state):
            return
        for target, resource in ((self.patients, 'patient'),
                                 (self.appointments, 'appointment')):
            self._run(schema_editor, sql.detach_call(
                target.regclass(app_label, schema_editor, to_state),
                resource))

    def describe(self) -> str:
        return (f'Publish the events of {self.patients} and '
                f'{self.appointments}')

    @property
    def migration_name_fragment(self) -> str:
        return 'attach_healthcore'
