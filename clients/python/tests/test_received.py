"""Which messages are duplicates."""
from hcevents.received import Delivery, Handled, Position


def message(position, partition=0, topic='t', db='clinic', offset=0):
    return Delivery(topic, partition, offset, headers={
        'position': position, 'db': db, 'source': 'healthcore-api'})


def test_positions_sort_by_epoch_as_a_number_then_as_text():
    parse = Position.parse
    assert parse('9-00ff-01') < parse('10-0000-00')
    assert parse('1-00000000019926a0-00000000') < parse(
        '1-00000000019926a0-00000001')
    for bad in (None, '', 'x', 'a-b', '-1', '1-'):
        assert parse(bad) is None


def test_the_same_event_again():
    handled = Handled()
    handled.add(message('1-10-0'), 'a')
    handled.add(message('1-20-0'), 'b')
    assert handled.has(message('1-10-0'), 'a')
    assert handled.has(message('1-20-0'), 'b')
    assert not handled.has(message('1-30-0'), 'c')


def test_a_dead_letter_sent_again_keeps_its_old_position():
    handled = Handled()
    handled.add(message('1-20-0'), 'b')
    assert not handled.has(message('1-10-0'), 'a')
    handled.add(message('1-10-0'), 'a')
    assert handled.has(message('1-10-0'), 'a')
    assert not handled.has(message('1-15-0'), 'later')


def test_strict_positions_drop_it():
    handled = Handled(strict=True)
    handled.add(message('1-20-0'), 'b')
    assert handled.has(message('1-10-0'), 'a')
    assert handled.has(message('1-20-0'), 'b')
    assert not handled.has(message('1-21-0'), 'c')


def test_after_a_failover_the_epoch_is_greater_and_the_id_decides():
    handled = Handled()
    handled.add(message('1-20-0'), 'b')
    assert handled.has(message('700000000-20-0'), 'b')
    assert not handled.has(message('700000000-21-0'), 'c')


def test_partitions_and_databases_have_positions_of_their_own():
    handled = Handled(strict=True)
    handled.add(message('1-20-0'), 'b')
    assert not handled.has(message('1-10-0', partition=1), 'x')
    assert not handled.has(message('1-10-0', topic='u'), 'x')
    assert not handled.has(message('1-10-0', db='other'), 'x')


def test_without_headers_the_id_decides():
    bare = Delivery('t', 0, 1)
    handled = Handled()
    handled.add(bare, 'a')
    assert handled.has(bare, 'a')
    assert not handled.has(bare, 'b')


def test_the_memory_is_bounded():
    handled = Handled(limit=10)
    for number in range(100):
        handled.add(Delivery('t', 0, number), str(number))
    assert handled.has(Delivery('t', 0, 0), '99')
    assert not handled.has(Delivery('t', 0, 0), '89')
