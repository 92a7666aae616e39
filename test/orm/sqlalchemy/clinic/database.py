"""The URL of the database, and the name of each connection."""
import os

from sqlalchemy import event, make_url


def database_url(driver):
    return make_url(os.environ['DATABASE_URL']).set(
        drivername=f'postgresql+{driver}')


class Step:
    """The step that runs; connections taken from a pool get its name."""

    def __init__(self, pool_events):
        self.name = None
        event.listen(pool_events, 'checkout', self.name_connection)

    def begin(self, name):
        print(f'step {name}', flush=True)
        self.name = name

    def name_connection(self, connection, record, proxy):
        if self.name is None:
            return
        cursor = connection.cursor()
        cursor.execute("SELECT set_config('application_name', "
                       f"'{self.name}', false)")
        cursor.close()
        connection.commit()
