"""What can go wrong when an event is published, and what to do about it.

Only errors whose cause hcevents knows are translated; every other one (a lost
connection, a transaction that has failed before) is raised as the driver
raised it.  The driver's error is the __cause__ of each of these.
"""
from __future__ import annotations

from typing import Optional


class HceventsError(Exception):
    """Base of the errors of this package.

    message, hint and sqlstate are also attributes; hint may be empty, and
    sqlstate is None where no server said anything.
    """

    def __init__(self, message: str, hint: str = '',
                 sqlstate: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        if self.hint:
            return f'{self.message}\nHint: {self.hint}'
        return self.message


class NoConnectionError(HceventsError):
    """There is no database connection to publish through."""


class NotInstalledError(HceventsError):
    """The database has no extension hcevents."""


class NotPermittedError(HceventsError):
    """The role may not publish."""


class NotWritableError(HceventsError):
    """A standby, or a read-only transaction."""


class InvalidEventError(HceventsError, ValueError):
    """The event type, the data, the key or a header is not valid."""


#: SQLSTATE: class, and a hint for where the server gives none.
_KNOWN = {
    '3F000': (NotInstalledError,
              'Run CREATE EXTENSION hcevents in this database, as superuser; '
              'the server needs shared_preload_libraries = \'hcevents\'.'),
    '42883': (NotInstalledError,
              'Run CREATE EXTENSION hcevents in this database, as superuser, '
              'or ALTER EXTENSION hcevents UPDATE.'),
    '42501': (NotPermittedError,
              'Grant it: SELECT hcevents.grant_access(\'<role>\', '
              '\'publish\').'),
    '25006': (NotWritableError,
              'Publish through the primary server, in a transaction that is '
              'not read-only.'),
    '22004': (InvalidEventError, 'event_type and data are needed.'),
    '22023': (InvalidEventError,
              'An event type is resource.action, in lower case letters, '
              'digits and underscores.'),
    '22P02': (InvalidEventError,
              'The data are no valid JSON for PostgreSQL.'),
    '22P05': (InvalidEventError,
              'PostgreSQL\'s jsonb cannot hold the character U+0000, nor what '
              'the encoding of the database lacks.'),
    '22021': (InvalidEventError,
              'A text holds the character U+0000, or one that the encoding '
              'of the database lacks.'),
    '42622': (InvalidEventError, 'Choose a shorter event type.'),
    '42939': (InvalidEventError, 'Choose another name for the header.'),
    '54000': (InvalidEventError,
              'Publish less data, or raise hcevents.max_event_size.'),
}


def driver_error(error: BaseException) -> BaseException:
    """The error of the driver, under those that frameworks wrap it in.

    Django sets it as __cause__, SQLAlchemy as attribute orig (and asyncpg's
    own below that).
    """
    seen = {id(error)}
    while sqlstate_of(error) is None:
        below = getattr(error, 'orig', None) or error.__cause__
        if not isinstance(below, BaseException) or id(below) in seen:
            break
        seen.add(id(below))
        error = below
    return error


def sqlstate_of(error: BaseException) -> Optional[str]:
    """The SQLSTATE that psycopg, asyncpg, psycopg2 or pg8000 report."""
    for name in ('sqlstate', 'pgcode'):
        code = getattr(error, name, None)
        if isinstance(code, str):
            return code
    if error.args and isinstance(error.args[0], dict):
        code = error.args[0].get('C')
        if isinstance(code, str):
            return code
    return None


def translate(error: BaseException) -> Optional[HceventsError]:
    """The error of ours for one of publish(), None for any other."""
    cause = driver_error(error)
    sqlstate = sqlstate_of(cause)
    if sqlstate not in _KNOWN:
        return None
    kind, hint = _KNOWN[sqlstate]
    diagnostics = getattr(cause, 'diag', None)
    message = getattr(diagnostics, 'message_primary', None) or str(cause)
    hint = getattr(diagnostics, 'message_hint', None) or hint
    return kind(message, hint, sqlstate)
