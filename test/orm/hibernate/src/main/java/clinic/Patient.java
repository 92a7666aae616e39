package clinic;

import jakarta.persistence.CascadeType;
import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.OneToMany;
import jakarta.persistence.Table;
import java.util.ArrayList;
import java.util.List;
import org.hibernate.annotations.ColumnDefault;

@Entity
@Table(name = "patients")
class Patient {
    @Id
    @GeneratedValue(strategy = GenerationType.SEQUENCE)
    Long id;

    @Column(nullable = false, columnDefinition = "text")
    String name;

    @Column(unique = true, columnDefinition = "text")
    String email;

    @Column(nullable = false)
    @ColumnDefault("1")
    int version = 1;

    @OneToMany(mappedBy = "patient", cascade = CascadeType.PERSIST)
    List<Appointment> appointments = new ArrayList<>();

    protected Patient() {}

    Patient(String name, String email) {
        this.name = name;
        this.email = email + "@example.com";
    }

    Patient withAppointments(int count) {
        for (int i = 0; i < count; i++) {
            appointments.add(new Appointment(this, "booked"));
        }
        return this;
    }
}
