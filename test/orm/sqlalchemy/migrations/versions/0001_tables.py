"""The tables of the clinic."""
import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None


def upgrade():
    op.create_table(
        'patients',
        sa.Column('id', sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column('name', sa.Text, nullable=False),
        sa.Column('email', sa.Text, unique=True),
        sa.Column('version', sa.Integer, nullable=False,
                  server_default=sa.text('1')))
    op.create_table(
        'appointments',
        sa.Column('id', sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column('patient_id', sa.BigInteger,
                  sa.ForeignKey('patients.id', ondelete='CASCADE',
                                deferrable=True, initially='DEFERRED'),
                  nullable=False, index=True),
        sa.Column('status', sa.String(20), nullable=False,
                  server_default=sa.text("'booked'")),
        sa.Column('version', sa.Integer, nullable=False,
                  server_default=sa.text('1')))


def downgrade():
    op.drop_table('appointments')
    op.drop_table('patients')
