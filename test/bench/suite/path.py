"""Where the time of an event goes; see test/bench/path.

    path.py [--rate N] [--seconds N] [--output DIR]

Events follow each other so slowly that the system calls of one come before
those of the next.  Each step is the time between two of them.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import threading

from systems import Hcevents
from world import BENCH, private_world, run, wait_until

FIRST_ID = 1000000000
LINE = re.compile(r'\s*(?P<start>[\d.]+) \( *(?P<length>[\d.]*) ?(?:ms)? *\): '
                  r'(?P<thread>.+?)/\d+ +(?P<rest>.*)')
# What the step before it ends with: thread, call, at its start or end.
STEPS = (
    ('the writer: fdatasync() of the WAL is over; it leaves the lists of running '
     'transactions and wakes the relay', 'writer', 'kill', 'start'),
    ('the relay wakes up', 'relay', 'epoll_wait', 'end'),
    ('it reads the WAL, finds transaction and snapshot, makes envelope and headers, '
     'and hands the message to librdkafka', 'relay', 'write', 'start'),
    ('librdkafka’s thread wakes up, makes and compresses the request', 'sender',
     'sendmsg', 'start'),
    ('Kafka has it: network, append to the log, answer', 'sender', 'recvmsg', 'start'),
    ('librdkafka takes the answer in and wakes the relay', 'relay', 'epoll_wait', 'end'),
)


def parse_arguments():
    parser = argparse.ArgumentParser(prog='test/bench/path')
    parser.add_argument('--rate', type=int, default=200, help='(200)')
    parser.add_argument('--seconds', type=int, default=10, help='(10)')
    parser.add_argument('--output', type=pathlib.Path,
                        default=BENCH.parents[1] / 'doc' / 'benchmarks')
    return parser.parse_args()


def calls(path, writer):
    """(time, thread, call, 'start' or 'end') of all system calls, in order."""
    found = []
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        match = LINE.match(line)
        if not match:
            continue
        thread, rest = match['thread'], match['rest']
        name = 'sender'
        if thread.startswith('postgres'):
            name = 'writer' if f'postgres/{writer} ' in line else 'relay'
        elif not thread.startswith('rdk:broker'):
            continue
        start = float(match['start']) * 1000
        continued = re.match(r'\.\.\. \[continued\]: (\w+)\(', rest)
        call = continued[1] if continued else rest.split('(')[0]
        if not continued:
            found.append((start, name, call, 'start'))
        if match['length']:
            found.append((start + float(match['length']) * 1000, name, call, 'end'))
    return sorted(found)


def steps(events):
    """Lists of microseconds for each step, of the events seen whole."""
    times = [[] for _ in STEPS]
    place, last, own = None, 0.0, []
    for time, thread, call, edge in events:
        if (thread, call, edge) == ('writer', 'fdatasync', 'end'):
            place, last, own = 0, time, []
            continue
        if place is None or (thread, call, edge) != STEPS[place][1:]:
            continue
        own.append(time - last)
        place, last = place + 1, time
        if place == len(STEPS):
            for to, value in zip(times, own):
                to.append(value)
            place = None
    return times


def trace(world, system, options):
    """The file of perf, the writer's pid, and the figures of bench latency."""
    postgres = world.postgres
    figures = {}

    def write():
        figures.update(world.latency(system.topic, options.rate, 1,
                                     options.seconds + 5, 2 * FIRST_ID))

    world.latency(system.topic, 1000, 1, 40, FIRST_ID)
    load = threading.Thread(target=write)
    load.start()
    query = ("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
             'AND pid <> pg_backend_pid()')
    wait_until(lambda: postgres.sql(query), 30, 'the writer')
    writer = postgres.sql(query)
    path = world.work / 'trace'
    run('perf', 'trace', '-T', '-o', path, '-p', f'{writer},{system.pids()[0]}', '--',
        'sleep', options.seconds)
    load.join()
    return path, writer, figures


def report(times, figures, options):
    lines = ['# The path of an event', '',
             f'Written by `test/bench/path`: {options.rate} events a second, one a commit; '
             f'{len(times[0])} of them seen whole. Medians and 90th percentiles, in '
             'microseconds; tracing adds some 10 to each system call.', '',
             '| step | p50 | p90 |', '|---|---:|---:|']
    total = 0
    for (what, *_), values in zip(STEPS, times):
        total += statistics.median(values)
        lines.append(f'| {what} | {statistics.median(values):.0f} | '
                     f'{statistics.quantiles(values, n=10)[-1]:.0f} |')
    lines += [f'| together | {total:.0f} | |', '',
              'From COMMIT returned to the consumer, while it was traced: '
              f'p50 {figures["p50_ms"]:.2f} ms, p90 {figures["p90_ms"]:.2f} ms.']
    text = '\n'.join(lines) + '\n'
    (options.output / 'path.md').write_text(text, encoding='utf-8')
    print(text)


def main():
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    with private_world('path') as world:
        system = Hcevents(world)
        system.start()
        try:
            path, writer, figures = trace(world, system, options)
            times = steps(calls(path, writer))
        finally:
            system.stop()
    if not times[0]:
        raise SystemExit('no event was seen whole')
    report(times, figures, options)


if __name__ == '__main__':
    main()
