"""How the cost of an event grows with what is large; see test/bench/growth.

    growth.py [--only NAME,...] [--repeats N] [--scale X] [--minutes M]
              [--output DIR]

Each curve has its unit: CPU of the whole server, relay and writers, for it.
Where the server pays as well without hcevents (long rows, many columns, many
tables), the same load on tables that are not attached is subtracted.
--scale 0.1: a tenth of the rows.  --minutes: how long the snapshot is held.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

from measures import HUNDRED
from systems import Hcevents
from world import BENCH, Ends, private_world

FIRST_ID = 1000000000
LIMIT = 1.2


class Curve:
    name = ''
    title = ''
    unit = 'event'
    points = ()
    # Is the same load on tables without attachment subtracted?
    difference = False
    topic_partitions = 1
    # Those whose events a measurement waits for.
    databases = ('postgres',)

    def __init__(self, world, scale):
        self.world = world
        self.postgres = world.postgres
        self.scale = scale
        self.system = Hcevents(world)

    def rows(self, count):
        return max(int(count * self.scale), 100)

    def settings(self):
        return {}

    def start(self, point):
        self.world.kafka.fresh_topic(self.system.topic, self.topic_partitions)
        self.postgres.start({**self.system.settings_now(), **self.settings()})
        self.postgres.sql('CREATE EXTENSION hcevents')
        self.prepare(point)
        self.flush()

    def prepare(self, point):
        """Makes tables t (attached) and p (plain)."""
        self.make_tables('id bigserial PRIMARY KEY, name text, email text')
        self.attach('t', '{name,email}')

    def make_tables(self, columns):
        self.postgres.sql(*(f'CREATE TABLE {name} ({columns})' for name in 'tp'))

    def attach(self, table, columns):
        self.postgres.sql(
            f"SELECT hcevents.attach('{table}', 'patient', '{columns}')")

    def flush(self):
        for name in self.databases:
            if self.postgres.sql("SELECT hcevents.flush('1800 s')", database=name) != 't':
                raise RuntimeError(f'{self.name}: not all of {name} is delivered')

    def load(self, point, table):
        """Writes to the table; returns how many units it was."""
        rows = self.rows(500000)
        self.postgres.sql(f"INSERT INTO {table} (name, email) SELECT 'Jane ' || i, "
                          f"'jane' || i || '@example.org' FROM generate_series(1, {rows}) i")
        return rows

    def cpu_of_load(self, point, table):
        self.postgres.sql('CHECKPOINT')
        before = self.postgres.cpu()
        units = self.load(point, table)
        self.flush()
        return self.postgres.cpu() - before, units

    def cost(self, point, repeats):
        """Microseconds of CPU for a unit: the median of the repeats."""
        self.start(point)
        try:
            self.load(point, 't')
            self.flush()
            costs = []
            for _ in range(repeats):
                cpu, units = self.cpu_of_load(point, 't')
                if self.difference:
                    cpu -= self.cpu_of_load(point, 'p')[0]
                costs.append(cpu * 1e6 / units)
            return statistics.median(costs)
        finally:
            self.postgres.stop()


class Size(Curve):
    name, title, unit = 'size', 'size of an event, kB', 'kB'
    points = (0.2, 1, 5, 20, 100, 500)
    difference = True

    def settings(self):
        return {'hcevents.max_event_size': "'900kB'"}

    def prepare(self, point):
        self.make_tables('id bigserial PRIMARY KEY, name text')
        self.attach('t', '{name}')
        self.postgres.sql("CREATE TABLE source AS SELECT string_agg(md5(i::text), '') AS text "
                          'FROM generate_series(1, 16000) i')

    def load(self, point, table):
        length = int(point * 1000)
        rows = self.rows(min(300000, 200000000 // length))
        self.postgres.sql(f'INSERT INTO {table} (name) SELECT substr(text, 1 + i % 97, {length}) '
                          f'FROM source, generate_series(1, {rows}) i')
        return rows * point


class Columns(Curve):
    name, title, unit = 'columns', 'published columns', 'column'
    points = (2, 5, 20, 50, 100, 200)
    difference = True

    def prepare(self, point):
        names = [f'c{i}' for i in range(point)]
        self.make_tables('id bigserial PRIMARY KEY, ' +
                         ', '.join(f'{name} text' for name in names))
        self.attach('t', '{' + ','.join(names) + '}')

    def load(self, point, table):
        rows = self.rows(2000000 // (point + 5))
        values = ', '.join("'value ' || i" for _ in range(point))
        names = ', '.join(f'c{i}' for i in range(point))
        self.postgres.sql(f'INSERT INTO {table} ({names}) SELECT {values} '
                          f'FROM generate_series(1, {rows}) i')
        return rows * point


class Attachments(Curve):
    name, title = 'attachments', 'attached tables, written in turn'
    points = (1, 10, 100, 300, 1000)
    difference = True

    def prepare(self, point):
        self.postgres.sql(f"""DO $$ BEGIN FOR i IN 1..{point} LOOP
            EXECUTE format('CREATE TABLE t%s (id bigserial PRIMARY KEY, name text)', i);
            EXECUTE format('CREATE TABLE p%s (id bigserial PRIMARY KEY, name text)', i);
            PERFORM hcevents.attach(('t' || i)::regclass, 'patient', '{{name}}');
            END LOOP; END $$""")

    def load(self, point, table):
        rows = self.rows(100000)
        self.postgres.pgbench(
            f"\\set t random(1, {point})\nINSERT INTO {table}:t (name) VALUES ('Jane');\n",
            '-c', 2, '-j', 2, '-t', rows // 2)
        return rows // 2 * 2


class Databases(Curve):
    name, title = 'databases', 'databases with hcevents'
    points = (1, 2, 4, 8, 16)

    def prepare(self, point):
        self.databases = [f'clinic{i}' for i in range(point)]
        for name in self.databases:
            self.postgres.sql(f'CREATE DATABASE {name}')
            self.postgres.sql('CREATE EXTENSION hcevents',
                              'CREATE TABLE t (id bigserial PRIMARY KEY, name text)',
                              "SELECT hcevents.attach('t', 'patient', '{name}')",
                              database=name)

    def load(self, point, table):
        rows = self.rows(800000) // point
        for name in self.databases:
            self.postgres.sql(f"INSERT INTO t (name) SELECT 'Jane ' || i "
                              f'FROM generate_series(1, {rows}) i', database=name)
        return rows * point


class Savepoints(Curve):
    name, title = 'savepoints', 'savepoints in a transaction, one event each'
    unit = 'event'
    points = (10, 100, 1000, 10000)
    difference = True

    def load(self, point, table):
        transactions = max(self.rows(60000) // point, 1)
        self.postgres.sql(f"""DO $$ BEGIN FOR t IN 1..{transactions} LOOP
            FOR i IN 1..{point} LOOP
                BEGIN INSERT INTO {table} (name) VALUES ('Jane');
                EXCEPTION WHEN division_by_zero THEN NULL; END;
            END LOOP; COMMIT; END LOOP; END $$""")
        return transactions * point


class Backlog(Curve):
    name, title = 'backlog', 'events of a backlog'
    points = (1000000, 3000000, 10000000)

    def load(self, point, table):
        rows = self.rows(point)
        self.system.hold()
        self.postgres.sql(f"""DO $$ BEGIN FOR t IN 1..{rows // 100} LOOP
            INSERT INTO {table} (name) SELECT 'Jane ' || i FROM generate_series(1, 100) i;
            COMMIT; END LOOP; END $$""")
        self.system.go_on()
        return rows // 100 * 100


class Partitions(Curve):
    name, title = 'partitions', 'partitions of the topic'
    points = (1, 4, 16, 64, 256)

    def start(self, point):
        self.topic_partitions = point
        super().start(point)


class Topics(Curve):
    name, title = 'topics', 'topics'
    points = (6, 30, 100, 300, 1000)

    def load(self, point, table):
        rows = self.rows(200000)
        self.postgres.sql(f"""SELECT count(hcevents.publish('kind' || i % {point} || '.created',
            jsonb_build_object('id', i), i::text)) FROM generate_series(1, {rows}) i""")
        return rows


CURVES = {curve.name: curve for curve in (
    Size, Columns, Attachments, Databases, Savepoints, Backlog, Partitions, Topics)}


class Neighbour:
    """WAL that is not ours at a rate, and its effect on latency."""
    rates = (0, 5, 20, 50)

    def __init__(self, world, scale):
        self.world = world
        self.postgres = world.postgres
        self.seconds = max(20 * scale, 5)

    def figures(self, repeats):
        system = Hcevents(self.world)
        system.start()
        try:
            self.postgres.sql('CREATE TABLE foreign_rows (filler text)')
            return [(rate, statistics.median(self.latency(system, rate, index * 10 + number)
                                             for number in range(repeats)))
                    for index, rate in enumerate(self.rates)]
        finally:
            system.stop()

    def latency(self, system, rate, number):
        """p50 at 1,000 events a second while that many MB of WAL a second
        are written beside, a MB each time."""
        path = self.postgres.dir / 'foreign.sql'
        path.write_text('INSERT INTO foreign_rows SELECT repeat(md5(i::text), 30) '
                        'FROM generate_series(1, 1000) i;\n', encoding='utf-8')
        writer = rate and subprocess.Popen(
            [str(self.postgres.bindir / 'pgbench'), '-n', '-h', str(self.postgres.dir), '-p',
             str(self.postgres.port), '-U', 'postgres', '-f', str(path), '-R', str(rate),
             '-T', '600', 'postgres'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return self.world.latency(system.topic, 1000, 1, self.seconds,
                                      FIRST_ID * (number + 1))['p50_ms']
        finally:
            if writer:
                writer.kill()
                writer.wait()


def snapshot(world, minutes):
    """p50 at 1,000 events a second, and events a second of a backlog, without
    a snapshot held and after it was held for minutes under load."""
    system = Hcevents(world)
    postgres = world.postgres
    figures = {}
    holder = None
    system.start()
    try:
        for number, name in enumerate(('without', 'held')):
            if name == 'held':
                holder = subprocess.Popen(
                    [str(postgres.bindir / 'psql'), '-X', '-q', '-d', postgres.conninfo()],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                holder.stdin.write('BEGIN ISOLATION LEVEL REPEATABLE READ;\n'
                                   "SELECT 'held', count(*) FROM patients;\n")
                holder.stdin.flush()
                holder.stdout.readline()
                world.latency(system.topic, 1000, 1, minutes * 60, FIRST_ID * 20)
            rates, delays = [], []
            for repeat in range(3):
                place = FIRST_ID * (30 + 10 * number + repeat)
                delays.append(world.latency(system.topic, 1000, 1, 10, place)['p50_ms'])
                rates.append(drain(world, system))
            figures[name] = {'p50_ms': statistics.median(delays),
                             'drain': statistics.median(rates)}
    finally:
        if holder:
            holder.kill()
            holder.wait()
        system.stop()
    return figures


def drain(world, system, rows=500000):
    system.hold()
    world.postgres.pgbench(HUNDRED, '-c', 1, '-t', rows // 100)
    ends = Ends(world, system.topic, rows)
    system.go_on()
    figures = ends.result()
    return ((rows - figures['first_got']) /
            (figures['last_s'] - figures['first_s']))


def parse_arguments():
    parser = argparse.ArgumentParser(prog='test/bench/growth')
    parser.add_argument('--only', default=','.join((*CURVES, 'neighbour', 'snapshot')))
    parser.add_argument('--repeats', type=int, default=3, help='(3)')
    parser.add_argument('--scale', type=float, default=1, help='(1)')
    parser.add_argument('--minutes', type=float, default=10, help='(10)')
    parser.add_argument('--output', type=pathlib.Path,
                        default=BENCH.parents[1] / 'doc' / 'benchmarks')
    options = parser.parse_args()
    options.only = options.only.split(',')
    return options


def measure(options, world, result):
    for name in options.only:
        if name == 'neighbour':
            result[name] = Neighbour(world, options.scale).figures(options.repeats)
        elif name == 'snapshot':
            result[name] = snapshot(world, options.minutes)
        else:
            curve = CURVES[name](world, options.scale)
            result[name] = []
            for point in curve.points:
                result[name].append((point, curve.cost(point, options.repeats)))
                print(f'{name} {point}: {result[name][-1][1]:.3f} us/{curve.unit}',
                      flush=True)
        print(f'{name}: {result[name]}', flush=True)
        yield


def ratio_of(points):
    """Cost at the largest point, times that of the median point."""
    return points[-1][1] / points[(len(points) - 1) // 2][1]


def write(output):
    content = json.loads((output / 'growth.json').read_text(encoding='utf-8'))
    lines = ['# How cost grows', '',
             'Written by `test/bench/growth`: CPU of the whole server (writers and relay) for '
             'a unit, medians; the largest point may cost '
             f'{LIMIT:g} times the median point.', '', '![curves](growth.svg)', '',
             '| | unit | cost at each point, µs | largest, of the median point | |',
             '|---|---|---|---:|---|']
    for name, points in content.items():
        if name not in CURVES:
            continue
        ratio = ratio_of(points)
        shown = ', '.join(f'{point:,g}: {cost:.3g}' for point, cost in points)
        lines.append(f'| {CURVES[name].title} | {CURVES[name].unit} | {shown} | {ratio:.2f} | '
                     f'{"holds" if ratio <= LIMIT else "does not hold"} |')
    lines += ['', '| | p50 at 1,000 events/s, ms | of none |', '|---|---:|---:|']
    for rate, delay in content.get('neighbour', ()):
        base = content['neighbour'][0][1]
        lines.append(f'| {rate} MB/s of WAL that is not ours | {delay:.3f} | {delay / base:.2f} |')
    for name, figures in content.get('snapshot', {}).items():
        base = content['snapshot']['without']
        lines.append(f'| snapshot {name} | {figures["p50_ms"]:.3f} | '
                     f'{figures["p50_ms"] / base["p50_ms"]:.2f}; a backlog '
                     f'{figures["drain"]:,.0f} events/s, {figures["drain"] / base["drain"]:.2f} |')
    (output / 'growth.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    plot(content, output / 'growth.svg')
    print('\n'.join(lines))


def plot(content, path):
    import matplotlib
    matplotlib.use('Agg')
    matplotlib.rcParams['svg.hashsalt'] = 'hcevents'
    import matplotlib.pyplot as plt
    names = [name for name in content if name in CURVES]
    if not names:
        return
    height = (len(names) + 3) // 4
    figure, axes = plt.subplots(height, 4, figsize=(13, 3 * height), squeeze=False)
    for place in axes.flat[len(names):]:
        place.remove()
    for place, name in zip(axes.flat, names):
        places, costs = zip(*content[name])
        place.plot(places, costs, marker='o', color='#1565c0')
        place.set_xscale('log')
        place.set_ylim(0)
        place.set_title(CURVES[name].title, fontsize=9)
        place.set_ylabel(f'µs of CPU a {CURVES[name].unit}', fontsize=8)
        place.spines[['top', 'right']].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None})
    plt.close(figure)


def main():
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / 'growth.json'
    result = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    with private_world('growth') as world:
        for _ in measure(options, world, result):
            path.write_text(json.dumps(result, indent=1), encoding='utf-8')
    write(options.output)


if __name__ == '__main__':
    main()
