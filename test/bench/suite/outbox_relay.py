"""A polling relay of an outbox table, as outbox libraries have it.

    outbox_relay.py CONNINFO BROKERS PREFIX

Takes up to 1,000 rows in order, skipping those that another relay has locked,
produces them, waits until Kafka has acknowledged all and deletes them in the
same transaction.  Polls at once while there are rows, else every 10 ms.
Ends on SIGTERM after the batch.
"""
import signal
import sys
import threading

import psycopg2
from confluent_kafka import Producer

BATCH = """DELETE FROM outbox WHERE position IN (
    SELECT position FROM outbox ORDER BY position LIMIT 1000
       FOR UPDATE SKIP LOCKED)
    RETURNING position, type, aggregateid, payload::text"""
IDLE_SECONDS = 0.01

stopping = threading.Event()


def main():
    conninfo, brokers, prefix = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    connection = psycopg2.connect(conninfo, application_name='outbox relay')
    cursor = connection.cursor()
    producer = Producer({'bootstrap.servers': brokers, 'acks': 'all',
                         'enable.idempotence': True, 'linger.ms': 0,
                         'compression.type': 'lz4'})
    while not stopping.is_set():
        cursor.execute(BATCH)
        rows = sorted(cursor.fetchall())
        for _, event_type, key, payload in rows:
            producer.produce(prefix + event_type, payload, key)
        if producer.flush(60) > 0:
            sys.exit('outbox relay: Kafka does not acknowledge')
        connection.commit()
        if not rows:
            stopping.wait(IDLE_SECONDS)


main()
