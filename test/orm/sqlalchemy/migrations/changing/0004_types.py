"""The types of published columns change."""
import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'


def upgrade():
    op.alter_column('patients', 'name', type_=sa.String(300))
    op.alter_column('patients', 'email', type_=sa.String(254))


def downgrade():
    op.alter_column('patients', 'email', type_=sa.Text)
    op.alter_column('patients', 'name', type_=sa.Text)
