"""Publish and consume the events of the PostgreSQL extension hcevents.

    from hcevents import KafkaProducer, PatientCreatedEvent

    event = PatientCreatedEvent(patient_id=123,
                                patient_data={'name': 'John Doe'})
    KafkaProducer.get_instance().publish(event_type=event.event_type,
                                         data=event.to_dict(),
                                         key=str(123))

Publishing is SQL in the transaction of the caller and needs no Kafka client.
KafkaConsumer, in hcevents.consumer, needs confluent-kafka; it is imported
when it is first used.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (HceventsError, InvalidEventError, NoConnectionError,
                     NotInstalledError, NotPermittedError, NotWritableError)
from .events import (EVENT_TYPES, AppointmentBookedEvent,
                     AppointmentCancelledEvent, AppointmentCompletedEvent,
                     AppointmentEvent, Event, PatientCreatedEvent,
                     PatientDeletedEvent, PatientEvent, PatientUpdatedEvent)
from .producer import KafkaProducer
from .sql import attach_healthcore_sql, attach_sql, detach_sql

if TYPE_CHECKING:
    from .consumer import KafkaConsumer

__version__ = '1.0.0'

__all__ = [
    'EVENT_TYPES', 'AppointmentBookedEvent', 'AppointmentCancelledEvent',
    'AppointmentCompletedEvent', 'AppointmentEvent', 'Event', 'HceventsError',
    'InvalidEventError', 'KafkaConsumer', 'KafkaProducer',
    'NoConnectionError', 'NotInstalledError', 'NotPermittedError',
    'NotWritableError', 'PatientCreatedEvent', 'PatientDeletedEvent',
    'PatientEvent', 'PatientUpdatedEvent', 'attach_healthcore_sql',
    'attach_sql', 'detach_sql',
]


def __getattr__(name: str) -> Any:
    # A program that only publishes has no confluent-kafka.
    if name == 'KafkaConsumer':
        from .consumer import KafkaConsumer
        return KafkaConsumer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
