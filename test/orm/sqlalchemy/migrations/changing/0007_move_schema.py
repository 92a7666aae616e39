"""Into the schema of the role's name, where its search path begins."""
from alembic import op

revision = '0007'
down_revision = '0006'


def upgrade():
    op.execute('CREATE SCHEMA clinic')
    op.execute('ALTER TABLE clinic_patients SET SCHEMA clinic')


def downgrade():
    op.execute('ALTER TABLE clinic.clinic_patients SET SCHEMA public')
    op.execute('DROP SCHEMA clinic')
