"""A new table that publishes from its first row on; dropped, it publishes no more."""
import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'


def upgrade():
    op.create_table(
        'visits',
        sa.Column('id', sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column('reason', sa.Text, nullable=False),
        sa.Column('version', sa.Integer, nullable=False, server_default=sa.text('1')))
    op.execute("SELECT hcevents.attach('visits', 'visit', '{reason,version}')")


def downgrade():
    op.drop_table('visits')
