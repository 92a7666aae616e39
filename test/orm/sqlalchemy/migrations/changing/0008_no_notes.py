"""A column that is not published goes."""
import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'


def upgrade():
    op.drop_column('clinic_patients', 'notes')


def downgrade():
    op.add_column('clinic_patients', sa.Column('notes', sa.Text, nullable=False,
                                               server_default='none'))
