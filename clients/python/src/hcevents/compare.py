"""Compare what another program publishes with what the extension does.

    python -m hcevents.compare --real healthcore --shadow shadow

Reads the topics PREFIX.EVENT_TYPE of both prefixes, matches their events by
type, Kafka key and data, and prints one line:

    both=N different=N only_real=N only_shadow=N

both         the same type, key and data under both prefixes
different    the same type and key, other data; the members are named
only_real    sent by the other program (signals) and not by the extension
only_shadow  sent by the extension and not by the other program

Signals miss bulk operations, so only_shadow is expected.  only_real is not:
work that was rolled back, or a table that is not attached as it should be.
Status 0 when "different" and "only_real" are 0, else 1; 2 when Kafka could
not be read.  No key and no data are printed.
"""
from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Optional,
                    Sequence, Tuple)

from .consumer import delivery_of, event_of, setting
from .events import EVENT_TYPES
from .received import Delivery

STALL_SECONDS = 30
Key = Tuple[str, Optional[str]]
Data = Dict[str, Any]


@dataclass
class Result:
    """The counts, and which members differ how often, by event type."""

    both: int = 0
    different: int = 0
    only_real: int = 0
    only_shadow: int = 0
    members: Counter[str] = field(default_factory=Counter)
    types: Dict[str, List[int]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.different == 0 and self.only_real == 0

    def add(self, event_type: str, both: int, pairs: List[Tuple[Data, Data]],
            only_real: int, only_shadow: int) -> None:
        self.both += both
        self.different += len(pairs)
        self.only_real += only_real
        self.only_shadow += only_shadow
        line = self.types.setdefault(event_type, [0, 0, 0, 0])
        for place, count in enumerate((both, len(pairs), only_real,
                                       only_shadow)):
            line[place] += count
        for one, other in pairs:
            for name in sorted(set(one) | set(other)):
                if one.get(name, None) != other.get(name, None) or (
                        (name in one) != (name in other)):
                    self.members[f'{event_type}: {name}'] += 1

    def __str__(self) -> str:
        return (f'both={self.both} different={self.different} '
                f'only_real={self.only_real} only_shadow={self.only_shadow}')


def compare(real: Iterable[Tuple[Key, Data]],
            shadow: Iterable[Tuple[Key, Data]]) -> Result:
    """Match two sets of events, each with its type and key."""
    sides: Dict[Key, Tuple[List[Data], List[Data]]] = {}
    for number, events in enumerate((real, shadow)):
        for key, data in events:
            sides.setdefault(key, ([], []))[number].append(data)
    result = Result()
    for (event_type, _), (ours, theirs) in sorted(
            sides.items(), key=lambda item: (item[0][0], item[0][1] or '')):
        both, rest_real, rest_shadow = match(ours, theirs)
        pairs = list(zip(rest_real, rest_shadow))
        result.add(event_type, both, pairs, len(rest_real) - len(pairs),
                   len(rest_shadow) - len(pairs))
    return result


def match(ours: List[Data],
          theirs: List[Data]) -> Tuple[int, List[Data], List[Data]]:
    """How many are equal, and what is left of each, in order."""
    waiting = Counter(canonical(data) for data in theirs)
    rest = []
    for data in ours:
        if waiting[canonical(data)] > 0:
            waiting[canonical(data)] -= 1
        else:
            rest.append(data)
    left = []
    for data in reversed(theirs):
        if waiting[canonical(data)] > 0:
            waiting[canonical(data)] -= 1
            left.append(data)
    return len(ours) - len(rest), rest, left[::-1]


def canonical(data: Data) -> str:
    return json.dumps(data, sort_keys=True)


def read(config: Dict[str, Any], prefix: str, event_types: Sequence[str],
         since: Optional[float], until: Optional[float],
         ignore: Sequence[str]) -> Iterator[Tuple[Key, Data]]:
    """The events of one prefix between two times (of the messages)."""
    topics = [f'{prefix}.{name}' for name in event_types]
    for event, delivery in read_topics(config, topics):
        moment = (delivery.timestamp_ms or 0) / 1000
        if ((since is not None and moment < since)
                or (until is not None and moment >= until)):
            continue
        data = {name: value for name, value in event['data'].items()
                if name not in ignore}
        yield (event['event_type'], delivery.key), data


def read_topics(config: Dict[str, Any], topics: Sequence[str],
                parse: Callable[[bytes], Any] = json.loads
                ) -> Iterator[Tuple[Dict[str, Any], Delivery]]:
    """All events that topics hold now, each with its message.

    An event that was delivered twice, with one event_id, is one.  "parse"
    reads the JSON of a value.
    """
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    consumer = Consumer({'group.id': 'hcevents-compare', 'log_level': 2,
                         'enable.auto.commit': False, **config})
    seen = set()
    try:
        known = consumer.list_topics(timeout=STALL_SECONDS).topics
        parts = [TopicPartition(topic, number)
                 for topic in topics if topic in known
                 for number in known[topic].partitions]
        ends = {}
        for part in parts:
            low, high = consumer.get_watermark_offsets(
                part, timeout=STALL_SECONDS)
            if high > low:
                ends[(part.topic, part.partition)] = high
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING)
                         for topic, number in ends])
        deadline = time.monotonic() + STALL_SECONDS
        while ends:
            message = consumer.poll(1.0)
            if message is None or message.error() is not None:
                if time.monotonic() > deadline:
                    raise TimeoutError('Kafka gave no more messages')
                continue
            deadline = time.monotonic() + STALL_SECONDS
            place = (message.topic(), message.partition())
            event = event_of(message, parse)
            if (place in ends and event is not None
                    and isinstance(event.get('data'), dict)
                    and event['event_id'] not in seen):
                seen.add(event['event_id'])
                yield event, delivery_of(message)
            if message.offset() + 1 >= ends.get(place, 0):
                ends.pop(place, None)
    finally:
        consumer.close()


def moment_of(text: str) -> float:
    """Seconds since 1970 of a time in ISO 8601; without an offset, UTC."""
    parsed = datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.timezone.utc)
    return parsed.timestamp()


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog='python -m hcevents.compare', description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('event_types', nargs='*', default=list(EVENT_TYPES),
                        metavar='EVENT_TYPE')
    parser.add_argument('--real', default='healthcore', metavar='PREFIX')
    parser.add_argument('--shadow', default='shadow', metavar='PREFIX')
    parser.add_argument('--since', type=moment_of, metavar='TIME',
                        help='messages from this time on, as '
                             '2026-01-31T12:00:00Z')
    parser.add_argument('--until', type=moment_of, metavar='TIME',
                        help='and before this one')
    parser.add_argument('--ignore', action='append', default=[],
                        metavar='MEMBER', help='a member of the data that '
                        'only one side publishes')
    parser.add_argument('--bootstrap-servers', default=setting(
        'KAFKA_BOOTSTRAP_SERVERS', 'localhost:9092'))
    parser.add_argument('-X', '--property', action='append', default=[],
                        metavar='NAME=VALUE',
                        help='another librdkafka option')
    options = parser.parse_args(arguments)
    config: Dict[str, Any] = {
        'bootstrap.servers': options.bootstrap_servers,
        **dict(entry.split('=', 1) for entry in options.property)}
    try:
        result = compare(*(
            read(config, prefix, options.event_types, options.since,
                 options.until, options.ignore)
            for prefix in (options.real, options.shadow)))
    except Exception as error:
        print(f'could not compare: {error}', file=sys.stderr)
        return 2
    for event_type, counts in result.types.items():
        print(f'{event_type:24} both={counts[0]} different={counts[1]} '
              f'only_real={counts[2]} only_shadow={counts[3]}',
              file=sys.stderr)
    for member, count in result.members.most_common():
        print(f'differs: {member}, {count} times', file=sys.stderr)
    print(result)
    return 0 if result.ok else 1


if __name__ == '__main__':
    sys.exit(main())
