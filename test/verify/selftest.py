#!/usr/bin/python3
"""The verifier finds what it must find: each planted fault, and only that."""
import json
import sys
import unittest

from verifier import Verifier

PREFIX = 'healthcore'


class History:
    """A small correct history, to be spoilt by the tests."""

    def __init__(self):
        self.verifier = Verifier(PREFIX, 'clinic', 'healthcore-api')
        self.messages = []
        for version in range(1, 5):
            for key in ('7', '8'):
                self.commit('patient.updated', key, version)
        self.commit('appointment.booked', '1', 1)

    def commit(self, event_type, key, version):
        number = len(self.messages) + 1
        resource = event_type.split('.')[0]
        data = {f'{resource}_id': int(key), 'name': 'Jo "Q"\n\u00dc',
                'version': version}
        self.verifier.add_fact(event_type, key, version, json.dumps(data))
        envelope = {'event_id': f'550e8400-e29b-71d4-a716-{number:012x}',
                    'event_type': event_type,
                    'timestamp': '2026-01-02T03:04:05.678901Z',
                    'data': data,
                    'metadata': {'source': 'healthcore-api',
                                 'version': '1.0'}}
        headers = {'event_id': envelope['event_id'],
                   'event_type': event_type,
                   'content-type': 'application/json',
                   'source': 'healthcore-api', 'db': 'clinic',
                   'table': f'public.{resource}s',
                   'position': f'0000000000000001-{4096 + number:016X}-'
                               f'{0:08X}'}
        self.messages.append({'topic': f'{PREFIX}.{event_type}',
                              'partition': int(key) % 2, 'key': key,
                              'envelope': envelope, 'headers': headers,
                              # 03:04:05.679 of some day
                              'timestamp': 11045679})

    def again(self, index):
        """A copy of a message that can be spoilt by itself."""
        message = dict(self.messages[index])
        message['headers'] = dict(message['headers'])
        message['envelope'] = json.loads(json.dumps(message['envelope']))
        return message

    def verify(self):
        for offset, message in enumerate(self.messages):
            value = message.get('value')
            if value is None:
                value = json.dumps(message['envelope']).encode()
            self.verifier.add_message(
                message['topic'], message['partition'], offset,
                message['key'].encode(), value,
                [(name, text.encode())
                 for name, text in message['headers'].items()],
                message['timestamp'])
        self.verifier.finish()
        return self.verifier


class PlantedFaults(unittest.TestCase):

    def setUp(self):
        self.history = History()
        self.messages = self.history.messages

    def expect(self, **counts):
        verifier = self.history.verify()
        found = {kind: count for kind, count in verifier.counts.items()
                 if count}
        self.assertEqual(found, counts)
        self.assertEqual(verifier.failed(), bool(counts))
        return verifier

    def expect_malformed(self):
        """A malformed message cannot stand for its fact: it misses."""
        self.expect(malformed=1, missing=1)

    def test_a_correct_history_passes(self):
        verifier = self.expect()
        self.assertEqual(verifier.summary(),
                         'missing=0 phantom=0 duplicate=0 out_of_order=0 '
                         'malformed=0 events=9')

    def test_missing(self):
        del self.messages[3]
        self.expect(missing=1)

    def test_missing_last(self):
        del self.messages[-1]
        self.expect(missing=1)

    def test_nothing_delivered(self):
        self.messages.clear()
        self.expect(missing=9)

    def test_phantom(self):
        extra = self.history.again(-1)
        extra['envelope']['data'].update(appointment_id=99)
        extra['key'] = '99'
        self.messages.append(extra)
        self.expect(phantom=1)

    def test_phantom_version_of_a_rolled_back_update(self):
        extra = self.history.again(6)
        extra['envelope']['data']['version'] = 77
        self.messages.append(extra)
        self.expect(phantom=1)

    def test_another_table(self):
        self.messages[2]['headers']['table'] = 'clinic.people'
        self.expect_malformed()

    def test_table_renamed_in_between(self):
        facts = self.history.verifier.facts
        self.history.verifier = Verifier(
            PREFIX, 'clinic', 'healthcore-api',
            [('patient', 'clinic.people'), ('appointment', 'public.visits')])
        self.history.verifier.facts = facts
        self.messages[2]['headers']['table'] = 'clinic.people'
        self.messages[8]['headers']['table'] = 'public.visits'
        self.expect()

    def test_same_event_twice(self):
        self.messages.append(self.history.again(2))
        verifier = self.expect(duplicate=1)
        self.assertFalse(verifier.failed(None))
        self.assertFalse(verifier.failed(1))

    def test_same_fact_with_another_event_id(self):
        extra = self.history.again(2)
        extra['envelope']['event_id'] = '550e8400-e29b-71d4-a716-0000000000ff'
        extra['headers']['event_id'] = extra['envelope']['event_id']
        self.messages.append(extra)
        verifier = self.expect(duplicate=1, conflicting=1)
        self.assertTrue(verifier.failed(None))

    def test_same_event_with_another_position(self):
        extra = self.history.again(2)
        extra['headers']['position'] = \
            '0000000000000001-0000000000001004-00000000'
        self.messages.append(extra)
        self.assertTrue(self.expect(duplicate=1, conflicting=1).failed(None))

    def test_same_event_with_other_values(self):
        extra = self.history.again(2)
        extra['envelope']['data']['name'] = 'somebody else'
        self.messages.append(extra)
        self.assertTrue(self.expect(duplicate=1, conflicting=1).failed(None))

    def test_event_id_of_another_event(self):
        self.messages[3]['envelope']['event_id'] = \
            self.messages[2]['envelope']['event_id']
        self.messages[3]['headers']['event_id'] = \
            self.messages[2]['headers']['event_id']
        self.expect(malformed=1)

    def test_reordered(self):
        # The versions of key 7 are at 0, 2, 4, 6: positions and versions.
        self.messages[2], self.messages[4] = \
            self.messages[4], self.messages[2]
        self.expect(out_of_order=2)

    def test_reordered_with_forged_positions(self):
        first, second = self.messages[2], self.messages[4]
        first['headers']['position'], second['headers']['position'] = \
            second['headers']['position'], first['headers']['position']
        self.messages[2], self.messages[4] = second, first
        self.expect(out_of_order=1)

    def test_position_that_goes_back(self):
        self.messages[4]['headers']['position'] = \
            '0000000000000001-0000000000000001-00000000'
        self.expect(out_of_order=1)

    def test_key_in_two_partitions(self):
        # Other topic and partition free: only the key's home changes.
        self.messages[6]['partition'] = 5
        self.expect(out_of_order=1)

    def test_duplicates_do_not_count_as_disorder(self):
        self.messages.insert(6, self.history.again(0))
        self.expect(duplicate=1)

    def test_torn_envelope(self):
        value = json.dumps(self.messages[1]['envelope']).encode()
        self.messages[1]['value'] = value[:-10]
        self.expect_malformed()

    def test_tombstone(self):
        self.messages[1]['value'] = b''
        self.expect_malformed()

    def test_invalid_utf8(self):
        self.messages[1]['value'] = b'{"event_id":"\xff"}'
        self.expect_malformed()

    def test_field_order(self):
        envelope = self.messages[1]['envelope']
        self.messages[1]['envelope'] = dict(reversed(envelope.items()))
        self.expect_malformed()

    def test_field_too_many(self):
        self.messages[1]['envelope']['extra'] = 1
        self.expect_malformed()

    def test_values_that_were_not_committed(self):
        self.messages[1]['envelope']['data']['name'] = 'somebody else'
        self.expect(malformed=1)

    def test_order_of_data(self):
        data = self.messages[1]['envelope']['data']
        self.messages[1]['envelope']['data'] = dict(reversed(data.items()))
        self.expect(malformed=1)

    def test_event_id_no_uuid(self):
        self.messages[1]['envelope']['event_id'] = 'x'
        self.expect_malformed()

    def test_timestamp_without_microseconds(self):
        self.messages[1]['envelope']['timestamp'] = '2026-01-02T03:04:05Z'
        self.expect_malformed()

    def test_kafka_time_before_capture(self):
        self.messages[1]['timestamp'] -= 1000
        self.expect_malformed()

    def test_wrong_topic(self):
        self.messages[1]['topic'] = f'{PREFIX}.patient.created'
        self.expect_malformed()

    def test_wrong_key(self):
        self.messages[1]['key'] = '9'
        self.expect_malformed()

    def test_each_header(self):
        for name in list(self.messages[0]['headers']):
            with self.subTest(header=name):
                self.setUp()
                self.messages[1]['headers'][name] = 'wrong'
                self.expect_malformed()
            with self.subTest(header=name, absent=True):
                self.setUp()
                del self.messages[1]['headers'][name]
                self.expect_malformed()

    def test_header_too_many(self):
        self.messages[1]['headers']['extra'] = 'x'
        self.expect_malformed()

    def test_short_position(self):
        self.messages[1]['headers']['position'] = '1-2-3'
        self.expect_malformed()

    def test_ledger_naming_a_fact_twice(self):
        with self.assertRaises(ValueError):
            self.history.commit('patient.updated', '7', 1)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=1)
