"""System checks: does the database publish what the project expects?

Settings:

    HCEVENTS_MODELS       models that must publish, as 'app_label.Model'; or a
                          dict with the event types that each must have:
                          {'patients.Patient': ['patient.created']}
    HCEVENTS_EVENT_TYPES  event types that some table of the database must
                          publish, whichever it is
    HCEVENTS_DATABASE     alias of the database of HCEVENTS_EVENT_TYPES
                          (default: 'default'); a model's own is what the
                          routers say

They are database checks: they run in "manage.py migrate" and "manage.py check
--database default", never when no database is named.  All of them warn, none
keeps anything from starting:

    hcevents.W001  the database has no extension hcevents (or is another one)
    hcevents.W002  hcevents.enabled is off: nothing is captured
    hcevents.W003  a model publishes nothing
    hcevents.W004  an attachment is not valid any more
    hcevents.W005  an attachment's trigger is disabled
    hcevents.W006  an expected event type is published by no table
    hcevents.W007  the role may not see whether attachments are valid
    hcevents.W008  the database could not be asked
    hcevents.E001  a setting names no model, or is no list of names
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Type

from django.apps import apps
from django.conf import settings
from django.core.checks import (CheckMessage, Error, Tags, Warning as Caution,
                                register)
from django.db import DatabaseError, connections, router
from django.db.models import Model

ATTACH_HINT = ('Attach it in a migration: hcevents.django.operations.Attach('
               '"{label}", "{name}", columns=[…]).')

# What everybody may read: which tables have our triggers.
TRIGGERS = """
SELECT t.tgrelid::bigint, NULL, t.tgenabled <> 'D', NULL::text[], NULL::boolean
  FROM pg_catalog.pg_trigger AS t
       JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
       JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE n.nspname = 'hcevents' AND p.proname = 'emit'
   AND t.tgparentid = 0 AND NOT t.tgisinternal
"""
# What a member of pg_monitor may: what they publish, and whether they can.
ATTACHMENTS = """
SELECT a.target::oid::bigint, a.resource, a.enabled, a.events, a.valid
  FROM hcevents.attachments AS a
"""
PARENTS = """
WITH RECURSIVE above(oid) AS (
    SELECT pg_catalog.to_regclass(%s)::oid
    UNION
    SELECT i.inhparent FROM pg_catalog.pg_inherits AS i
           JOIN above ON above.oid = i.inhrelid
           JOIN pg_catalog.pg_class AS c
               ON c.oid = i.inhrelid AND c.relispartition)
SELECT oid::bigint FROM above WHERE oid IS NOT NULL
"""


@dataclass
class Attachment:
    """One trigger of hcevents; what is None could not be seen."""

    table: int
    resource: Optional[str]
    enabled: bool
    events: Optional[List[str]]
    valid: Optional[bool]


@dataclass
class Found:
    """What one database has."""

    installed: bool
    enabled: bool = True
    complete: bool = True       # resource, events and valid are known
    attachments: Sequence[Attachment] = ()


Expected = List[Tuple[Type[Model], List[str]]]


@register(Tags.database)
def check_attachments(app_configs: Optional[Sequence[Any]] = None,
                      databases: Optional[Sequence[str]] = None,
                      **kwargs: Any) -> List[CheckMessage]:
    """What the databases named lack of what the settings expect."""
    if not databases:
        return []
    expected, event_types, messages = read_settings()
    home = getattr(settings, 'HCEVENTS_DATABASE', 'default')
    for alias in databases:
        models = [(model, types) for model, types in expected
                  if router.db_for_write(model) == alias]
        wanted = event_types if alias == home else []
        if models or wanted:
            messages.extend(check_database(alias, models, wanted))
    return messages


def read_settings() -> Tuple[Expected, List[str], List[CheckMessage]]:
    """The models and event types expected, and what is wrong with these."""
    messages: List[CheckMessage] = []
    wanted = getattr(settings, 'HCEVENTS_MODELS', None) or {}
    by_model = (dict(wanted) if isinstance(wanted, dict) else
                {label: () for label in _names('HCEVENTS_MODELS', messages)})
    expected: Expected = []
    for label, types in by_model.items():
        try:
            expected.append((apps.get_model(label), list(types)))
        except (LookupError, ValueError, AttributeError) as problem:
            messages.append(Error(
                f'HCEVENTS_MODELS names no model: {problem}',
                hint="Write models like 'patients.Patient'.",
                id='hcevents.E001'))
    return expected, _names('HCEVENTS_EVENT_TYPES', messages), messages


def _names(setting: str, messages: List[CheckMessage]) -> List[str]:
    value = getattr(settings, setting, None) or []
    if isinstance(value, str) or not isinstance(value, Iterable):
        messages.append(Error(f'{setting} must be a list of names',
                              id='hcevents.E001'))
        return []
    return list(value)


def check_database(alias: str, models: Expected,
                   event_types: List[str]) -> List[CheckMessage]:
    """What one database lacks."""
    connection = connections[alias]
    if connection.vendor != 'postgresql':
        return [Caution(
            f'database "{alias}" is not PostgreSQL: its tables publish '
            'nothing', obj=alias, id='hcevents.W001')]
    try:
        with connection.cursor() as cursor:
            found = look(cursor)
            if not found.installed:
                return [Caution(
                    f'database "{alias}" has no extension hcevents: nothing '
                    'is published', obj=alias, id='hcevents.W001',
                    hint='Run CREATE EXTENSION hcevents in it, as superuser.')]
            places = {model: table_and_parents(cursor, connection, model)
                      for model, _ in models}
    except DatabaseError as problem:
        return [Caution(f'database "{alias}" could not be asked about '
                        f'hcevents: {type(problem).__name__}', obj=alias,
                        id='hcevents.W008')]
    messages = check_server(alias, found)
    for model, types in models:
        messages.extend(check_model(model, types, found, places[model]))
    messages.extend(check_event_types(alias, event_types, found))
    return messages


def look(cursor: Any) -> Found:
    """What the database of a cursor has, as far as the role may see."""
    cursor.execute("""
        SELECT EXISTS (SELECT FROM pg_catalog.pg_extension
                        WHERE extname = 'hcevents'),
               coalesce(pg_catalog.current_setting('hcevents.enabled', true),
                        'on') = 'on'""")
    installed, enabled = cursor.fetchone()
    if not installed:
        return Found(False)
    cursor.execute("SELECT pg_catalog.has_table_privilege("
                   "'hcevents.attachments', 'SELECT')"
                   " AND pg_catalog.has_function_privilege("
                   "'hcevents.attachment(oid, oid)', 'EXECUTE')")
    (complete,) = cursor.fetchone()
    cursor.execute(ATTACHMENTS if complete else TRIGGERS)
    return Found(True, enabled, complete,
                 [Attachment(*row) for row in cursor.fetchall()])


def table_and_parents(cursor: Any, connection: Any,
                      model: Type[Model]) -> List[int]:
    """The model's table, and the partitioned tables that it belongs to."""
    cursor.execute(PARENTS, [connection.ops.quote_name(model._meta.db_table)])
    return [row[0] for row in cursor.fetchall()]


def check_server(alias: str, found: Found) -> List[CheckMessage]:
    messages: List[CheckMessage] = []
    if not found.enabled:
        messages.append(Caution(
            f'hcevents.enabled is off in database "{alias}": nothing is '
            'captured', obj=alias, id='hcevents.W002',
            hint='ALTER DATABASE … RESET hcevents.enabled, unless that is '
                 'meant.'))
    if not found.complete:
        messages.append(Caution(
            f'the role of database "{alias}" may not see whether attachments '
            'are valid, nor their event types', obj=alias,
            id='hcevents.W007',
            hint="SELECT hcevents.grant_access('<role>', 'monitor'), or "
                 'silence this check.'))
    return messages


def check_model(model: Type[Model], types: List[str], found: Found,
                places: List[int]) -> List[CheckMessage]:
    label = model._meta.label
    own = [attachment for attachment in found.attachments
           if attachment.table in places]
    if not own:
        return [Caution(
            f'{label} publishes no events: its table has no attachment',
            obj=model, id='hcevents.W003',
            hint=ATTACH_HINT.format(label=label,
                                    name=model._meta.model_name))]
    messages: List[CheckMessage] = []
    for attachment in own:
        what = (f'attachment "{attachment.resource}" of {label}'
                if attachment.resource else f'an attachment of {label}')
        if attachment.valid is False:
            messages.append(Caution(
                f'{what} is not valid: its changes become dead letters',
                obj=model, id='hcevents.W004',
                hint='A published column is missing.  Attach again; '
                     'hcevents.check() says more.'))
        if not attachment.enabled:
            messages.append(Caution(
                f'the trigger of {what} is disabled', obj=model,
                id='hcevents.W005',
                hint='ALTER TABLE … ENABLE TRIGGER "hcevents_…".'))
    if found.complete:
        messages.extend(missing_types(
            types, own, f'{label} does not publish', model))
    return messages


def check_event_types(alias: str, event_types: List[str],
                      found: Found) -> List[CheckMessage]:
    if not found.complete:
        return []
    return missing_types(event_types, found.attachments,
                         f'no table of database "{alias}" publishes', alias)


def missing_types(wanted: Iterable[str], attachments: Iterable[Attachment],
                  text: str, obj: Any) -> List[CheckMessage]:
    published: Dict[str, None] = {}
    for attachment in attachments:
        published.update(dict.fromkeys(attachment.events or ()))
    return [Caution(f'{text} {event_type}', obj=obj, id='hcevents.W006',
                    hint='Attach the table so that it does; SELECT * FROM '
                         'hcevents.attachments shows what there is.')
            for event_type in wanted if event_type not in published]
