"""What is measured of a system.  Each gives (name, unit, value) triples."""
import os
import time

from systems import Debezium, DjangoProgram, Hcevents
from world import Ends, cpu_of, wait_until

CLIENTS = (1, 8, 32)
# Events a second, and rows of a commit: one connection does not do 20,000
# commits a second beside a broker on two cores.
RATES = ((100, 1), (1000, 1), (5000, 5), (20000, 20))
HUGE_ROWS = 10000000
SINGLE = """\\set n random(1, 1000000000)
INSERT INTO patients (name, email) VALUES ('Patient ' || :n, 'patient' || :n || '@example.org');
"""
# The same in a table that nothing captures.
UNCAPTURED = SINGLE.replace('patients', 'uncaptured')
HUNDRED = """INSERT INTO patients (name, email)
SELECT 'Patient ' || i, 'patient' || i || '@example.org' FROM generate_series(1, 100) i;
"""
BULK = """INSERT INTO patients (name, email)
SELECT 'Patient ' || i, 'patient' || i || '@example.org' FROM generate_series(1, {}) i"""
# Ids that no sequence reaches.
FIRST_ID = 1000000000
# As the relay has them (src/relay/producer_config.c), and as many messages in
# flight as it allows itself.
PRODUCER = ('-X', 'linger.ms=0', '-X', 'compression.codec=lz4',
            '-X', 'batch.num.messages=10000', '-X', 'batch.size=1000000',
            '-X', 'queue.buffering.max.messages=50000')


class Measures:
    def __init__(self, world, system, seconds, bulk_rows, huge):
        self.world = world
        self.system = system
        self.postgres = world.postgres
        self.seconds = seconds
        self.bulk_rows = bulk_rows
        self.huge = huge

    def all(self):
        yield from self.commits()
        if isinstance(self.system, DjangoProgram):
            return
        yield from self.bulk()
        if not self.system.publishes():
            return
        yield from self.latency()
        yield from self.backlog()
        if isinstance(self.system, Hcevents):
            yield from self.ceiling()
        if isinstance(self.system, Debezium):
            yield from self.polls()
        if self.huge:
            yield from self.large()
        yield 'memory', 'MB', self.system.memory()

    def rows(self):
        return int(self.postgres.sql('SELECT count(*) FROM patients'))

    def delivered(self, due):
        """Wait until the topic holds so many messages."""
        if self.system.publishes() and not isinstance(self.system, DjangoProgram):
            wait_until(lambda: self.world.kafka.count(self.system.topic) >= due,
                       900, f'{due} events of {self.system.name}')

    def tps(self, script, clients, seconds):
        text = self.postgres.pgbench(script, '-M', 'prepared', '-c', clients,
                                     '-j', min(clients, 2), '-T', seconds)
        return float(next(line for line in text.splitlines()
                          if line.startswith('tps')).split()[2])

    def beside(self):
        """Commits with and without capture in turn on the same cluster: what
        clusters minutes apart differ by is more than what capture costs."""
        own, uncaptured = [], []
        for _ in range(3):
            uncaptured.append(self.tps(UNCAPTURED, 8, max(self.seconds // 2, 1)))
            own.append(self.tps(SINGLE, 8, max(self.seconds // 2, 1)))
            self.delivered(self.rows())
        yield 'beside_8', '1/s', sum(own) / len(own)
        yield 'uncaptured_8', '1/s', sum(uncaptured) / len(uncaptured)

    def commits(self):
        for clients in CLIENTS:
            before = self.rows()
            cpu = self.system.cpu()
            broker = cpu_of(self.world.kafka.pid())
            server = self.postgres.cpu()
            if isinstance(self.system, DjangoProgram):
                tps = self.system.commits(clients, self.seconds)
            else:
                tps = self.tps(SINGLE, clients, self.seconds)
            yield f'commits_{clients}', '1/s', tps
            rows = self.rows()
            self.delivered(rows)
            if clients == 8:
                events = (rows - before) / 1e6
                cpu = self.system.cpu() - cpu
                yield 'cpu_single_delivery', 's', cpu / events
                yield 'cpu_single_server', 's', (self.postgres.cpu() - server) / events
                yield ('cpu_single_broker', 's',
                       (cpu_of(self.world.kafka.pid()) - broker) / events)
        if isinstance(self.system, Hcevents):
            yield from self.beside()

    def timed(self, *statements):
        """Seconds of the last of these statements, and when it had returned."""
        if statements[:-1]:
            self.postgres.sql(*statements[:-1])
        started = time.time()
        self.postgres.sql(statements[-1])
        ended = time.time()
        return ended - started, ended

    def wal(self):
        return int(self.postgres.sql(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def bulk(self):
        """One transaction of many rows; then the same by COPY."""
        path = self.world.work / 'pg' / 'rows'
        self.postgres.sql('TRUNCATE patients')
        base = self.world.kafka.count(self.system.topic) if self.system.publishes() else 0
        self.postgres.sql('CHECKPOINT')
        ends = (Ends(self.world, self.system.topic, self.bulk_rows)
                if self.system.publishes() else None)
        wal, server, own = self.wal(), self.postgres.cpu(), self.system.cpu()
        seconds, committed = self.timed(BULK.format(self.bulk_rows))
        yield 'bulk_rows', '1/s', self.bulk_rows / seconds
        yield 'bulk_seconds', 's', seconds
        yield 'wal_row', 'B', (self.wal() - wal) / self.bulk_rows
        if ends:
            figures = ends.result()
            yield 'large_seconds', 's', max(figures['last_s'] - committed, 0)
        own = self.system.cpu() - own
        # Delivery's processes may be the server's or not.
        inside = own if isinstance(self.system, Hcevents) else 0
        yield ('cpu_bulk_writer', 's',
               (self.postgres.cpu() - server - inside) * 1e6 / self.bulk_rows)
        if self.system.publishes():
            yield 'cpu_bulk_delivery', 's', own * 1e6 / self.bulk_rows
        self.delivered(base + self.bulk_rows)
        if not path.exists():
            self.postgres.sql(f"COPY (SELECT name, email FROM patients) TO '{path}'")
        seconds, _ = self.timed('TRUNCATE patients', 'CHECKPOINT',
                                f"COPY patients (name, email) FROM '{path}'")
        yield 'copy_rows', '1/s', self.bulk_rows / seconds
        self.delivered(base + 2 * self.bulk_rows)

    def latency(self):
        # What the loads before have left to be written delays the broker.
        os.sync()
        for number, (rate, rows) in enumerate(RATES):
            yield from self.latency_at(rate, rows, FIRST_ID * (number + 1),
                                       f'latency_{rate}')

    def latency_at(self, rate, rows, first_id, name):
        figures = self.world.latency(self.system.topic, rate, rows, self.seconds,
                                     first_id)
        for part in 'p50', 'p99', 'max':
            yield f'{name}_{part}', 'ms', figures.get(f'{part}_ms', float('nan'))
        yield f'{name}_rate', '1/s', figures['rate']
        yield f'{name}_missing', '', figures['missing']

    def polls(self):
        for number, milliseconds in enumerate((10, 1)):
            self.system.poll(milliseconds)
            yield from self.latency_at(1000, 1, FIRST_ID * (10 + number),
                                       f'latency_poll{milliseconds}')

    def backlog(self):
        """Rows written while nothing is delivered, then how fast it goes."""
        rows = min(self.system.backlog_rows, self.bulk_rows)
        self.system.hold()
        self.postgres.pgbench(HUNDRED, '-c', 1, '-t', rows // 100)
        ends = Ends(self.world, self.system.topic, rows)
        broker = cpu_of(self.world.kafka.pid())
        self.system.go_on()
        ends.first()
        cpu = self.system.cpu()
        figures = ends.result()
        events = rows - figures['first_got']
        yield 'drain', '1/s', events / (figures['last_s'] - figures['first_s'])
        yield ('cpu_drain_delivery', 's',
               (self.system.cpu() - cpu) * 1e6 / events)
        yield ('cpu_drain_broker', 's',
               (cpu_of(self.world.kafka.pid()) - broker) * 1e6 / rows)

    def ceiling(self):
        self.world.kafka.fresh_topic('bench.ceiling')
        figures = self.world.producer(self.system.topic, 'bench.ceiling', self.bulk_rows,
                                      *PRODUCER)
        yield 'ceiling', '1/s', figures['rate']
        yield 'cpu_ceiling', 's', figures['cpu_s_per_million']

    def large(self):
        ends = Ends(self.world, self.system.topic, HUGE_ROWS, 3600)
        _, committed = self.timed(BULK.format(HUGE_ROWS))
        yield 'huge_seconds', 's', max(ends.result()['last_s'] - committed, 0)
