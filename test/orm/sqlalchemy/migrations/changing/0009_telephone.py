"""A published column gets another name; it is published under the old one."""
from alembic import op

revision = '0009'
down_revision = '0008'


def upgrade():
    op.alter_column('clinic_patients', 'phone', new_column_name='telephone')


def downgrade():
    op.alter_column('clinic_patients', 'telephone', new_column_name='phone')
