"""A member of a consumer group that hands events to functions, one by one.

    from hcevents.consumer import KafkaConsumer

    consumer = KafkaConsumer(['patient.created', 'appointment.booked'])

    @consumer.on('patient.created')
    def welcome(event):
        send_mail(event['data']['email'])

    consumer.consume()

The order that makes a stop safe: handle, then commit.  A consumer that dies
in between handles the event again and skips none; a handler that must never
act twice keeps the event_id with its own result, in one transaction.

No line of the log holds a key, the data of an event, or the text of a
handler's exception: they are about patients.
"""
from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

from .events import EVENT_TYPES
from .received import Delivery, Handled

try:
    from confluent_kafka import (Consumer, KafkaError, KafkaException,
                                 Producer, TopicPartition)
except ImportError as problem:
    raise ImportError(
        'KafkaConsumer needs confluent-kafka: pip install "hcevents[consumer]"'
        ', or apt-get install python3-confluent-kafka') from problem

logger = logging.getLogger(__name__)

Event = Dict[str, Any]
Handler = Callable[[Event], Any]

POLL_SECONDS = 0.5
ANSWER_SECONDS = 10             # one question to the brokers
MAX_BACKOFF_SECONDS = 30.0
MAX_POLL_INTERVAL_MS = 300000   # librdkafka's default
# What waiting does not cure; everything else librdkafka tries again.
REFUSALS = (KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED)
ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
# What the producer of dead letters takes over from "config".
CONNECTION_OPTIONS = ('security.', 'sasl.', 'ssl.', 'socket.', 'broker.',
                      'client.', 'enable.ssl', 'debug')


def log_event(event: Event) -> None:
    """The handler of who gives none: say that the event came."""
    logger.info('%s %s', event['event_type'], event['event_id'])


def setting(name: str, default: str) -> str:
    """KAFKA_… of Django's settings where there are any, of the environment."""
    try:
        from django.conf import settings
        if settings.configured and getattr(settings, name, None):
            return str(getattr(settings, name))
    except ImportError:
        pass
    return os.environ.get(name) or default


class KafkaConsumer:
    """Consumes event types and hands each event to its handler.

    event_types        such as 'patient.created'; each is a topic behind the
                       prefix.  A name that begins with the prefix is a topic
                       itself.  Without: those that have a handler, or else
                       the six of HealthCore
    handler            function(event) for the types without one of their own;
                       without, the event's type and id are logged
    group_id           KAFKA_GROUP_ID, or healthcore-consumer
    bootstrap_servers  KAFKA_BOOTSTRAP_SERVERS, or localhost:9092
    topic_prefix       KAFKA_TOPIC_PREFIX, or healthcore
    from_beginning     a new group starts with the oldest event, not the next
    config             more librdkafka options, such as security.protocol
    handlers           event type: function(event)
    retries            how often a handler that raised is called again
    backoff            seconds before the first retry; each further one waits
                       twice as long, up to 30 s
    dead_letter_topic  where a message goes whose handler has failed each
                       time, or that is no event.  Without: the handler's
                       exception ends consume() and the event comes again at
                       the next start; what is no event is logged and skipped
    lookback           of each partition, so many messages before the group's
                       offset are looked at when it is assigned, so that
                       events that come twice are recognised over a restart
    strict_positions   drop every event whose position is not greater than
                       the last; a dead letter that was sent again is then
                       dropped, too
    """

    def __init__(self, event_types: Optional[Iterable[str]] = None,
                 handler: Optional[Handler] = None,
                 group_id: Optional[str] = None,
                 bootstrap_servers: Optional[str] = None,
                 topic_prefix: Optional[str] = None,
                 from_beginning: bool = True,
                 config: Optional[Mapping[str, Any]] = None, *,
                 handlers: Optional[Mapping[str, Handler]] = None,
                 retries: int = 3, backoff: float = 0.2,
                 dead_letter_topic: Optional[str] = None,
                 lookback: int = 1000,
                 strict_positions: bool = False) -> None:
        if isinstance(event_types, str):
            raise TypeError('event_types is a list of names, not one name')
        self._event_types = None if event_types is None else list(event_types)
        self.handler = handler
        self.handlers: Dict[str, Handler] = dict(handlers or {})
        self.prefix = topic_prefix or setting('KAFKA_TOPIC_PREFIX',
                                              'healthcore')
        self.retries = retries
        self.backoff = backoff
        self.dead_letter_topic = (dead_letter_topic and
                                  self._topic_of(dead_letter_topic))
        self.lookback = lookback
        #: The message of the event in hand, for the handler to look at.
        self.delivery: Optional[Delivery] = None
        self._bootstrap = bootstrap_servers or setting(
            'KAFKA_BOOTSTRAP_SERVERS', 'localhost:9092')
        self._config = self._options(group_id, from_beginning, config or {})
        self._stopping = threading.Event()
        self._handled = Handled(strict=strict_positions)
        self._consumer: Any = None
        self._producer: Any = None
        self._check_waits()

    def on(self, event_type: str) -> Callable[[Handler], Handler]:
        """Decorator: the handler of an event type."""
        def register(handler: Handler) -> Handler:
            self.handlers[event_type] = handler
            return handler
        return register

    @property
    def topics(self) -> List[str]:
        """What consume() subscribes to."""
        if self._event_types is not None:
            names: Iterable[str] = self._event_types
        else:
            names = self.handlers or EVENT_TYPES
        return [self._topic_of(name) for name in names]

    def stop(self, *_: Any) -> None:
        """End consume() after the event in hand; usable as signal handler."""
        self._stopping.set()

    def consume(self, limit: Optional[int] = None) -> int:
        """Handle events until stop(), SIGTERM or SIGINT, or "limit" events.

        Returns the number of events handled.  In another thread than the main
        one signals are left alone: call stop() instead.

        Raises what a handler raised, when it has failed each time and there
        is no topic for dead letters; KafkaException when Kafka refuses.
        """
        handled = 0
        self._consumer = Consumer(self._config)
        previous = self._take_signals()
        try:
            self._consumer.subscribe(self.topics, on_assign=self._on_assign)
            while not self._stopping.is_set() and (limit is None
                                                   or handled < limit):
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None and self._take(message):
                    handled += 1
        finally:
            self._consumer.close()
            self._stopping.clear()
            for signo, action in previous.items():
                signal.signal(signo, action)
        return handled

    def _topic_of(self, name: str) -> str:
        if name.startswith(self.prefix + '.'):
            return name
        return f'{self.prefix}.{name}'

    def _options(self, group_id: Optional[str], from_beginning: bool,
                 config: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            'bootstrap.servers': self._bootstrap,
            'group.id': group_id or setting('KAFKA_GROUP_ID',
                                            'healthcore-consumer'),
            'auto.offset.reset': 'earliest' if from_beginning else 'latest',
            'enable.auto.commit': False,
            'error_cb': self._report,
            'log_level': 2,         # the same reports, a second time
            # Topics appear with their first event: look often.
            'topic.metadata.refresh.interval.ms': 2000,
            **config,
        }

    def _wait_before(self, attempt: int) -> float:
        """Seconds to wait before the retry of that number."""
        return min(self.backoff * 2.0 ** (attempt - 1), MAX_BACKOFF_SECONDS)

    def _check_waits(self) -> None:
        """The group throws out who does not poll in time."""
        waits = sum(self._wait_before(attempt)
                    for attempt in range(1, self.retries + 1))
        allowed = int(self._config.get('max.poll.interval.ms',
                                       MAX_POLL_INTERVAL_MS)) / 2000
        if self.retries < 0 or self.backoff < 0:
            raise ValueError('retries and backoff must not be negative')
        if waits > allowed:
            raise ValueError(
                f'the retries wait {waits:g} s, more than half of '
                'max.poll.interval.ms: retry less often, or raise it')

    @staticmethod
    def _report(error: Any) -> None:
        logger.warning('Kafka reports: %s', error)

    def _take_signals(self) -> Dict[signal.Signals, Any]:
        """Only the main thread may; another one calls stop() instead."""
        try:
            return {signo: signal.signal(signo, self.stop)
                    for signo in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:
            return {}

    def _take(self, message: Any) -> bool:
        """Handle and commit one message; False when none was handled."""
        if message.error() is not None:
            self._take_error(message.error())
            return False
        delivery = delivery_of(message)
        event = event_of(message)
        if event is None:
            # Going on without it is better than never going on.
            logger.error('no event at %s[%d] offset %d', delivery.topic,
                         delivery.partition, delivery.offset)
            if self.dead_letter_topic:
                self._send_dead_letter(message, 'invalid', 0)
            self._commit(message)
            return False

        if self._handled.has(delivery, event['event_id']):
            self._commit(message)
            return False
        if not self._handle(message, delivery, event):
            return False
        self._handled.add(delivery, event['event_id'])
        self._commit(message)
        return True

    def _take_error(self, error: Any) -> None:
        if error.code() in ABSENT:
            return                  # its first event is still to come
        if error.fatal() or error.code() in REFUSALS:
            raise KafkaException(error)
        self._report(error)

    def _handle(self, message: Any, delivery: Delivery, event: Event) -> bool:
        """Call the handler until it succeeds; False when stopped before.

        An event that became a dead letter is dealt with: True.
        """
        handler = (self.handlers.get(event['event_type']) or self.handler
                   or log_event)
        attempt = 1
        self.delivery = delivery
        try:
            while True:
                try:
                    handler(event)
                    return True
                except Exception as problem:
                    logger.warning(
                        'attempt %d to handle %s %s failed: %s', attempt,
                        event['event_type'], event['event_id'],
                        type(problem).__name__)
                    if attempt > self.retries:
                        if not self.dead_letter_topic:
                            raise
                        self._send_dead_letter(
                            message, type(problem).__name__, attempt)
                        return True
                if self._stopping.wait(self._wait_before(attempt)):
                    return False
                attempt += 1
        finally:
            self.delivery = None

    def _commit(self, message: Any) -> None:
        """A commit that fails is made good by the next one."""
        try:
            self._consumer.commit(message=message, asynchronous=False)
        except KafkaException as problem:
            logger.warning('offset not committed: %s', problem)

    def _send_dead_letter(self, message: Any, error: str,
                          attempts: int) -> None:
        """Copy a message to the topic of dead letters, and wait for it.

        Raises KafkaException when Kafka did not take it: then the offset is
        not committed, and the message comes again.
        """
        if self._producer is None:
            self._producer = Producer({
                'bootstrap.servers': self._bootstrap,
                'enable.idempotence': True,
                'partitioner': 'murmur2_random',
                'message.timeout.ms': 30000,
                'log_level': 2,
                **{name: value for name, value in self._config.items()
                   if name.startswith(CONNECTION_OPTIONS)}})
        reports: List[Any] = []
        headers = list(message.headers() or []) + [
            ('dead_letter_topic', message.topic().encode()),
            ('dead_letter_partition', str(message.partition()).encode()),
            ('dead_letter_offset', str(message.offset()).encode()),
            ('dead_letter_error', error.encode()),
            ('dead_letter_attempts', str(attempts).encode())]
        self._producer.produce(
            self.dead_letter_topic, message.value(), message.key(),
            headers=headers,
            on_delivery=lambda failure, _: reports.append(failure))
        self._producer.flush(35)
        if not reports or reports[0] is not None:
            raise KafkaException(reports[0] if reports else KafkaError(
                KafkaError._TIMED_OUT))

    def _on_assign(self, consumer: Any, partitions: List[Any]) -> None:
        """Remember what the group has handled last of these partitions.

        Runs in the thread of consume(), inside poll().  A failure costs
        nothing but the memory, so it is logged and that is all.
        """
        if self.lookback <= 0 or not partitions:
            return
        try:
            known = [partition for partition in consumer.committed(
                         partitions, timeout=ANSWER_SECONDS)
                     if partition.offset > 0]
            if known:
                self._look_back(known)
        except KafkaException as problem:
            logger.warning('cannot look back: %s', problem)

    def _look_back(self, committed: List[Any]) -> None:
        """Read the messages before these offsets into the memory.

        A consumer of its own does that: the one of the group must not be
        moved to offsets that retention may remove at any time.
        """
        ends = {(part.topic, part.partition): part.offset
                for part in committed}
        reader = Consumer({**self._config, 'auto.offset.reset': 'earliest',
                           'enable.partition.eof': True})
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            reader.assign([
                TopicPartition(part.topic, part.partition,
                               max(part.offset - self.lookback, 0))
                for part in committed])
            while ends and time.monotonic() < deadline:
                message = reader.poll(POLL_SECONDS)
                if message is None:
                    continue
                place = (message.topic(), message.partition())
                if message.error() is not None:
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        ends.pop(place, None)
                    continue
                if place in ends and message.offset() < ends[place]:
                    event = event_of(message)
                    if event is not None:
                        self._handled.add(delivery_of(message),
                                          event['event_id'])
                if place in ends and message.offset() + 1 >= ends[place]:
                    del ends[place]
        finally:
            reader.close()


def delivery_of(message: Any) -> Delivery:
    """What Kafka tells of a message besides its value."""
    return Delivery(
        message.topic(), message.partition(), message.offset(),
        text_of(message.key()), message.timestamp()[1],
        {name: text_of(value) or ''
         for name, value in message.headers() or []})


def text_of(raw: Optional[bytes]) -> Optional[str]:
    return None if raw is None else raw.decode('utf-8', 'backslashreplace')


def event_of(message: Any, parse: Callable[[bytes], Any] = json.loads
             ) -> Optional[Event]:
    """The envelope in a message, None when there is none."""
    try:
        event = parse(message.value())
        if (isinstance(event['event_id'], str)
                and isinstance(event['event_type'], str)):
            return dict(event)
    except (TypeError, ValueError, KeyError, RecursionError):
        pass
    return None
