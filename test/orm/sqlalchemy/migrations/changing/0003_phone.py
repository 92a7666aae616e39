"""A new column, published from the same transaction on; another that is not."""
import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'


def publish(columns):
    op.execute(f"SELECT hcevents.attach('patients', 'patient', '{columns}')")


def upgrade():
    op.add_column('patients', sa.Column('phone', sa.Text))
    op.add_column('patients', sa.Column('notes', sa.Text, nullable=False,
                                        server_default='none'))
    publish('{name,email,version,phone}')


def downgrade():
    # attach() takes a weaker lock than DROP COLUMN; taking the stronger one
    # later would be a deadlock with a writer who came in between.
    op.execute('LOCK TABLE patients IN ACCESS EXCLUSIVE MODE')
    publish('{name,email,version}')
    op.drop_column('patients', 'notes')
    op.drop_column('patients', 'phone')
