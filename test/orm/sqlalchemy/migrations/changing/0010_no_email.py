"""A published column would go: refused, so this one is never applied."""
from alembic import op

revision = '0010'
down_revision = '0009'


def upgrade():
    op.drop_column('clinic_patients', 'email')


def downgrade():
    raise RuntimeError('it was never applied')
