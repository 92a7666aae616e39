"""Publishing by hand: an event that belongs to the caller's transaction.

The call has the shape of a Kafka producer's, but nothing goes to Kafka here.
It runs hcevents.publish() in the transaction that is open on the database
connection.  When that commits, the event is delivered; when it is rolled
back, the event never existed.  No Kafka client and no address of a broker is
needed in the program.
"""
from __future__ import annotations

import datetime
import decimal
import json
import threading
import uuid
from typing import Any, Callable, Mapping, Optional

from .connections import django_connection, fetch_value
from .errors import InvalidEventError
from .events import Event


def encode_value(value: Any) -> Any:
    """What json cannot write itself, as Django's encoder does.

    Dates and times in ISO 8601, decimals, UUIDs and lazy texts as strings.
    """
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal)):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (set, frozenset)):
        return list(value)
    if type(value).__module__.startswith('django.utils.functional'):
        return str(value)
    raise TypeError(f'{type(value).__name__} cannot be written as JSON')


def encode(what: str, value: Any) -> str:
    """JSON text; "what" names it in the error, which holds no value."""
    try:
        return json.dumps(value, default=encode_value, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise InvalidEventError(
            f'{what} cannot be written as JSON: {problem}',
            'Publish strings, numbers, booleans, None, lists and dicts; '
            'dates, decimals and UUIDs become strings.') from problem


class KafkaProducer:
    """Publishes events through a database connection.

    get_instance() gives the one that goes through Django's connections.  It
    keeps no state, so all threads may use it: each finds its own thread's
    connection.  Without Django, either give each publish() its connection, or
    make a producer of your own:

        KafkaProducer(connection=lambda: scoped_session())

    "connection" is a connection, or a function that returns the one to use.
    """

    _instance: Optional[KafkaProducer] = None
    _lock = threading.Lock()

    def __init__(self, connection: Any = None) -> None:
        self._connection = connection

    @classmethod
    def get_instance(cls) -> KafkaProducer:
        """The producer of this process."""
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    @classmethod
    def set_connection(cls, connection: Optional[Callable[[], Any]]) -> None:
        """Where get_instance() finds its connection, without Django.

        A function, since a connection belongs to one thread.  None: Django's
        again.
        """
        if connection is not None and not callable(connection):
            raise TypeError('set_connection() needs a function that returns '
                            'the connection')
        cls.get_instance()._connection = connection

    def publish(self, event_type: str, data: Mapping[str, Any],
                key: Optional[str] = None,
                headers: Optional[Mapping[str, str]] = None, *,
                connection: Any = None,
                using: Optional[str] = None) -> Optional[uuid.UUID]:
        """Publish an event when the current transaction commits.

        event_type  "resource.action", such as "patient.created"
        data        the member "data" of the envelope
        key         the Kafka key; without, data["<resource>_id"]
        headers     more headers of the message: names and strings
        connection  what to publish through, instead of the producer's
        using       alias of a Django database, "default"

        Returns the event_id, or None when hcevents.enabled is off.  With a
        connection in autocommit mode the event is published at once.

        Raises InvalidEventError, NotInstalledError, NotPermittedError,
        NotWritableError and NoConnectionError, each with a hint; every other
        error is the driver's.  As after any failed statement, the transaction
        can then only be rolled back (to a savepoint, if there is one).
        """
        if not isinstance(data, Mapping):
            raise InvalidEventError('data must be a dict',
                                    'Write data like {"patient_id": 1}.')
        result = fetch_value(
            self._connection_for(connection, using), 'hcevents.publish',
            [(event_type, 'text'),
             (encode('data', dict(data)), 'jsonb'),
             (None if key is None else str(key), 'text'),
             (None if headers is None else encode('headers', dict(headers)),
              'jsonb')])
        if result is None or isinstance(result, uuid.UUID):
            return result
        return uuid.UUID(str(result))

    def publish_event(self, event: Event, *,
                      headers: Optional[Mapping[str, str]] = None,
                      connection: Any = None,
                      using: Optional[str] = None) -> Optional[uuid.UUID]:
        """publish() with the type, data and key of an event object."""
        return self.publish(event.event_type, event.to_dict(), event.key,
                            headers, connection=connection, using=using)

    def flush(self, timeout: float = 30.0, *, connection: Any = None,
              using: Optional[str] = None) -> bool:
        """Wait until all that was committed before is in Kafka.

        False when the time-out (seconds) came first.  Not for events of the
        transaction that is still open.  For scripts and tests: no request
        should wait for Kafka.  Needs membership in pg_monitor.
        """
        return bool(fetch_value(
            self._connection_for(connection, using), 'hcevents.flush',
            [(f'{timeout} s', 'interval')]))

    def _connection_for(self, connection: Any, using: Optional[str]) -> Any:
        if connection is None and using is None:
            connection = self._connection
        if connection is None:
            return django_connection(using)
        # A session registry is callable, too, and is a connection itself.
        if (callable(connection) and not hasattr(connection, 'cursor')
                and not hasattr(connection, 'get_bind')):
            return connection()
        return connection
