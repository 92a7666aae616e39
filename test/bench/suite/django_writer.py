"""Django's ORM creates patients in several processes, one commit each.

    django_writer.py plain | signals CLIENTS SECONDS

Prints commits a second.  Needs the environment of test/orm/django and its
virtual environment.
"""
import multiprocessing
import os
import pathlib
import sys
import time


def prepare(mode):
    orm = pathlib.Path(__file__).resolve().parents[2] / 'orm'
    sys.path[:0] = [str(orm / 'django'), str(orm / 'python')]
    os.environ['DJANGO_SETTINGS_MODULE'] = (
        'healthcore.settings_signals' if mode == 'signals'
        else 'healthcore.settings')
    import django
    django.setup()


def write(mode, number, barrier, seconds, results):
    prepare(mode)
    from patients.models import Patient
    Patient.objects.create(name='first', email=f'{number}@example.org')
    barrier.wait()
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        Patient.objects.create(name=f'Patient {count}',
                               email=f'patient{number}.{count}@example.org')
        count += 1
    if mode == 'signals':
        from signals.kafka import KafkaProducer
        KafkaProducer.get_instance().producer.flush(60)
    results.put(count)


def main():
    mode, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    context = multiprocessing.get_context('spawn')
    barrier, results = context.Barrier(clients), context.Queue()
    processes = [context.Process(target=write, args=(mode, number, barrier, seconds,
                                                     results))
                 for number in range(clients)]
    for process in processes:
        process.start()
    total = sum(results.get(timeout=seconds + 120) for _ in processes)
    for process in processes:
        process.join()
    print(f'commits_per_second {total / seconds:.1f}')


if __name__ == '__main__':
    main()
