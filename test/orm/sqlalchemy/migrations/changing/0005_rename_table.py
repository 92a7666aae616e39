"""The table gets another name."""
from alembic import op

revision = '0005'
down_revision = '0004'


def upgrade():
    op.rename_table('patients', 'clinic_patients')


def downgrade():
    op.rename_table('clinic_patients', 'patients')
