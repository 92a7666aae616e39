"""A published column would go: refused, so this one is never applied."""
from alembic import op

revision = '0012'
down_revision = '0011'


def upgrade():
    op.drop_column('clinic_patients', 'email')


def downgrade():
    raise RuntimeError('it was never applied')
