"""What was committed against what Kafka holds.

This module is the comparison alone: it reads neither PostgreSQL nor Kafka, so
that selftest.py can hand it fabricated faults.  A fact is (event type, key,
version); the ledger says which facts were committed, each message must be the
one true image of one of them.
"""
import json
import re
from collections import Counter

UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}').fullmatch
TIMESTAMP = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z').fullmatch
POSITION = re.compile(r'[0-9A-Fa-f]+-[0-9A-Fa-f]{16}-[0-9A-Fa-f]{8}').fullmatch
ENVELOPE_FIELDS = ['event_id', 'event_type', 'timestamp', 'data', 'metadata']
METADATA_FIELDS = ['source', 'version']
HEADERS = {'event_id', 'event_type', 'content-type', 'source', 'db', 'table',
           'position'}
TABLES_OF = {'patient': {'patients', 'public.patients'},
             'appointment': {'appointments', 'public.appointments'}}
EXAMPLES = 5


class Malformed(Exception):
    """The message is not what hcevents writes; the text says why."""


class Fact:
    """One committed event, and its first delivery once that was seen."""
    __slots__ = ('data', 'event_id', 'position', 'value_hash')

    def __init__(self, data):
        self.data = data
        self.event_id = None
        self.position = None
        self.value_hash = None


class Verifier:
    """Feed it all facts first, then each partition's messages in order."""

    def __init__(self, prefix='healthcore', database=None, source=None,
                 tables=()):
        """tables: pairs of a resource and one more name of its table, for
        one that was renamed or moved in between."""
        self.prefix = prefix + '.'
        self.tables = {resource: set(names)
                       for resource, names in TABLES_OF.items()}
        for resource, name in tables:
            self.tables.setdefault(resource, set()).add(name)
        self.database = database
        self.source = source
        self.facts = {}
        self.owner_of_id = {}       # event_id -> its fact
        self.last_version = {}      # (topic, key) -> (partition, version)
        self.last_position = {}     # (topic, partition) -> position
        self.messages = 0
        self.delivered = 0
        self.counts = Counter()
        self.examples = {}

    def add_fact(self, event_type, key, version, data):
        """data is the JSON text of the ledger."""
        name = (event_type, key, version)
        if name in self.facts:
            raise ValueError(f'the ledger names {name} twice')
        self.facts[name] = Fact(data)

    def fault(self, kind, where, why):
        self.counts[kind] += 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < EXAMPLES:
            shown.append(f'{kind}: {where}: {why}')

    def add_message(self, topic, partition, offset, key, value, headers,
                    timestamp_ms=None):
        """key and value are bytes, headers a list of (name, bytes)."""
        self.messages += 1
        where = f'{topic}[{partition}]@{offset}'
        try:
            envelope = self.read_envelope(topic, value)
            header = self.read_headers(headers, envelope)
            self.check_clock(envelope, timestamp_ms)
            name = self.name_of(envelope, key)
        except Malformed as why:
            self.fault('malformed', where, why)
            return
        fact = self.facts.get(name)
        if fact is None:
            self.fault('phantom', where, f'{name} was never committed')
        elif fact.event_id is not None:
            self.take_again(where, name, fact, envelope, header, value)
        else:
            self.take_first(where, name, fact, envelope, header, value,
                            topic, partition)

    def read_envelope(self, topic, value):
        try:
            envelope = json.loads(value.decode('utf-8'))
        except (AttributeError, UnicodeDecodeError, ValueError) as error:
            raise Malformed(f'torn: not JSON in UTF-8: {error}') from None
        if not isinstance(envelope, dict) or list(envelope) != ENVELOPE_FIELDS:
            raise Malformed(f'fields are not {ENVELOPE_FIELDS}')
        metadata = envelope['metadata']
        if not isinstance(metadata, dict) or list(metadata) != METADATA_FIELDS:
            raise Malformed(f'metadata fields are not {METADATA_FIELDS}')
        if self.source is not None and metadata['source'] != self.source:
            raise Malformed(f'source is {metadata["source"]}')
        if not UUID(str(envelope['event_id'])):
            raise Malformed('event_id is not a UUID')
        if not TIMESTAMP(str(envelope['timestamp'])):
            raise Malformed(f'timestamp is {envelope["timestamp"]}')
        if self.prefix + str(envelope['event_type']) != topic:
            raise Malformed(f'{envelope["event_type"]} in topic {topic}')
        if not isinstance(envelope['data'], dict):
            raise Malformed('data is not an object')
        return envelope

    def read_headers(self, headers, envelope):
        try:
            header = {name: value.decode('utf-8') for name, value in headers}
        except (AttributeError, TypeError, UnicodeDecodeError):
            raise Malformed('headers are absent or not text') from None
        if len(headers) != len(header) or set(header) != HEADERS:
            raise Malformed(f'headers are {sorted(n for n, _ in headers)}')
        resource = envelope['event_type'].split('.')[0]
        expected = {'event_id': envelope['event_id'],
                    'event_type': envelope['event_type'],
                    'content-type': 'application/json',
                    'source': envelope['metadata']['source'],
                    'db': self.database or header['db']}
        for name, value in expected.items():
            if header[name] != value:
                raise Malformed(f'header {name} is {header[name]}')
        if header['table'] not in self.tables.get(resource, ()):
            raise Malformed(f'header table is {header["table"]}')
        if not POSITION(header['position']):
            raise Malformed(f'position is {header["position"]}')
        return header

    @staticmethod
    def check_clock(envelope, timestamp_ms):
        """The message's time is the commit's, never before the capture."""
        if timestamp_ms is None:
            return
        captured = envelope['timestamp']
        # Only the time within the day: cheap, and wrong only at midnight.
        captured_ms = ((int(captured[11:13]) * 60 + int(captured[14:16])) * 60
                       + int(captured[17:19])) * 1000 + int(captured[20:23])
        behind = (timestamp_ms - captured_ms) % 86400000
        if behind > 43200000:
            raise Malformed(f'Kafka timestamp {timestamp_ms} is before '
                            f'{captured}')

    @staticmethod
    def name_of(envelope, key):
        data = envelope['data']
        resource = envelope['event_type'].split('.')[0]
        if not isinstance(data.get('version'), int):
            raise Malformed('data has no version')
        text = key.decode('utf-8', 'replace') if key is not None else None
        if text != str(data.get(resource + '_id')):
            raise Malformed(f'key {text} is not the id in data')
        return envelope['event_type'], text, data['version']

    def take_first(self, where, name, fact, envelope, header, value, topic,
                   partition):
        expected = json.loads(fact.data)
        if (expected != envelope['data'] or
                list(expected) != list(envelope['data'])):
            self.fault('malformed', where,
                       f'data of {name} is not what was committed')
        if envelope['event_id'] in self.owner_of_id:
            self.fault('malformed', where,
                       f'event_id of {name} belongs to '
                       f'{self.owner_of_id[envelope["event_id"]]}')
        self.owner_of_id[envelope['event_id']] = name
        fact.event_id = envelope['event_id']
        fact.position = header['position']
        fact.value_hash = hash(value)
        fact.data = None
        self.delivered += 1
        self.check_order(where, name, fact, topic, partition)

    def check_order(self, where, name, fact, topic, partition):
        before = self.last_version.get((topic, name[1]))
        if before is not None and before[0] != partition:
            self.fault('out_of_order', where,
                       f'key {name[1]} is in partition {before[0]} too')
        elif before is not None and before[1] >= name[2]:
            self.fault('out_of_order', where,
                       f'version {name[2]} of key {name[1]} came after '
                       f'{before[1]}')
        self.last_version[(topic, name[1])] = (partition, name[2])
        epoch, rest = fact.position.split('-', 1)
        position = (int(epoch), rest)
        last = self.last_position.get((topic, partition))
        if last is not None and last >= position:
            self.fault('out_of_order', where,
                       f'position {fact.position} came after {last}')
        self.last_position[(topic, partition)] = position

    def take_again(self, where, name, fact, envelope, header, value):
        self.fault('duplicate', where, f'{name} was delivered before')
        # the epoch before the first "-" grows with a failover
        if (fact.event_id != envelope['event_id'] or
                fact.position.partition('-')[2] !=
                header['position'].partition('-')[2] or
                fact.value_hash != hash(value)):
            self.fault('conflicting', where,
                       f'{name} came again as another event: '
                       f'{envelope["event_id"]} {header["position"]} instead '
                       f'of {fact.event_id} {fact.position}')

    def finish(self):
        """Count what never came.  Call it once, after the last message."""
        for name, fact in self.facts.items():
            if fact.event_id is None:
                self.fault('missing', 'ledger', name)

    def summary(self):
        kinds = ('missing', 'phantom', 'duplicate', 'out_of_order',
                 'malformed')
        return (' '.join(f'{kind}={self.counts[kind]}' for kind in kinds) +
                f' events={self.delivered}')

    def failed(self, max_duplicates=0):
        """max_duplicates None: any number, as long as they are the same
        event again."""
        bad = sum(self.counts[kind] for kind in (
            'missing', 'phantom', 'out_of_order', 'malformed', 'conflicting'))
        if max_duplicates is not None:
            bad += max(0, self.counts['duplicate'] - max_duplicates)
        return bad > 0
