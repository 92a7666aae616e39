"""Write to the clinic's tables while migrations run.

    migrations_load.py CLIENTS COUNT_FILE

Goes on until SIGTERM.  The tables may be renamed and moved: they are known by
their oid, and a transaction that meets a name in change is given up, and
counted.  Anything else that fails, by a deadlock too, is a failure.
The number of transactions done is written into COUNT_FILE all the time; at
its end this prints a line and has status 1 when something failed.
"""
import itertools
import os
import random
import signal
import sys
import threading

import psycopg
from psycopg import errors

stopping = threading.Event()
numbers = itertools.count()


class Writer:
    """Takes patients before appointments, as the migrations do: the other way
    round would be deadlocks, with these as with any DDL."""

    def __init__(self, number):
        self.random = random.Random(number)
        self.number = number
        self.done = 0
        self.renamed = 0
        self.failures = []
        self.connection = psycopg.connect(autocommit=True,
                                          prepare_threshold=None)
        self.patients, self.appointments = self.connection.execute(
            "SELECT 'patients'::regclass::oid, "
            "'appointments'::regclass::oid").fetchone()
        self.ids = []

    def names(self):
        """The tables as they are called now; patients may be a partition of the
        table that programs write to."""
        return self.connection.execute(
            'SELECT coalesce(pg_partition_root(%s), %s)::regclass::text, '
            '%s::regclass::text',
            [self.patients, self.patients, self.appointments]).fetchone()

    def create(self, patients, appointments):
        number = next(numbers)
        row = self.connection.execute(
            f'INSERT INTO {patients} (name, email) VALUES (%s, %s) '
            'RETURNING id', [f'Patient {number}',
                             f'{self.number}.{number}@load.example'])
        self.ids.append(row.fetchone()[0])

    def change(self, patients, appointments):
        self.connection.execute(
            f'UPDATE {patients} SET name = %s WHERE id = %s',
            [f'Name {next(numbers)}', self.random.choice(self.ids)])

    def book(self, patients, appointments):
        patient = self.random.choice(self.ids)
        self.connection.execute(
            f'SELECT 1 FROM {patients} WHERE id = %s FOR KEY SHARE',
            [patient])
        appointment = self.connection.execute(
            f"INSERT INTO {appointments} (patient_id, status) "
            "VALUES (%s, 'booked') RETURNING id", [patient]).fetchone()[0]
        self.connection.execute(
            f'UPDATE {appointments} SET status = %s WHERE id = %s',
            [self.random.choice(['cancelled', 'completed']), appointment])

    def delete(self, patients, appointments):
        patient = self.ids.pop(self.random.randrange(len(self.ids)))
        # The foreign key is deferred, so patients first is possible.
        self.connection.execute(
            f'DELETE FROM {patients} WHERE id = %s', [patient])
        self.connection.execute(
            f'DELETE FROM {appointments} WHERE patient_id = %s', [patient])

    def visit(self, patients, appointments):
        """A table that comes and goes; written to once the ledger sees it."""
        if self.connection.execute(
                "SELECT 1 FROM pg_trigger WHERE tgname = 'ledger_note' "
                "AND tgrelid = to_regclass('visits')").fetchone():
            number = next(numbers)
            self.connection.execute(
                'INSERT INTO visits (id, reason) VALUES (%s, %s)',
                [number, f'Reason {number}'])

    def one(self):
        if len(self.ids) < 20:
            action = self.create
        else:
            action = self.random.choices(
                [self.create, self.change, self.book, self.delete,
                 self.visit],
                [4, 4, 3, 2, 2])[0]
        ids = list(self.ids)
        rolled_back = self.random.random() < 0.1
        try:
            names = self.names()
            with self.connection.transaction(force_rollback=rolled_back):
                action(*names)
            self.done += 1
        except errors.UndefinedTable:
            self.renamed += 1
            rolled_back = True
        if rolled_back:
            self.ids = ids

    def run(self):
        try:
            while not stopping.is_set():
                self.one()
        except psycopg.Error as error:
            self.failures.append(f'{type(error).__name__}: {error}')


def write_count(path, count):
    with open(path + '.new', 'w', encoding='ascii') as file:
        file.write(f'{count}\n')
    os.replace(path + '.new', path)


def main():
    clients, path = int(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    writers = [Writer(number) for number in range(clients)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    while not stopping.wait(0.05):
        write_count(path, sum(writer.done for writer in writers))
    for thread in threads:
        thread.join()
    failures = [failure for writer in writers for failure in writer.failures]
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f'transactions={sum(writer.done for writer in writers)} '
          f'renamed={sum(writer.renamed for writer in writers)} '
          f'failed={len(failures)}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
