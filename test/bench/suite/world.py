"""The private PostgreSQL and the private Kafka that everything is measured on."""
import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BENCH = HERE.parent
TEST = BENCH.parent
KAFKA = TEST / 'kafka' / 'kafka'
TICKS = os.sysconf('SC_CLK_TCK')
# The same for every system; a system adds what it needs.
SETTINGS = {
    'listen_addresses': "''",
    'max_connections': '100',
    'shared_buffers': '256MB',
    'max_wal_size': '16GB',
    'checkpoint_timeout': '1h',
    'autovacuum': 'off',
    'max_worker_processes': '64',
    'max_replication_slots': '40',
    'log_statement': 'none',
}
TABLE = """CREATE TABLE patients (id bigserial PRIMARY KEY,
    name text NOT NULL, email text, version int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now())"""


def run(*command, check=True, **options):
    done = subprocess.run([str(word) for word in command], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f'{command[0]} ended with {done.returncode}: '
                           f'{done.stderr[-2000:]}')
    return done.stdout.strip()


def wait_until(condition, seconds, what):
    """The condition's first true value; nothing here waits for a time."""
    end = time.monotonic() + seconds
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f'waited {seconds} s for {what}')
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def pairs(line):
    """{name: number} of a line "name=number name=number"."""
    return {name: float(value) for name, value in
            (word.split('=', 1) for word in line.split() if '=' in word)}


def process_stat(pid):
    """Fields of /proc/PID/stat after the command's name; None when it is gone."""
    try:
        text = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='utf-8')
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(')') + 2:].split()


def cpu_of(pid):
    """Seconds of CPU of one process."""
    stat = process_stat(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS if stat else 0.0


def memory_of(pid):
    """The largest resident memory a process had, in MB."""
    try:
        text = pathlib.Path(f'/proc/{pid}/status').read_text(encoding='utf-8')
    except FileNotFoundError:
        return 0.0
    for line in text.splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) / 1024
    return 0.0


class Postgres:
    """A cluster of its own for each system and round."""

    def __init__(self, work):
        self.dir = work
        self.bindir = pathlib.Path(run('pg_config', '--bindir'))
        self.port = free_port()
        self.as_postgres = (['runuser', '-u', 'postgres', '--']
                            if os.getuid() == 0 else [])
        self.user = 'postgres' if os.getuid() == 0 else pwd.getpwuid(os.getuid())[0]

    def start(self, settings):
        self.stop()
        data = self.dir / 'data'
        data.mkdir()
        if self.as_postgres:
            shutil.chown(self.dir, 'postgres')
            shutil.chown(data, 'postgres')
        run(*self.as_postgres, self.bindir / 'initdb', '-D', data, '-A', 'trust',
            '-U', 'postgres', '--encoding=UTF8', '--locale=C')
        settings = {**SETTINGS, 'port': str(self.port),
                    'unix_socket_directories': f"'{self.dir}'", **settings}
        with open(data / 'postgresql.conf', 'a', encoding='utf-8') as conf:
            conf.writelines(f'{name} = {value}\n'
                            for name, value in settings.items())
        self.control('start')

    def control(self, *arguments):
        subprocess.run([*self.as_postgres, str(self.bindir / 'pg_ctl'), '-s', '-w',
                        '-D', str(self.dir / 'data'), '-l', str(self.dir / 'log'),
                        *arguments], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if (self.dir / 'data' / 'postmaster.pid').exists():
            self.control('stop', '-m', 'immediate')
        shutil.rmtree(self.dir / 'data', ignore_errors=True)

    def conninfo(self, database='postgres'):
        return f'host={self.dir} port={self.port} user=postgres dbname={database}'

    def sql(self, *statements, database='postgres'):
        """The last answer of statements, each a transaction of its own."""
        words = [word for text in statements for word in ('-c', text)]
        return run(self.bindir / 'psql', '-X', '-q', '-A', '-t', '-v',
                   'ON_ERROR_STOP=1', '-d', self.conninfo(database), *words)

    def pgbench(self, script, *arguments):
        path = self.dir / 'script.sql'
        path.write_text(script, encoding='utf-8')
        return run(self.bindir / 'pgbench', '-n', '-h', self.dir, '-p', self.port,
                   '-U', 'postgres', '-f', path, *arguments, 'postgres')

    def main_pid(self):
        text = (self.dir / 'data' / 'postmaster.pid').read_text(encoding='utf-8')
        return int(text.split('\n', 1)[0])

    def cpu(self):
        """Seconds of CPU of all its processes, ended ones too."""
        main = self.main_pid()
        children = pathlib.Path(f'/proc/{main}/task/{main}/children')
        while True:
            stat = process_stat(main)
            total = sum(int(stat[field]) for field in (11, 12, 13, 14)) / TICKS
            total += sum(cpu_of(pid) for pid in children.read_text(
                encoding='utf-8').split())
            # one that ended meanwhile may be in neither of them, or in both
            if process_stat(main)[13:15] == stat[13:15]:
                return total


class Kafka:
    """One real Apache Kafka for the whole run."""

    def __init__(self, work):
        self.dir = work / 'kafka'
        environment = {**os.environ, 'KAFKA_HEAP': os.environ.get('KAFKA_HEAP', '1g')}
        run(KAFKA, 'start', self.dir, env=environment)
        self.bootstrap = run(KAFKA, 'bootstrap', self.dir)

    def fresh_topic(self, name, partitions=1):
        run(KAFKA, 'delete-topic', self.dir, name, check=False)
        wait_until(lambda: name not in run(KAFKA, 'list-topics', self.dir).split(),
                   30, f'topic {name} to go')
        run(KAFKA, 'create-topic', self.dir, name, partitions)

    def count(self, topic):
        return int(run(KAFKA, 'count', self.dir, topic))

    def pid(self):
        return int((self.dir / 'pid').read_text(encoding='utf-8'))

    def stop(self):
        run(KAFKA, 'kill', self.dir, check=False)


class Ends:
    """test/bench/tool's "ends": when a topic grows, without consuming."""

    def __init__(self, world, topic, count, seconds=900):
        self.process = subprocess.Popen(
            [str(world.tool), 'ends', '-b', world.kafka.bootstrap, '-t', topic,
             '-n', str(count), '-w', str(seconds)],
            text=True, stdout=subprocess.PIPE)
        self.expect('ready')

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f'bench ends: "{line}" instead of "{word}"')

    def first(self):
        self.expect('first')

    def result(self):
        line = self.process.stdout.readlines()[-1]
        status = self.process.wait()
        figures = pairs(line)
        if status != 0:
            raise RuntimeError(f'only {figures.get("got")} events arrived')
        return figures

    def kill(self):
        self.process.kill()
        self.process.wait()


class World:
    """What a run has; see private_world()."""

    def __init__(self, work):
        self.work = work
        work.chmod(0o755)
        run('make', '-s', '-C', BENCH / 'tool', f'BUILD={work / "tool"}')
        self.tool = work / 'tool' / 'bench'
        (work / 'pg').mkdir()
        self.postgres = Postgres(work / 'pg')
        self.kafka = Kafka(work)

    def producer(self, source, topic, count, *options):
        return pairs(run(self.tool, 'producer', '-b', self.kafka.bootstrap,
                         '-f', source, '-t', topic, '-n', count, *options))

    def latency(self, topic, rate, rows, seconds, first_id):
        """Its figures; events may be missing, which they say."""
        return pairs(run(self.tool, 'latency', '-b', self.kafka.bootstrap, '-t',
                         topic, '-c', self.postgres.conninfo(), '-r', rate, '-m',
                         rows, '-s', seconds, '-i', first_id, check=False))

    def close(self):
        self.postgres.stop()
        self.kafka.stop()


@contextlib.contextmanager
def private_world(name):
    """A world in a temporary folder; nothing of it is left, unless
    HCE_TEST_KEEP=1 keeps the folder."""
    work = pathlib.Path(tempfile.mkdtemp(prefix=f'hcevents-{name}.'))
    world = None
    try:
        world = World(work)
        yield world
    finally:
        if world:
            world.close()
        if os.environ.get('HCE_TEST_KEEP') == '1':
            print(f'kept {work}')
        else:
            shutil.rmtree(work, ignore_errors=True)
