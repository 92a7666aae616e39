"""Event classes: their type, key and data."""
import datetime
import decimal
import json
import uuid

import pytest

import hcevents
from hcevents import (AppointmentBookedEvent, AppointmentCancelledEvent,
                      AppointmentCompletedEvent, Event, InvalidEventError,
                      PatientCreatedEvent, PatientDeletedEvent,
                      PatientUpdatedEvent)
from hcevents.producer import encode


def test_the_guides_event():
    event = PatientCreatedEvent(patient_id=123,
                                patient_data={'name': 'John Doe'})
    assert event.event_type == 'patient.created'
    assert event.to_dict() == {'patient_id': 123, 'name': 'John Doe'}
    assert list(event.to_dict()) == ['patient_id', 'name']
    assert event.key == '123'
    assert (event.patient_id, event.patient_data) == (
        123, {'name': 'John Doe'})


@pytest.mark.parametrize('kind, event_type', [
    (PatientCreatedEvent, 'patient.created'),
    (PatientUpdatedEvent, 'patient.updated'),
    (PatientDeletedEvent, 'patient.deleted'),
    (AppointmentBookedEvent, 'appointment.booked'),
    (AppointmentCancelledEvent, 'appointment.cancelled'),
    (AppointmentCompletedEvent, 'appointment.completed')])
def test_the_six_types(kind, event_type):
    resource = event_type.split('.')[0]
    event = kind(**{f'{resource}_id': 7, f'{resource}_data': {'a': 1}})
    assert event.event_type == event_type
    assert event_type in hcevents.EVENT_TYPES
    assert event.to_dict() == {f'{resource}_id': 7, 'a': 1}


def test_an_event_of_ones_own():
    class InvoicePaid(Event):
        event_type = 'invoice.paid'

    event = InvoicePaid(7, {'amount': '12.50'})
    assert event.to_dict() == {'invoice_id': 7, 'amount': '12.50'}
    assert InvoicePaid(7).to_dict() == {'invoice_id': 7}


@pytest.mark.parametrize('bad', ['invoice', 'Invoice.paid', 'a.b.c', '.a',
                                 'a b.c', 'a.b\n'])
def test_an_invalid_type_is_refused_where_it_is_written(bad):
    with pytest.raises(InvalidEventError, match='invalid event type'):
        type('Bad', (Event,), {'event_type': bad})


def test_an_id_and_other_data_of_the_same_name():
    assert PatientCreatedEvent(1, {'patient_id': 1}).to_dict() == {
        'patient_id': 1}
    with pytest.raises(InvalidEventError, match='another patient_id'):
        PatientCreatedEvent(1, {'patient_id': 2})


def test_the_base_class_is_no_event():
    with pytest.raises(TypeError, match='no event_type'):
        Event(1)


def test_keys_are_those_of_the_triggers():
    assert PatientCreatedEvent(True).key == 'true'
    assert PatientCreatedEvent('a-1').key == 'a-1'
    assert PatientCreatedEvent(uuid.UUID(int=5)).key == str(uuid.UUID(int=5))


def test_the_log_shows_no_patient():
    assert 'John' not in repr(PatientCreatedEvent(123, {'name': 'John'}))
    assert '123' not in repr(PatientCreatedEvent(123, {'name': 'John'}))


def test_what_json_cannot_write_itself():
    assert json.loads(encode('data', {
        'day': datetime.date(2026, 1, 31), 'price': decimal.Decimal('1.10'),
        'id': uuid.UUID(int=1),
        'at': datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
    })) == {'day': '2026-01-31', 'price': '1.10', 'id': str(uuid.UUID(int=1)),
            'at': '2026-01-31T12:00:00+00:00'}
    with pytest.raises(InvalidEventError, match='cannot be written as JSON'):
        encode('data', {'x': object()})
    with pytest.raises(InvalidEventError):
        encode('data', {'x': float('nan')})
