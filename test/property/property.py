#!/usr/bin/python3
"""Random cases through psql: what was captured equals what the model says.

property.py --host DIR [--seed S] [--cases N] [--first N] [--seconds T]
            [--jobs J] [--output DIR]

A server with hcevents preloaded listens in DIR, with
prepared transactions.  Prints "ok"/"not ok" lines, and for each case that
differs the seed, its number, both lists, and the files: the case as it was,
and as short as it could be made, each a script for psql that reproduces it.
"""
import argparse
import collections
import concurrent.futures
import os
import re
import subprocess
import sys
import time

from cases import Case
from script import case_script, prepare

BATCH = 25
SHORTEN = 20             # seconds that it may take to shorten a case


class Server:
    """psql, to one database."""

    def __init__(self, host, database):
        self.command = ["psql", "-X", "-q", "-A", "-t", "-h", host,
                        "-U", "postgres", "-d", database]
        self.host = host
        self.database = database

    def run(self, script):
        """Output and errors of a script; psql that dies is an error."""
        done = subprocess.run(
            self.command, input=script.encode(), capture_output=True,
            env=dict(os.environ, PGCLIENTENCODING="UTF8"), check=False)
        if done.returncode != 0:
            raise SystemExit("psql ended with status %d:\n%s" % (
                done.returncode, done.stderr.decode()[-2000:]))
        return done.stdout.decode(), done.stderr.decode()

    def make(self):
        """Create the database, which must not exist."""
        _, errors = Server(self.host, "postgres").run(
            'CREATE DATABASE "%s" TEMPLATE template0;' % self.database)
        errors += self.run(prepare())[1]
        if "ERROR" in errors:
            raise SystemExit("the model could not be made:\n" + errors)

    def drop(self):
        """Drop it."""
        Server(self.host, "postgres").run(
            'DROP DATABASE "%s" WITH (FORCE);' % self.database)


def new_server(host, number):
    """A database of its own for somebody."""
    server = Server(host, "property_%d_%d_%d" % (
        os.getpid(), number, time.monotonic_ns()))
    server.make()
    return server


def results(output):
    """{number: (events, differ, held)} of psql's output."""
    return {int(m[1]): tuple(int(n) for n in m[2].split("|"))
            for m in re.finditer(r"^case\|(\d+)\|([\d|]+)$", output, re.M)}


class Run:
    """Some of the cases, in a database of their own."""

    def __init__(self, options, job):
        self.options = options
        self.server = new_server(options.host, job)
        self.bad = []
        self.cases = self.events = self.held = self.units = 0
        self.errors = collections.Counter()
        self.counts = collections.Counter()

    def batch(self, numbers):
        """Run these cases by one psql."""
        cases = [Case(self.options.seed, n) for n in numbers]
        output, errors = self.server.run(
            "\n".join(case_script(c) for c in cases))
        found = results(output)
        for case in cases:
            self.cases += 1
            self.units += len(case.units)
            events, differ, held = found.get(case.number, (0, 1, 0))
            self.events += events
            self.held += held > 0
            if differ:
                self.bad.append(case)
        for message in re.findall(r"ERROR:  (.*)", errors):
            self.errors[re.sub(r'"(?:[^"]|"")*"|\d+', "…", message)] += 1

    def moves(self):
        """Rows that went to another partition, in all."""
        output, _ = self.server.run(
            "SELECT last_value FROM model.moves; VACUUM;")
        return int(output.split()[0])

    def differs(self, case, units):
        """Does the case still differ with these pieces?"""
        output, _ = self.server.run(case_script(case, units))
        found = results(output).get(case.number)
        return found is not None and found[1] > 0

    def shorten(self, case):
        """Leave out what is not needed, halves first."""
        units = list(case.units)
        if not self.differs(case, units):
            return None
        size = len(units) // 2
        end = time.time() + SHORTEN
        while size >= 1 and time.time() < end:
            place = 0
            while place < len(units) and time.time() < end:
                fewer = units[:place] + [
                    u for u in units[place:place + size] if "model_watch" in u
                ] + units[place + size:]
                if len(fewer) < len(units) and self.differs(case, fewer):
                    units = fewer
                else:
                    place += size
            size = size // 2 if size > 1 else 0
        return units

    def report(self, case):
        """Show a case that differs, and keep its files."""
        stem = os.path.join(self.options.output, "case_%s_%d" % (
            self.options.seed, case.number))
        short = self.shorten(case)
        for suffix, units in (("", case.units), ("_short", short)):
            if units is None:
                continue
            with open(stem + suffix + ".sql", "w", encoding="utf-8") as file:
                file.write("-- seed %s, case %d: psql -X -f this file, in an "
                           "empty database\n" % (self.options.seed, case.number))
                file.write(prepare() + case_script(case, units, show=True))
            print("# %s.sql" % (stem + suffix))
        server = new_server(self.options.host, case.number)
        shown, _ = server.run(case_script(case, short, show=True))
        server.drop()
        print("# seed %s, case %d, %d of %d pieces:" % (
            self.options.seed, case.number, len(short or case.units),
            len(case.units)))
        if short is None:
            print("# it does not differ when it runs alone")
        for line in "\n".join((short or []) + [shown]).splitlines():
            print("#   " + line)
        sys.stdout.flush()


def work(options, job, numbers, end):
    """Run a share of the cases."""
    run = Run(options, job)
    for start in range(0, len(numbers), BATCH):
        if end is not None and time.time() > end:
            break
        run.batch(numbers[start:start + BATCH])
    return run


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", default="/tmp")
    parser.add_argument("--errors", action="store_true",
                        help="show what failed, and how often")
    return parser.parse_args()


def main():
    options = parse()
    end = time.time() + options.seconds if options.seconds else None
    numbers = list(range(options.first, options.first + options.cases))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = list(pool.map(
            lambda job: work(options, job, numbers[job::options.jobs], end),
            range(options.jobs)))
    bad = [(run, case) for run in runs for case in run.bad]
    total = sum(run.cases for run in runs)
    events = sum(run.events for run in runs)
    errors = sum((run.errors for run in runs), collections.Counter())
    print("property: seed=%s cases=%d pieces=%d refused=%d events=%d moved=%d "
          "swallowed=%d differ=%d" % (
              options.seed, total, sum(run.units for run in runs),
              sum(errors.values()), events, sum(run.moves() for run in runs),
              sum(run.held for run in runs), len(bad)))
    if options.errors:
        for message, count in errors.most_common(40):
            print("%7d %s" % (count, message))
    for run, case in bad[:3]:
        run.report(case)
    if len(bad) > 3:
        print("# and cases " + ", ".join(
            str(case.number) for _, case in bad[3:]))
    print("%s 1 - %d cases equal the model" % (
        "not ok" if bad else "ok", total))
    print("%s 2 - events in them: %d, at least one a case" % (
        "ok" if events >= total > 0 else "not ok", events))
    # what is refused wrongly makes no event differ
    refused = sum(errors.values())
    few = refused * 50 <= sum(run.units for run in runs)
    print("%s 3 - refused statements: %d, at most 2 of 100" % (
        "ok" if few else "not ok", refused))
    return 1 if bad or events < total or total == 0 or not few else 0


if __name__ == "__main__":
    sys.exit(main())
