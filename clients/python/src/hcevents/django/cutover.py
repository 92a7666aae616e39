"""Signal handlers that stop by themselves when the extension takes over.

    @receiver(post_save, sender=Patient)
    def publish_patient(sender, instance, created, using, **kwargs):
        if not signals_publish(using):
            return
        transaction.on_commit(lambda: kafka.produce(…), using=using)

signals_publish() asks the catalog, in the transaction of the change, whether
the database's prefix is the real one already.  "python -m hcevents.cutover"
changes that while no transaction writes the tables, so for each change either
the handler publishes or the extension does, under the real prefix, and never
both or none: also with many processes, and without stopping any.
"""
from __future__ import annotations

from django.db import connections
from django.db.transaction import TransactionManagementError

from ..errors import HceventsError

QUERY = """
SELECT EXISTS (
           SELECT FROM pg_catalog.pg_db_role_setting AS s
                  JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
            WHERE d.datname = pg_catalog.current_database()
              AND s.setrole = 0
              AND %s = ANY (s.setconfig)),
       pg_catalog.current_setting('transaction_isolation')
"""


def signals_publish(using: str = 'default',
                    prefix: str = 'healthcore') -> bool:
    """Are the signal handlers the ones to publish this transaction's changes?

    prefix is the one that consumers read.  False as soon as ALTER DATABASE …
    SET hcevents.topic_prefix to it is committed.

    Call it in the handler, after the change and in its transaction, not in
    on_commit().  Raises TransactionManagementError outside of one: there the
    change is committed already, and the answer could be about a later time.
    Raises HceventsError in REPEATABLE READ or SERIALIZABLE, whose snapshot may
    be older than the change.
    """
    connection = connections[using]
    if not connection.in_atomic_block:
        raise TransactionManagementError(
            'signals_publish() needs a transaction: use atomic(), or '
            'ATOMIC_REQUESTS')
    with connection.cursor() as cursor:
        cursor.execute(QUERY, [f'hcevents.topic_prefix={prefix}'])
        switched, isolation = cursor.fetchone()
    if isolation != 'read committed':
        raise HceventsError(
            f'signals_publish() cannot be used in {isolation}',
            'Use READ COMMITTED until the cut-over is done, or stop the '
            'application for it.')
    return not switched
