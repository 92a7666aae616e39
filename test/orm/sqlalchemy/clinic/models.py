"""The clinic's tables, for the synchronous and the asynchronous program."""
from sqlalchemy import BigInteger, ForeignKey, Identity, String, Text, text
from sqlalchemy.orm import (DeclarativeBase, Mapped, mapped_column,
                            relationship)


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = 'patients'

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text, unique=True)
    version: Mapped[int] = mapped_column(server_default=text('1'))
    appointments: Mapped[list['Appointment']] = relationship(
        back_populates='patient', cascade='all, delete', passive_deletes=True)

    # Optimistic locking: an UPDATE of a row that another has changed fails.
    __mapper_args__ = {'version_id_col': version}


class Appointment(Base):
    __tablename__ = 'appointments'

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    patient_id: Mapped[int] = mapped_column(
        ForeignKey('patients.id', ondelete='CASCADE', deferrable=True,
                   initially='DEFERRED'), index=True)
    status: Mapped[str] = mapped_column(String(20), default='booked',
                                        server_default=text("'booked'"))
    version: Mapped[int] = mapped_column(server_default=text('1'))
    patient: Mapped[Patient] = relationship(back_populates='appointments')

    __mapper_args__ = {'version_id_col': version}
