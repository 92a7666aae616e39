package clinic;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.FetchType;
import jakarta.persistence.ForeignKey;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.JoinColumn;
import jakarta.persistence.ManyToOne;
import jakarta.persistence.Table;
import org.hibernate.annotations.ColumnDefault;

@Entity
@Table(name = "appointments")
class Appointment {
    @Id
    @GeneratedValue(strategy = GenerationType.SEQUENCE)
    Long id;

    @ManyToOne(fetch = FetchType.LAZY, optional = false)
    @JoinColumn(
            name = "patient_id",
            nullable = false,
            foreignKey = @ForeignKey(
                    name = "appointments_patient",
                    foreignKeyDefinition = "foreign key (patient_id) references patients"
                            + " on delete cascade deferrable initially deferred"))
    Patient patient;

    @Column(nullable = false, columnDefinition = "text")
    String status;

    @Column(nullable = false)
    @ColumnDefault("1")
    int version = 1;

    protected Appointment() {}

    Appointment(Patient patient, String status) {
        this.patient = patient;
        this.status = status;
    }
}
