"""The tables publish."""
from alembic import op

revision = '0002'
down_revision = '0001'


def upgrade():
    op.execute("""SELECT hcevents.attach_healthcore(
        patient_columns => '{name,email,version}',
        appointment_columns => '{patient_id,status,version}')""")


def downgrade():
    op.execute("""SELECT hcevents.detach('patients', 'patient'),
                         hcevents.detach('appointments', 'appointment')""")
