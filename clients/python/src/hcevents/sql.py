"""attach(), attach_healthcore() and detach() as SQL text, for migrations.

    op.execute(attach_sql('patients', 'patient', ['name', 'email']))

Names and values are quoted here.  The text has no "%" or ":name" that a
driver or sqlalchemy.text() would take for a parameter.
"""
from __future__ import annotations

import json
import re
from typing import Any, Iterable, Mapping, Optional, Sequence

#: What attach() does with each action unless told otherwise.
CREATED, UPDATED, DELETED = 'created', 'updated', 'deleted'

# sqlalchemy.text() takes this for a parameter.
_BIND = re.compile(r'(?<![:\w]):(?=\w)')


def quote_name(name: str) -> str:
    """An identifier, quoted."""
    _refuse_nul(name)
    return '"' + name.replace('"', '""') + '"'


def quote_value(value: Optional[str]) -> str:
    """A string literal, whatever standard_conforming_strings says."""
    if value is None:
        return 'NULL'
    _refuse_nul(value)
    quoted = value.replace("'", "''")
    if '\\' in value or '%' in value or _BIND.search(value):
        quoted = quoted.replace('\\', '\\\\').replace('%', '\\x25')
        return "E'" + _BIND.sub(r'\\x3a', quoted) + "'"
    return f"'{quoted}'"


def _refuse_nul(value: str) -> None:
    if '\0' in value:
        raise ValueError('a name or value holds the character U+0000')


def quote_list(values: Iterable[str]) -> str:
    """An array of texts."""
    if isinstance(values, str):
        raise TypeError(f'a list of names is needed, not {values!r}')
    return ('ARRAY[' + ', '.join(quote_value(value) for value in values)
            + ']::text[]')


def quote_table(table: str, schema: Optional[str] = None) -> str:
    """A regclass of a table by its exact name."""
    name = quote_name(table)
    if schema is not None:
        name = f'{quote_name(schema)}.{name}'
    return f'{quote_value(name)}::regclass'


def attach_call(target: str, resource: str, columns: Iterable[str] = (), *,
                on_insert: Optional[str] = CREATED,
                on_update: Optional[str] = UPDATED,
                on_delete: Optional[str] = DELETED,
                transitions: Sequence[Mapping[str, str]] = (),
                key: Optional[Iterable[str]] = None,
                options: Optional[Mapping[str, Any]] = None) -> str:
    """attach_sql() for a target that is an SQL expression already."""
    arguments = [target, quote_value(resource)]
    columns = quote_list(columns)
    if columns != 'ARRAY[]::text[]':
        arguments.append(f'columns => {columns}')
    for name, value, default in (('on_insert', on_insert, CREATED),
                                 ('on_update', on_update, UPDATED),
                                 ('on_delete', on_delete, DELETED)):
        if value != default:
            arguments.append(f'{name} => {quote_value(value)}')
    if transitions:
        arguments.append('transitions => ' + _json(list(transitions)))
    if key is not None:
        arguments.append(f'key => {quote_list(key)}')
    if options:
        arguments.append('options => ' + _json(dict(options)))
    return f'SELECT hcevents.attach({", ".join(arguments)})'


def _json(value: Any) -> str:
    return quote_value(json.dumps(value, ensure_ascii=False)) + '::jsonb'


def attach_sql(table: str, resource: str, columns: Iterable[str] = (), *,
               schema: Optional[str] = None,
               on_insert: Optional[str] = CREATED,
               on_update: Optional[str] = UPDATED,
               on_delete: Optional[str] = DELETED,
               transitions: Sequence[Mapping[str, str]] = (),
               key: Optional[Iterable[str]] = None,
               options: Optional[Mapping[str, Any]] = None) -> str:
    """The statement that makes a table publish.

    table and schema are the exact names (no quotes, no dot between them);
    without a schema the search_path decides.  The other arguments are those
    of hcevents.attach(): an action of None means no such event.  Run twice it
    changes nothing.
    """
    return attach_call(quote_table(table, schema), resource, columns,
                       on_insert=on_insert, on_update=on_update,
                       on_delete=on_delete, transitions=transitions, key=key,
                       options=options)


def attach_healthcore_sql(patients: str = 'patients',
                          appointments: str = 'appointments', *,
                          schema: Optional[str] = None,
                          patient_columns: Iterable[str] = ('name', 'email'),
                          appointment_columns: Iterable[str] = (
                              'patient_id', 'status')) -> str:
    """The statement that attaches the six events of HealthCore."""
    return healthcore_call(quote_table(patients, schema),
                           quote_table(appointments, schema),
                           patient_columns, appointment_columns)


def healthcore_call(patients: str, appointments: str,
                    patient_columns: Iterable[str],
                    appointment_columns: Iterable[str]) -> str:
    """The same for targets that are SQL expressions already."""
    return (f'SELECT hcevents.attach_healthcore({patients}, {appointments}, '
            f'{quote_list(patient_columns)}, '
            f'{quote_list(appointment_columns)})')


def detach_sql(table: str, resource: Optional[str] = None, *,
               schema: Optional[str] = None) -> str:
    """The statement that ends the publishing of a resource, or of all."""
    return detach_call(quote_table(table, schema), resource)


def detach_call(target: str, resource: Optional[str]) -> str:
    """detach_sql() for a target that is an SQL expression already."""
    if resource is None:
        return f'SELECT hcevents.detach({target})'
    return f'SELECT hcevents.detach({target}, {quote_value(resource)})'
