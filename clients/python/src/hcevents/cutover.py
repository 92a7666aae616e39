"""Move a topic prefix from one writer to another, between two transactions.

    python -m hcevents.cutover --dsn 'dbname=clinic user=postgres' healthcore

Makes "healthcore" the prefix that the database's relay publishes under, such
that each transaction that writes an attached table is published wholly under
the old prefix, or wholly under the new one, and such that the writer can know
which (hcevents.django.cutover).  doc/cutover.md tells when that is needed.

What happens, in this order:

1.  flush(): the relay has no backlog.
2.  The attached tables are locked against writes.  That waits for the
    transactions that write them; it gives up, and tries again, when they take
    longer than --lock-timeout, so that others do not queue behind it.
3.  flush() again: now all that was committed to these tables is in the topics
    of the old prefix.
4.  pause(), and wait until the relay says that it is paused: what is captured
    from now on stays in the journal.
5.  ALTER DATABASE … SET hcevents.topic_prefix, and COMMIT, which also ends the
    lock.  This commit is the switch.
6.  Wait for a relay that was started after that commit, and so has the new
    prefix, and resume().

Writers wait from 2 to 5, a fraction of a second.  A failure before 5 leaves
everything as it was.  After it the relay stays paused: nothing is lost, and
the error says to call resume().

Needs psycopg or psycopg2, and a superuser (or the owner of database and tables
with SET on the parameter and hcevents.grant_access(…, 'operate') and
'monitor').
"""
from __future__ import annotations

import argparse
import importlib
import sys
import time
from typing import Any, Callable, List, Optional, Sequence

from .errors import HceventsError, driver_error, sqlstate_of
from .sql import quote_name, quote_value

LOCK_FAILED = ('55P03', '40P01')
PAUSE_SECONDS = 0.2
REASON = 'cut-over to another topic prefix'


class CutoverError(HceventsError):
    """The prefix was not switched, or the relay is still paused."""


def connect(dsn: str) -> Any:
    """A connection by whichever driver there is."""
    for name in ('psycopg', 'psycopg2'):
        try:
            driver: Any = importlib.import_module(name)
        except ImportError:
            continue
        return driver.connect(dsn)
    raise CutoverError('there is no PostgreSQL driver',
                       'pip install "psycopg[binary]"')


class Switch:
    """One switch of the prefix of one database."""

    def __init__(self, dsn: str, prefix: str,
                 tables: Optional[Sequence[str]] = None,
                 timeout: float = 120.0, lock_timeout: float = 0.5,
                 say: Callable[[str], None] = lambda text: None) -> None:
        self.prefix = prefix
        self.timeout = timeout
        self.lock_timeout = lock_timeout
        self.say = say
        self.deadline = time.monotonic() + timeout
        self.tables: List[str] = list(tables or ())
        # One that holds the locks, and one to talk to the relay with.
        self.gate = connect(dsn)
        self.control = connect(dsn)
        self.control.autocommit = True

    def run(self) -> None:
        """Do it; raises CutoverError when it could not be done."""
        try:
            self._check()
            self._flush('everything delivered before the tables are locked')
            self._lock()
            try:
                self._flush('everything delivered under the old prefix')
                self._pause()
                self._alter()
            except BaseException:
                self.gate.rollback()
                self._ask('SELECT hcevents.resume()')
                raise
            self._finish()
        finally:
            self.gate.close()
            self.control.close()

    def _ask(self, query: str, connection: Any = None) -> Any:
        """The first value of the answer."""
        cursor = (connection or self.control).cursor()
        try:
            cursor.execute(query)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
        finally:
            cursor.close()

    def _check(self) -> None:
        if self._ask('SELECT EXISTS (SELECT FROM hcevents.pauses)'):
            raise CutoverError('delivery is paused',
                               'SELECT hcevents.resume() first.')
        if self._ask('SELECT EXISTS (SELECT FROM hcevents.dead_letters '
                     'WHERE retriable)'):
            raise CutoverError(
                'there are dead letters of the old prefix',
                'Retried after the switch they would go to topics of the new '
                'one: retry_dead_letters() or discard_dead_letters() first.')
        if not self.tables:
            self.tables = list(self._ask(
                'SELECT array_agg(DISTINCT target::text) '
                'FROM hcevents.attachments') or ())
        if not self.tables:
            raise CutoverError('no table is attached', 'Attach one first.')

    def _flush(self, what: str) -> None:
        left = max(self.deadline - time.monotonic(), 1.0)
        if not self._ask(f"SELECT hcevents.flush('{left:.3f} s')"):
            raise CutoverError(
                'not everything could be delivered in time',
                'SELECT * FROM hcevents.status says what it waits for.')
        self.say(what)

    def _lock(self) -> None:
        tables = ', '.join(self.tables)
        while True:
            try:
                self._ask(f"SET LOCAL lock_timeout = "
                          f"'{int(self.lock_timeout * 1000)}ms'", self.gate)
                self._ask(f'LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE',
                          self.gate)
                break
            except Exception as error:
                self.gate.rollback()
                if sqlstate_of(driver_error(error)) not in LOCK_FAILED:
                    raise
                if time.monotonic() > self.deadline:
                    raise CutoverError(
                        f'the tables could not be locked in {self.timeout:g} '
                        's: a transaction goes on writing them',
                        'pg_stat_activity and pg_prepared_xacts tell which; '
                        'everything is as it was.') from error
                self.say('writers are busy, trying again')
                time.sleep(PAUSE_SECONDS)
        self.say(f'locked against writes: {tables}')

    def _wait(self, query: str, what: str) -> None:
        while not self._ask(query):
            if time.monotonic() > self.deadline:
                raise CutoverError(f'{what} did not happen in time',
                                   'SELECT * FROM hcevents.status.')
            time.sleep(0.02)

    def _pause(self) -> None:
        self._ask(f'SELECT hcevents.pause(reason => {quote_value(REASON)})')
        self._wait("SELECT state = 'paused' FROM hcevents.status "
                   'WHERE datname = current_database()', 'the pause')

    def _alter(self) -> None:
        database = quote_name(self._ask('SELECT current_database()'))
        self._ask(f'ALTER DATABASE {database} SET hcevents.topic_prefix = '
                  f'{quote_value(self.prefix)}', self.gate)
        self.gate.commit()
        self.say(f'switched: what commits from now on goes to {self.prefix}.*')

    def _finish(self) -> None:
        """A relay enters its place before it reads its settings, so one that
        did so after the commit has the new prefix."""
        try:
            since = self._ask('SELECT clock_timestamp()::text')
            self._ask('SELECT hcevents.restart_relay()')
            self._wait(f"SELECT start_time > '{since}' AND state = 'paused' "
                       'FROM hcevents.status '
                       'WHERE datname = current_database()',
                       'the restart of the relay')
            self._ask('SELECT hcevents.resume()')
        except Exception as error:
            raise CutoverError(
                'the prefix is switched, but delivery is still paused: '
                f'{error}',
                'When hcevents.status shows a relay that was started after '
                'the switch: SELECT hcevents.resume().') from error
        self.say('the relay publishes under the new prefix')


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog='python -m hcevents.cutover', description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('prefix', help='the new topic prefix')
    parser.add_argument('--dsn', default='',
                        help='libpq connection string of the database')
    parser.add_argument('--table', action='append', metavar='NAME',
                        help='lock these instead of all attached tables; '
                             'quoted as in SQL')
    parser.add_argument('--timeout', type=float, default=120,
                        metavar='SECONDS')
    parser.add_argument('--lock-timeout', type=float, default=0.5,
                        metavar='SECONDS', help='below deadlock_timeout, or '
                        'the application may be the victim of a deadlock')
    options = parser.parse_args(arguments)
    try:
        Switch(options.dsn, options.prefix, options.table, options.timeout,
               options.lock_timeout,
               lambda text: print(text, flush=True)).run()
    except Exception as error:
        # The driver's own, too: no server, no right, no such database.
        print(f'not switched: {error}'
              if not isinstance(error, CutoverError) else error,
              file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
