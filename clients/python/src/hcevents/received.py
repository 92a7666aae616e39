"""What a consumer knows of a message, and which events it has had before.

No Kafka in here: messages are passed in, and time plays no role.
"""
from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Dict, Mapping, NamedTuple, Optional, Tuple


class Position(NamedTuple):
    """The header "position": where in the order of publication an event is.

    Greater positions of one database were published later.  The epoch is a
    number, the rest (commit LSN and index, in hex digits) sorts as text.
    """

    epoch: int
    place: str

    @classmethod
    def parse(cls, text: Optional[str]) -> Optional[Position]:
        """Of the header's text; None when there is none that makes sense."""
        epoch, dash, place = (text or '').partition('-')
        if not dash or not epoch.isdigit() or not place:
            return None
        return cls(int(epoch), place)


@dataclass(frozen=True)
class Delivery:
    """One message as Kafka delivered it, beside the event that is in it."""

    topic: str
    partition: int
    offset: int
    key: Optional[str] = None
    timestamp_ms: Optional[int] = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def position(self) -> Optional[Position]:
        return Position.parse(self.headers.get('position'))

    @property
    def stream(self) -> Tuple[str, int, str, str]:
        """Within which positions can be compared: one partition, one source.

        Two databases may publish to one topic; their positions have nothing
        to do with each other.
        """
        return (self.topic, self.partition, self.headers.get('source', ''),
                self.headers.get('db', ''))


class Handled:
    """The events that were handled: as many as fit, and the last positions.

    An event whose position is greater than all that were handled in its
    stream, in the same epoch, is new: no look-up is needed.  Any other one is
    a duplicate when its event_id is remembered.  One that is neither is a dead
    letter that was sent again (it keeps its old position), or older than the
    memory: it is handled, for handling twice is better than never.

    With strict=True it is dropped instead: one position for each stream then
    decides everything, and the memory of ids is not used.
    """

    def __init__(self, limit: int = 100000, strict: bool = False) -> None:
        self._limit = limit
        self._strict = strict
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._last: Dict[Tuple[str, int, str, str], Position] = {}

    def has(self, delivery: Delivery, event_id: str) -> bool:
        """Was this event handled before?"""
        position = delivery.position
        last = self._last.get(delivery.stream)
        if position is not None and last is not None:
            if position > last and (self._strict
                                    or position.epoch == last.epoch):
                return False
            if self._strict:
                return True
        return event_id in self._ids

    def add(self, delivery: Delivery, event_id: str) -> None:
        """Remember an event."""
        position = delivery.position
        if position is not None:
            last = self._last.get(delivery.stream)
            if last is None or position > last:
                self._last[delivery.stream] = position
        if self._strict and position is not None:
            return
        self._ids[event_id] = None
        self._ids.move_to_end(event_id)
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)
