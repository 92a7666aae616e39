"""Measure systems beside one another; see test/bench/run.

    main.py [--rounds N] [--seconds N] [--rows N] [--systems A,B] [--huge]
            [--output DIR]

Each round runs every system once, in turn forth and back, on a fresh cluster.
Figures go to DIR/figures.json as they come; then report.py makes the tables and
plots from it.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import sys

import report
from measures import Measures, PRODUCER, SINGLE
from systems import SYSTEMS
from world import BENCH, SETTINGS, private_world, run


def parse_arguments():
    parser = argparse.ArgumentParser(prog='test/bench/run')
    parser.add_argument('--rounds', type=int, default=3, help='(3)')
    parser.add_argument('--seconds', type=int, default=8,
                        help='of each measure at a rate or with clients (8)')
    parser.add_argument('--rows', type=int, default=1000000,
                        help='of bulk loads and backlogs (1000000)')
    parser.add_argument('--systems', default=','.join(SYSTEMS),
                        help='some of ' + ','.join(SYSTEMS))
    parser.add_argument('--huge', action='store_true',
                        help='also one transaction of 10 million events, once')
    parser.add_argument('--output', type=pathlib.Path,
                        default=BENCH.parents[1] / 'doc' / 'benchmarks',
                        help='(doc/benchmarks)')
    options = parser.parse_args()
    options.systems = options.systems.split(',')
    unknown = set(options.systems) - set(SYSTEMS)
    if unknown:
        parser.error(f'no system {", ".join(sorted(unknown))}')
    return options


def cpu_model():
    for line in pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


def conditions(options, world):
    """What the figures hold for."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return {
        'date': datetime.date.today().isoformat(),
        'command': 'test/bench/run ' + ' '.join(sys.argv[1:]),
        'commit': run('git', '-C', BENCH, 'rev-parse', '--short', 'HEAD', check=False),
        'machine': f'{os.cpu_count()} cores ({cpu_model()}), {memory:.0f} GB, '
                   f'Linux {platform.release()}',
        'postgresql': run('pg_config', '--version'),
        'librdkafka': run('pkg-config', '--modversion', 'rdkafka', check=False),
        'java': run('java', '--version').splitlines()[0],
        'kafka': (world.work / 'kafka' / 'version').read_text(encoding='utf-8').strip(),
        'settings': SETTINGS,
        'producer': ' '.join(PRODUCER),
        'rounds': options.rounds,
        'seconds': options.seconds}


def warm_up(world):
    """The broker compiles its code while it runs: who comes first must not pay.
    Small requests take it a minute: its CPU for one falls to a fifth, and the
    99th percentile of the delay with it."""
    system = SYSTEMS['hcevents'](world)
    system.start()
    world.postgres.sql("INSERT INTO patients (name) SELECT 'Jane ' || i "
                       'FROM generate_series(1, 200000) i')
    for rate in 1000, 3000:
        world.latency(system.topic, rate, 1, 30, 1000000000 * rate)
    world.postgres.pgbench(SINGLE, '-M', 'prepared', '-c', 8, '-j', 2, '-T', 40)
    world.kafka.fresh_topic('bench.ceiling')
    world.producer(system.topic, 'bench.ceiling', 2000000)
    system.stop()


def measure(options, world, figures):
    for number in range(1, options.rounds + 1):
        names = options.systems if number % 2 else options.systems[::-1]
        for name in names:
            system = SYSTEMS[name](world)
            print(f'round {number}: {system.title}', flush=True)
            try:
                system.start()
                huge = options.huge and number == 1
                for what, unit, value in Measures(world, system, options.seconds,
                                                  options.rows, huge).all():
                    print(f'  {what} {value:.6g} {unit}', flush=True)
                    figures.append({'system': name, 'measure': what, 'unit': unit,
                                    'value': value, 'round': number})
            finally:
                system.stop()
            yield


def main():
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    with private_world('bench') as world:
        result = {'conditions': conditions(options, world), 'figures': []}
        warm_up(world)
        for _ in measure(options, world, result['figures']):
            (options.output / 'figures.json').write_text(
                json.dumps(result, indent=1), encoding='utf-8')
    report.write(options.output)


if __name__ == '__main__':
    main()
