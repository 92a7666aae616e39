"""One SQL statement on whatever the program talks to its database with.

Accepted are a Django connection, a DB-API connection (psycopg, psycopg2,
pg8000), and a Session or Connection of SQLAlchemy.  The statement runs in the
transaction that is open on it; nothing here commits or rolls back.

SQLAlchemy is told apart by what its objects can do, so that the package needs
none of these libraries.  Its own execute() must be used: a cursor below it
would not begin SQLAlchemy's transaction, and session.commit() would then
throw the event away.
"""
from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .errors import HceventsError, NoConnectionError, translate


def django_connection(using: Optional[str]) -> Any:
    """Django's connection of that alias in this thread."""
    try:
        from django.conf import settings
        from django.db import connections
    except ImportError as problem:
        raise NoConnectionError(
            'no database connection to publish through',
            'Give connection=…: a DB-API connection or an SQLAlchemy '
            'session.') from problem
    if not settings.configured and not _settings_are_named():
        raise NoConnectionError(
            'no database connection to publish through',
            'Give connection=…, or set up Django first.')
    return connections[using or 'default']


def _settings_are_named() -> bool:
    import os
    return bool(os.environ.get('DJANGO_SETTINGS_MODULE'))


def fetch_value(connection: Any, function: str,
                arguments: Sequence[tuple[Any, str]]) -> Any:
    """What "SELECT function(arguments)" returns; each has its SQL type.

    Errors of the server that hcevents knows are raised as its own.
    """
    try:
        if callable(getattr(connection, 'get_bind', None)):
            connection = connection.connection()    # of a Session
        if callable(getattr(connection, 'exec_driver_sql', None)):
            return _by_sqlalchemy(connection, function, arguments)
        if callable(getattr(connection, 'cursor', None)):
            return _by_cursor(connection, function, arguments)
    except HceventsError:
        raise
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        raise known from error
    raise NoConnectionError(
        f'{type(connection).__name__} is no database connection',
        'Give a DB-API connection, a Django connection, or an SQLAlchemy '
        'session or connection.')


def _by_sqlalchemy(connection: Any, function: str,
                   arguments: Sequence[tuple[Any, str]]) -> Any:
    from sqlalchemy import text
    places = ', '.join(f'CAST(:a{number} AS {sql_type})'
                       for number, (_, sql_type) in enumerate(arguments))
    values = {f'a{number}': value
              for number, (value, _) in enumerate(arguments)}
    return connection.execute(text(f'SELECT {function}({places})'),
                              values).scalar()


def _by_cursor(connection: Any, function: str,
               arguments: Sequence[tuple[Any, str]]) -> Any:
    places = ', '.join(f'CAST(%s AS {sql_type})'
                       for _, sql_type in arguments)
    cursor = connection.cursor()
    if inspect.iscoroutinefunction(getattr(cursor, 'execute', None)):
        raise NoConnectionError(
            'an asynchronous connection cannot be used here',
            'Run SELECT hcevents.publish(…) on it, or await '
            'session.run_sync(…) with SQLAlchemy.')
    try:
        cursor.execute(f'SELECT {function}({places}) AS result',
                       [value for value, _ in arguments])
        return _first_value(cursor.fetchone())
    finally:
        cursor.close()


def _first_value(row: Any) -> Any:
    """Of a row in whatever form the connection's row factory gives it."""
    if isinstance(row, Mapping):
        return row['result']
    if isinstance(row, Sequence) and not isinstance(row, (str, bytes)):
        return row[0]
    return getattr(row, 'result', row)
