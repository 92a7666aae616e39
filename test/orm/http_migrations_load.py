#!/usr/bin/python3
"""Clients of the clinic's API that go on until SIGTERM.

    http_migrations_load.py --port PORT --clients N --seed S --events FILE

Each client has patients and appointments of its own, and so knows the answer
that each request must have; any other one, or none within --timeout seconds,
is a failed request.  Some requests must be refused, and what they had written
before must be undone.

Prints requests, those refused as they had to be, the changes undone with
them, failed requests, requests per second, and p50, p99 and the longest in
milliseconds.  FILE gets the events that follow from the answers: lines TYPE
COUNT, and "undone COUNT".  Status 1 when a request failed.
"""
import argparse
import concurrent.futures
import os
import random
import signal
import sys
import threading
import time
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'python'))

from http_load import Failed, Instance, percentile  # noqa: E402
from people import UNICODE_NAMES  # noqa: E402

PATIENTS, APPOINTMENTS = '/api/v1/patients/', '/api/v1/appointments/'
FAMILIES = '/api/v1/families/'
NOBODY = 1 << 60
# So many patients a client has, and no more.
FEW, MANY = 20, 1000

stopping = threading.Event()


class Client:
    def __init__(self, instance, number, seed):
        self.instance = instance
        self.number = number
        self.random = random.Random(f'{seed}.{number}')
        self.made = 0
        self.patients = {}
        # Booked ones, and whose they are.
        self.booked = {}
        # "undone": changes that a refused request made, and took back.
        self.events = Counter({'undone': 0})
        self.refused = 0

    def send(self, method, path, body, wanted):
        answer = self.instance.request(self.number, method, path, body, wanted)
        if 400 <= wanted:
            self.refused += 1
        return answer

    def person(self):
        self.made += 1
        return {'name': f'{self.random.choice(UNICODE_NAMES)} {self.made}',
                'email': f'{self.number}.{self.made}@live.example'}

    def some_patient(self):
        return self.random.choice(list(self.patients))

    def some_booked(self):
        if not self.booked:
            self.book()
        return self.random.choice(list(self.booked))

    def keep(self, answer, person):
        self.patients[answer['id']] = person
        self.events['patient.created'] += 1

    def create(self):
        person = self.person()
        self.keep(self.send('POST', PATIENTS, person, 201), person)

    def read(self):
        patient = self.some_patient()
        answer = self.send('GET', f'{PATIENTS}{patient}/', None, 200)
        if answer != {'id': patient, **self.patients[patient]}:
            self.instance.fail(self.number, 'GET', PATIENTS,
                               f'{answer}, not {self.patients[patient]}')

    def change(self, method, values):
        patient = self.some_patient()
        self.send(method, f'{PATIENTS}{patient}/', values, 200)
        self.patients[patient].update(values)
        self.events['patient.updated'] += 1

    def update(self):
        self.change('PUT', self.person())

    def update_partly(self):
        self.change('PATCH', {'name': self.person()['name']})

    def delete(self):
        """Its appointments go with the patient, which is no event of theirs."""
        patient = self.some_patient()
        self.send('DELETE', f'{PATIENTS}{patient}/', None, 204)
        del self.patients[patient]
        self.booked = {appointment: whose for appointment, whose
                       in self.booked.items() if whose != patient}
        self.events['patient.deleted'] += 1
        self.send('GET', f'{PATIENTS}{patient}/', None, 404)

    def book(self):
        patient = self.some_patient()
        answer = self.send('POST', APPOINTMENTS, {'patient': patient}, 201)
        self.booked[answer['id']] = patient
        self.events['appointment.booked'] += 1

    def settle(self):
        appointment = self.some_booked()
        status = self.random.choice(['completed', 'cancelled'])
        self.send('PATCH', f'{APPOINTMENTS}{appointment}/',
                  {'status': status}, 200)
        del self.booked[appointment]
        self.events[f'appointment.{status}'] += 1

    def rebook(self):
        appointment, patient = self.some_booked(), self.some_patient()
        answer = self.send('POST', f'{APPOINTMENTS}{appointment}/rebook/',
                           {'patient': patient}, 201)
        del self.booked[appointment]
        self.booked[answer['id']] = patient
        self.events['appointment.cancelled'] += 1
        self.events['appointment.booked'] += 1

    def rebook_nobody(self):
        """Refused by a validation, after the other one was cancelled."""
        appointment = self.some_booked()
        self.send('POST', f'{APPOINTMENTS}{appointment}/rebook/',
                  {'patient': NOBODY}, 400)
        self.events['undone'] += 1

    def family(self):
        people = [self.person() for _ in range(self.random.randint(2, 5))]
        for answer, person in zip(self.send('POST', FAMILIES, people, 201),
                                  people):
            self.keep(answer, person)

    def family_twice(self):
        """Refused by the unique index, after all but the last were made."""
        people = [self.person() for _ in range(self.random.randint(2, 5))]
        people[-1]['email'] = people[0]['email']
        self.send('POST', FAMILIES, people, 409)
        self.events['undone'] += len(people) - 1

    def invalid(self):
        """Refused before anything is written."""
        patient = self.some_patient()
        taken = self.patients[patient]['email']
        method, path, body = self.random.choice([
            ('POST', PATIENTS, {'email': 'nobody@live.example'}),
            ('POST', PATIENTS, {'name': 'Somebody', 'email': taken}),
            ('POST', PATIENTS, {'name': 'Somebody', 'email': 'no address'}),
            ('POST', APPOINTMENTS, {'patient': NOBODY}),
            ('POST', APPOINTMENTS, {'patient': patient, 'status': 'lost'})])
        self.send(method, path, body, 400)

    def one(self):
        if len(self.patients) < FEW:
            self.create()
        elif len(self.patients) > MANY:
            self.delete()
        else:
            self.random.choices(
                [self.create, self.read, self.update, self.update_partly,
                 self.delete, self.book, self.settle, self.rebook,
                 self.rebook_nobody, self.family, self.family_twice,
                 self.invalid],
                [6, 6, 3, 4, 4, 6, 5, 2, 1, 1, 1, 2])[0]()

    def run(self):
        try:
            while not stopping.is_set():
                self.one_or_begin_anew()
        finally:
            # If by an error of this program, nobody goes on.
            stopping.set()

    def one_or_begin_anew(self):
        try:
            self.one()
        except Failed:
            # Whether it was done is unknown.
            self.patients, self.booked = {}, {}
            stopping.wait(0.1)


def report(instance, clients, elapsed):
    seconds = instance.seconds or [0]
    print(f'requests={len(seconds)} '
          f'refused={sum(client.refused for client in clients)} '
          f'undone={sum(client.events["undone"] for client in clients)} '
          f'failed={len(instance.failures)} '
          f'requests_per_s={len(seconds) / elapsed:.1f} '
          f'p50_ms={percentile(seconds, 50) * 1000:.1f} '
          f'p99_ms={percentile(seconds, 99) * 1000:.1f} '
          f'max_ms={max(seconds) * 1000:.0f}')
    for failure in instance.failures[:10]:
        print(f'failed: {failure}', file=sys.stderr)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--clients', type=int, default=8)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--timeout', type=float, default=30)
    parser.add_argument('--events', metavar='FILE', required=True)
    return parser.parse_args()


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    instance = Instance('live', options.port, options.clients, options.timeout)
    instance.unmeasured = False
    clients = [Client(instance, number, options.seed)
               for number in range(options.clients)]
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        # An error of this program is none of the API: it is raised here.
        for future in [pool.submit(client.run) for client in clients]:
            future.result()
    report(instance, clients, time.monotonic() - started)
    events = sum((client.events for client in clients), Counter())
    with open(options.events, 'w', encoding='ascii') as file:
        for event in sorted({'undone', *events}):
            print(event, events[event], file=file)
    return 1 if instance.failures else 0


if __name__ == '__main__':
    sys.exit(main())
