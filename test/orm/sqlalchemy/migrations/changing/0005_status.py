"""The type of the column whose transitions are events."""
import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'


def upgrade():
    op.alter_column('appointments', 'status', type_=sa.Text)


def downgrade():
    op.alter_column('appointments', 'status', type_=sa.String(20))
