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


class Failed(Exception):
    """A request failed, and is noted as such."""


class Instance:
    """One server and what became of the requests to it.

    Each client has a connection of its own, and is one thread.
    """

    def __init__(self, name, port, clients, timeout=60):
        self.name = name
        self.connections = [http.client.HTTPConnection('127.0.0.1', port,
                                                       timeout=timeout)
                            for _ in range(clients)]
        self.seconds = []
        self.failures = []
        self.unmeasured = True

    def fail(self, client, method, path, what):
        # What is left of this exchange must not meet the next one.
        self.connections[client].close()
        self.failures.append(f'{method} {path}: {what}')
        raise Failed

    def request(self, client, method, path, body, wanted):
        """The answer to a request, None without a body; its status must be
        the one wanted."""
        connection = self.connections[client]
        content, headers = None, {}
        if body is not None:
            content = json.dumps(body)
            headers = {'Content-Type': 'application/json'}
        started = time.perf_counter()
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.fail(client, method, path, repr(error))
        taken = time.perf_counter() - started
        if response.status != wanted:
            self.fail(client, method, path,
                      f'{response.status}, not {wanted}: {answer[:200]}')
        if not self.unmeasured:
            self.seconds.append(taken)
        return json.loads(answer) if answer else None

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
        except Failed:
            pass

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
