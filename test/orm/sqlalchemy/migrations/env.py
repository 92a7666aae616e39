"""Alembic's environment: the database of DATABASE_URL, by either driver."""
import asyncio

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.ext.asyncio import create_async_engine

from clinic.database import database_url
from clinic.models import Base

driver = context.get_x_argument(as_dictionary=True).get('driver', 'psycopg')
url = database_url(driver)


def migrate(connection):
    context.configure(connection=connection, target_metadata=Base.metadata,
                      transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_async():
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if driver == 'asyncpg':
    asyncio.run(migrate_async())
else:
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        migrate(connection)
