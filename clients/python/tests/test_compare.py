"""The comparison of two prefixes."""
from hcevents.compare import compare, moment_of


def event(key, event_type='patient.created', **data):
    return (event_type, key), data


def test_equal():
    events = [event('1', a=1), event('2', a=2)]
    result = compare(events, list(reversed(events)))
    assert str(result) == 'both=2 different=0 only_real=0 only_shadow=0'
    assert result.ok


def test_what_signals_miss_is_no_fault():
    result = compare([event('1', v=1), event('1', v=3)],
                     [event('1', v=1), event('1', v=2), event('1', v=3)])
    assert str(result) == 'both=2 different=0 only_real=0 only_shadow=1'
    assert result.ok


def test_what_only_signals_sent_is_one():
    result = compare([event('1'), event('2')], [event('1')])
    assert str(result) == 'both=1 different=0 only_real=1 only_shadow=0'
    assert not result.ok


def test_other_data_names_the_members():
    result = compare([event('1', name='a', email=None)],
                     [event('1', name='b', extra=None, email=None)])
    assert str(result) == 'both=0 different=1 only_real=0 only_shadow=0'
    assert dict(result.members) == {'patient.created: name': 1,
                                    'patient.created: extra': 1}
    assert not result.ok


def test_twice_is_one_too_many():
    result = compare([event('1'), event('1')], [event('1')])
    assert str(result) == 'both=1 different=0 only_real=1 only_shadow=0'


def test_types_and_keys_are_apart():
    result = compare([event('1'), event('1', 'patient.updated')],
                     [event('2'), event('1', 'patient.deleted')])
    assert (result.only_real, result.only_shadow) == (2, 2)


def test_times():
    assert moment_of('1970-01-01T00:01:00Z') == 60
    assert moment_of('1970-01-01T01:00:00+01:00') == 0
    assert moment_of('1970-01-01') == 0
