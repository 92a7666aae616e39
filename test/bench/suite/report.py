"""Tables and plots of DIR/figures.json.

    report.py DIR
"""
import json
import pathlib
import statistics
import sys

from measures import CLIENTS, RATES
from systems import SYSTEMS

COLOURS = {'none': '#9e9e9e', 'noop': '#bdbdbd', 'hcevents': '#1565c0',
           'hcevents_no_headers': '#42a5f5', 'hcevents_paused': '#90caf9',
           'outbox': '#ef6c00', 'debezium': '#c62828', 'debezium_outbox': '#e57373',
           'django': '#9e9e9e', 'django_signals': '#6a1b9a',
           'django_hcevents': '#1565c0'}
TABLES = (
    ('Commits a second, one row each', '1/s', '{:,.0f}',
     [*((f'commits_{clients}', f'{clients} clients') for clients in CLIENTS),
      ('beside_8', '8 clients, in turn with'),
      ('uncaptured_8', 'a table that nothing captures')]),
    ('Bulk load: one transaction of a million rows', '', '{:,.0f}',
     [('bulk_rows', 'INSERT … SELECT, rows/s'), ('copy_rows', 'COPY, rows/s'),
      ('wal_row', 'WAL bytes a row')]),
    ('From COMMIT returned to the consumer, milliseconds', 'ms', '{:,.2f}',
     [(f'latency_{rate}_{part}', f'{rate:,}/s {part}')
      for rate, _ in RATES for part in ('p50', 'p99', 'max')]),
    ('The same at 1,000 events/s with other poll.interval.ms', 'ms', '{:,.2f}',
     [(f'latency_poll{poll}_{part}', f'{poll} ms {part}')
      for poll in (10, 1) for part in ('p50', 'p99', 'max')]),
    ('Backlogs and large transactions', '', '{:,.2f}',
     [('drain', 'backlog, events/s'), ('ceiling', 'librdkafka alone, events/s'),
      ('large_seconds', '1 million in one transaction, s after COMMIT'),
      ('huge_seconds', '10 million, s after COMMIT')]),
    ('CPU, seconds for a million events', 's', '{:,.2f}',
     [('cpu_bulk_writer', 'writer, bulk'), ('cpu_drain_delivery', 'delivery, backlog'),
      ('cpu_single_delivery', 'delivery, single rows'),
      ('cpu_drain_broker', 'broker, backlog'),
      ('cpu_single_broker', 'broker, single rows'),
      ('cpu_ceiling', 'librdkafka alone')]),
    ('Memory of delivery after all this', 'MB', '{:,.0f}', [('memory', 'MB')]),
)


class Figures:
    def __init__(self, path):
        content = json.loads(path.read_text(encoding='utf-8'))
        self.conditions = content['conditions']
        self.values = {}
        for figure in content['figures']:
            self.values.setdefault((figure['system'], figure['measure']), []).append(
                figure['value'])

    def systems(self, measures):
        return [name for name in SYSTEMS
                if any((name, measure) in self.values for measure in measures)]

    def of(self, system, measure):
        """(minimum, median, maximum), or None."""
        values = self.values.get((system, measure))
        return values and (min(values), statistics.median(values), max(values))

    def median(self, system, measure):
        values = self.of(system, measure)
        return values[1] if values else None

    def ratio(self, system, measure, base, base_measure=None):
        """Median of the rounds' own ratios: what a slow round does to both goes."""
        mine = self.values.get((system, measure))
        theirs = self.values.get((base, base_measure or measure))
        if not mine or not theirs or len(mine) != len(theirs):
            return None
        return statistics.median(a / b for a, b in zip(mine, theirs))


def table(figures, title, form, columns):
    columns = [(measure, label) for measure, label in columns
               if figures.systems([measure])]
    names = figures.systems([measure for measure, _ in columns])
    if not names:
        return []
    lines = [f'### {title}', '', 'Median (minimum to maximum).', '',
             '| |' + '|'.join(label for _, label in columns) + '|',
             '|---|' + '---:|' * len(columns)]
    for name in names:
        cells = []
        for measure, _ in columns:
            values = figures.of(name, measure)
            if not values:
                cells.append('')
                continue
            low, middle, high = (form.format(value) for value in values)
            cells.append(middle if low == high else f'{middle} ({low} to {high})')
        lines.append(f'| {SYSTEMS[name].title} | ' + ' | '.join(cells) + ' |')
    return [*lines, '']


def floors(figures):
    """(what, limit, measured, holds) of the project's own bounds."""
    def at_most(what, limit, value):
        return what, f'at most {limit:g}', value, value is not None and value <= limit

    def at_least(what, limit, value):
        return what, f'at least {limit:g}', value, value is not None and value >= limit

    ratio, median = figures.ratio, figures.median

    def beside(system):
        return ratio(system, 'beside_8', system, 'uncaptured_8')

    wal = (figures.values.get(('hcevents', 'wal_row')),
           figures.values.get(('none', 'wal_row')))
    wal_event = (statistics.median(a - b for a, b in zip(*wal)) if all(wal) else None)

    def cpu(system, measure):
        """Capture and delivery together; of a system that adds work to the
        writer (an outbox), that too."""
        delivery = median(system, f'cpu_{measure}_delivery')
        writer, none = median(system, 'cpu_bulk_writer'), median('none', 'cpu_bulk_writer')
        if None in (delivery, writer, none):
            return None
        return delivery + max(writer - none, 0)

    mine, theirs = cpu('hcevents', 'drain'), median('debezium', 'cpu_drain_delivery')
    single, their_single = (cpu('hcevents', 'single'),
                            median('debezium', 'cpu_single_delivery'))
    return [
        at_most('bulk insert, times the time without', 1.30,
                ratio('hcevents_paused', 'bulk_seconds', 'none')),
        at_most('the same with the relay running', 1.30,
                ratio('hcevents', 'bulk_seconds', 'none')),
        at_most('WAL of an event in bulk, bytes', 80, wal_event),
        at_least('commits/s at 8 clients, relay stopped, of none', 0.95,
                 ratio('hcevents_paused', 'commits_8', 'none')),
        at_least('the same in turn with a table that nothing captures', 0.95,
                 beside('hcevents_paused')),
        at_least('commits/s at 8 clients, all delivered, of none', 0.85,
                 ratio('hcevents', 'commits_8', 'none')),
        at_least('the same in turn with a table that nothing captures', 0.85,
                 beside('hcevents')),
        at_most('p50 at 1,000 events/s, ms', 0.5, median('hcevents', 'latency_1000_p50')),
        at_most('p99 at 1,000 events/s, ms', 3, median('hcevents', 'latency_1000_p99')),
        at_least('drain, of librdkafka alone with the same messages', 0.9,
                 ratio('hcevents', 'drain', 'hcevents', 'ceiling')),
        at_least('the same without headers', 0.9,
                 ratio('hcevents_no_headers', 'drain', 'hcevents_no_headers', 'ceiling')),
        at_least('drain, of Debezium’s', 15, ratio('hcevents', 'drain', 'debezium')),
        at_least('Debezium’s CPU, of ours (capture and relay), backlog', 25,
                 theirs / mine if mine and theirs else None),
        at_least('Debezium’s CPU, of ours, single-row commits', 25,
                 their_single / single if single and their_single else None)]


def floor_table(figures):
    lines = ['### Bounds', '', '| | bound | measured | |', '|---|---|---:|---|']
    for what, limit, value, holds in floors(figures):
        shown = '' if value is None else f'{value:.2f}'
        word = 'not measured' if value is None else 'holds' if holds else 'does not hold'
        lines.append(f'| {what} | {limit} | {shown} | {word} |')
    return [*lines, '']


def setup_table(figures):
    lines = ['### Steps to set up', '', '| | |', '|---|---|']
    for name in figures.systems(['commits_8']):
        if SYSTEMS[name].steps:
            lines.append(f'| {SYSTEMS[name].title} | {len(SYSTEMS[name].steps)}: '
                         f'{"; ".join(SYSTEMS[name].steps)} |')
    return [*lines, '']


def heading(conditions):
    settings = ', '.join(f'{name} = {value}'
                         for name, value in conditions['settings'].items())
    return ['# Benchmarks', '',
            'Written by `test/bench/run`; what each system and measure is: '
            '[test/bench/README.md](../../test/bench/README.md).', '',
            f'* {conditions["date"]}, commit {conditions["commit"]}, '
            f'`{conditions["command"].strip()}`',
            f'* {conditions["machine"]}; everything runs on it, broker and consumer too',
            f'* {conditions["postgresql"]}, librdkafka {conditions["librdkafka"]}, '
            f'Apache Kafka {conditions["kafka"]} (one broker, one partition), '
            f'{conditions["java"]}',
            f'* PostgreSQL: {settings}; fsync and synchronous_commit on. Debezium: '
            'wal_level = logical, besides',
            f'* librdkafka alone: {conditions["producer"]}',
            f'* {conditions["rounds"]} rounds in turn forth and back, each system on a '
            'fresh cluster; bounds are medians of each round’s own ratio', '']


def bars(plt, figures, path, title, columns, unit, log=False):
    columns = [column for column in columns if figures.systems([column[0]])]
    names = figures.systems([measure for measure, _ in columns])
    if not names:
        return
    figure, axes = plt.subplots(figsize=(9, 4.5))
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        places, heights, errors = [], [], ([], [])
        for column, (measure, _) in enumerate(columns):
            values = figures.of(name, measure)
            if values:
                low, middle, high = values
                places.append(column + (index - (len(names) - 1) / 2) * width)
                heights.append(middle)
                errors[0].append(middle - low)
                errors[1].append(high - middle)
        axes.bar(places, heights, width, yerr=errors, label=SYSTEMS[name].title,
                 color=COLOURS[name], error_kw={'linewidth': 0.8})
    axes.set_xticks(range(len(columns)), [label for _, label in columns])
    axes.set_ylabel(unit)
    axes.set_title(title)
    if log:
        axes.set_yscale('log')
    axes.legend(fontsize=7)
    axes.spines[['top', 'right']].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None})
    plt.close(figure)


def plots(figures, output):
    import matplotlib
    matplotlib.use('Agg')
    matplotlib.rcParams['svg.hashsalt'] = 'hcevents'
    import matplotlib.pyplot as plt
    bars(plt, figures, output / 'commits.svg', 'Commits a second, one row each',
         TABLES[0][3], '1/s')
    bars(plt, figures, output / 'latency.svg',
         'From COMMIT returned to the consumer at 1,000 events/s',
         [('latency_1000_p50', 'p50'), ('latency_1000_p99', 'p99')], 'ms', log=True)
    bars(plt, figures, output / 'drain.svg', 'A backlog, events a second',
         [('drain', 'delivered'), ('ceiling', 'librdkafka alone')], '1/s', log=True)
    bars(plt, figures, output / 'cpu.svg', 'CPU of delivery for a million events',
         [('cpu_drain_delivery', 'backlog'), ('cpu_single_delivery', 'single rows')],
         's', log=True)


def write(output):
    figures = Figures(output / 'figures.json')
    lines = heading(figures.conditions) + floor_table(figures)
    for name in 'commits', 'latency', 'drain', 'cpu':
        lines += [f'![{name}]({name}.svg)']
    lines.append('')
    for title, _, form, columns in TABLES:
        lines += table(figures, title, form, columns)
    lines += setup_table(figures)
    (output / 'README.md').write_text('\n'.join(lines), encoding='utf-8')
    plots(figures, output)
    print('\n'.join(floor_table(figures)))
    print(f'{output}/README.md')


if __name__ == '__main__':
    write(pathlib.Path(sys.argv[1]))
