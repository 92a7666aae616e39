#!/usr/bin/python3
"""Requests to several instances of the clinic's API, in turn.

    http_load.py --requests N --clients N NAME=PORT...

The instances take turns in random order, 20 requests each, so that the machine's moods meet
all of them alike.  Each client creates patients and changes every fourth of
them.  Prints for each NAME the number of requests, of those that failed, and
the 50th and 99th percentile in milliseconds; status 1 when one failed.
"""
import argparse
import http.client
import json
import random
import sys
import threading
import time

TURN = 20
PATH = '/api/v1/patients/'


class Instance:
    def __init__(self, name, port, clients):
        self.name = name
        self.connections = [http.client.HTTPConnection('127.0.0.1', port,
                                                       timeout=60)
                            for _ in range(clients)]
        self.seconds = []
        self.failures = []
        self.unmeasured = True

    def request(self, client, method, path, body, wanted):
        connection = self.connections[client]
        started = time.perf_counter()
        connection.request(method, path, json.dumps(body),
                           {'Content-Type': 'application/json'})
        response = connection.getresponse()
        answer = response.read()
        taken = time.perf_counter() - started
        if response.status != wanted:
            self.failures.append(f'{method} {path}: {response.status} '
                                 f'{answer[:200]}')
            raise RuntimeError(self.failures[-1])
        if not self.unmeasured:
            self.seconds.append(taken)
        return json.loads(answer)

    def work(self, client, label, requests):
        try:
            done = 0
            while done < requests:
                patient = self.request(
                    client, 'POST', PATH,
                    {'name': 'Test Patient',
                     'email': f'{label}.{client}.{done}@test.example'}, 201)
                done += 1
                if done % 4 == 0 and done < requests:
                    self.request(client, 'PATCH', f'{PATH}{patient["id"]}/',
                                 {'name': 'Changed'}, 200)
                    done += 1
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            self.failures.append(str(error))

    def turn(self, label, requests):
        threads = [threading.Thread(target=self.work,
                                    args=(client, label, requests))
                   for client in range(len(self.connections))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--requests', type=int, default=1000,
                        help='of each client to each instance')
    parser.add_argument('--clients', type=int, default=2)
    parser.add_argument('instances', nargs='+', metavar='NAME=PORT')
    options = parser.parse_args()
    instances = [Instance(name, int(port), options.clients) for name, port in
                 (text.split('=') for text in options.instances)]
    order = [instance.name for instance in instances]
    for instance in instances:
        # Connections, imports and prepared plans are not what is measured.
        instance.turn('first', TURN)
        instance.unmeasured = False
    for number in range(max(1, options.requests // TURN)):
        for instance in instances:
            instance.turn(f'turn{number}', TURN)
        # What one leaves to do in the background meets each other one.
        random.shuffle(instances)
    instances.sort(key=lambda instance: order.index(instance.name))
    bad = 0
    for instance in instances:
        bad += len(instance.failures)
        for failure in instance.failures[:3]:
            print(f'http_load: {instance.name}: {failure}', file=sys.stderr)
        print(f'{instance.name}: requests={len(instance.seconds)} '
              f'failed={len(instance.failures)} '
              f'p50_ms={percentile(instance.seconds or [0], 50) * 1000:.2f} '
              f'p99_ms={percentile(instance.seconds or [0], 99) * 1000:.2f}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
