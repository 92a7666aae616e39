"""The table gets another name."""
from alembic import op

revision = '0006'
down_revision = '0005'


def upgrade():
    op.rename_table('patients', 'clinic_patients')


def downgrade():
    op.rename_table('clinic_patients', 'patients')
