"""Events as classes: the type, the key and the data of one event.

An event class says what is published and publishes nothing by itself:

    event = PatientCreatedEvent(patient_id=123,
                                patient_data={'name': 'John Doe'})
    event.event_type      # 'patient.created'
    event.to_dict()       # {'patient_id': 123, 'name': 'John Doe'}

to_dict() is the member "data" of the envelope, in the shape that the triggers
of hcevents give it: the id first, then the data.  The rest of the envelope
(event_id, timestamp, metadata) is made in the database.

An event of your own is a subclass with an event type:

    class InvoicePaidEvent(Event):
        event_type = 'invoice.paid'

    InvoicePaidEvent(7, {'amount': '12.50'}).to_dict()
    # {'invoice_id': 7, 'amount': '12.50'}
"""
from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Dict, Mapping, Optional

from .errors import InvalidEventError

#: The six events of HealthCore.
EVENT_TYPES = ('patient.created', 'patient.updated', 'patient.deleted',
               'appointment.booked', 'appointment.cancelled',
               'appointment.completed')

_EVENT_TYPE = re.compile(r'[a-z0-9_]+\.[a-z0-9_]+\Z')


class Event:
    """One event about one resource.

    resource_id is the id of the row; data what to publish about it.  The id
    is published as "<resource>_id", so data may hold that member only with
    the same value.
    """

    event_type: ClassVar[str] = ''

    def __init__(self, resource_id: Any,
                 data: Optional[Mapping[str, Any]] = None) -> None:
        if not self.event_type:
            raise TypeError(f'{type(self).__name__} has no event_type: publish'
                            ' a subclass that sets it')
        self.resource_id = resource_id
        self.data: Dict[str, Any] = dict(data or {})
        member = self.id_member
        if self.data.get(member, resource_id) != resource_id:
            raise InvalidEventError(
                f'data has another {member} than the event',
                f'Leave {member} out of the data.')

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.event_type and not _EVENT_TYPE.match(cls.event_type):
            raise InvalidEventError(
                f'invalid event type {cls.event_type!r}',
                'An event type is resource.action, in lower case letters, '
                'digits and underscores.')

    @property
    def resource(self) -> str:
        """The first part of the event type, such as "patient"."""
        return self.event_type.partition('.')[0]

    @property
    def id_member(self) -> str:
        """The name under which the id is published: "patient_id"."""
        return f'{self.resource}_id'

    @property
    def key(self) -> str:
        """The Kafka key: all events of one id are in one partition.

        The text that a trigger makes of the same id; several columns are a
        JSON object.
        """
        if isinstance(self.resource_id, Mapping):
            return json.dumps(self.resource_id, ensure_ascii=False,
                              default=str, separators=(',', ':'))
        if isinstance(self.resource_id, bool):
            return 'true' if self.resource_id else 'false'
        return str(self.resource_id)

    def to_dict(self) -> Dict[str, Any]:
        """The member "data" of the envelope."""
        return {self.id_member: self.resource_id,
                **{name: value for name, value in self.data.items()
                   if name != self.id_member}}

    def __repr__(self) -> str:
        # Neither id nor data: they are about patients, and this gets logged.
        return f'<{type(self).__name__} {self.event_type}>'


class PatientEvent(Event):
    """An event about a patient."""

    def __init__(self, patient_id: Any,
                 patient_data: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(patient_id, patient_data)

    @property
    def patient_id(self) -> Any:
        return self.resource_id

    @property
    def patient_data(self) -> Dict[str, Any]:
        return self.data


class PatientCreatedEvent(PatientEvent):
    event_type = 'patient.created'


class PatientUpdatedEvent(PatientEvent):
    event_type = 'patient.updated'


class PatientDeletedEvent(PatientEvent):
    event_type = 'patient.deleted'


class AppointmentEvent(Event):
    """An event about an appointment."""

    def __init__(self, appointment_id: Any,
                 appointment_data: Optional[Mapping[str, Any]] = None
                 ) -> None:
        super().__init__(appointment_id, appointment_data)

    @property
    def appointment_id(self) -> Any:
        return self.resource_id

    @property
    def appointment_data(self) -> Dict[str, Any]:
        return self.data


class AppointmentBookedEvent(AppointmentEvent):
    event_type = 'appointment.booked'


class AppointmentCancelledEvent(AppointmentEvent):
    event_type = 'appointment.cancelled'


class AppointmentCompletedEvent(AppointmentEvent):
    event_type = 'appointment.completed'
