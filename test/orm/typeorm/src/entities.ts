import {
  Column, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryGeneratedColumn,
} from 'typeorm';

@Entity('patients')
export class Patient {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id: string;

  @Column('text')
  name: string;

  @Column('text', { nullable: true, unique: true })
  email: string | null;

  @Column('int', { default: 1 })
  version: number;

  @OneToMany(() => Appointment, (appointment) => appointment.patient, { cascade: ['insert'] })
  appointments: Appointment[];
}

@Entity('appointments')
export class Appointment {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id: string;

  @ManyToOne(() => Patient, (patient) => patient.appointments, {
    nullable: false, onDelete: 'CASCADE', deferrable: 'INITIALLY DEFERRED',
  })
  @JoinColumn({ name: 'patient_id' })
  patient: Patient;

  @Column('text')
  status: string;

  @Column('int', { default: 1 })
  version: number;
}
