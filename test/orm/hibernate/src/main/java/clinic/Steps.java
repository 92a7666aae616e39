package clinic;

import java.sql.SQLException;
import java.sql.Savepoint;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.query.MutationQuery;

final class Steps {
    interface Work {
        void run(SessionFactory sessions) throws Exception;
    }

    record Step(String name, Work work) {}

    static final List<Step> ALL = List.of(
            new Step("create", Steps::create),
            new Step("bulk_create", Steps::bulkCreate),
            new Step("update_field", Steps::updateField),
            new Step("bulk_update", Steps::bulkUpdate),
            new Step("upsert", Steps::upsert),
            new Step("transition", Steps::transition),
            new Step("delete_cascade", Steps::deleteCascade),
            new Step("nested_rollback", Steps::nestedRollback),
            new Step("rollback", Steps::rollback),
            new Step("failed_commit", Steps::failedCommit),
            new Step("raw_sql", Steps::rawSql),
            new Step("concurrent", Steps::concurrent),
            new Step("unicode", Steps::unicode),
            new Step("killed", Steps::killed),
            new Step("merge", Steps::merge));

    private static final int BULK = 100;

    private static final class Undo extends RuntimeException {}

    private Steps() {}

    private static void persistSome(Session session, String prefix, int count) {
        for (int i = 0; i < count; i++) {
            session.persist(new Patient(prefix + " " + i, prefix + "-" + i));
        }
    }

    private static void create(SessionFactory sessions) {
        sessions.inTransaction(
                session -> session.persist(new Patient("Ada Lovelace", "ada")));
    }

    /** One flush sends them all, in JDBC batches. */
    private static void bulkCreate(SessionFactory sessions) {
        sessions.inTransaction(session -> persistSome(session, "bulk", BULK));
    }

    private static void updateField(SessionFactory sessions) {
        sessions.inTransaction(session -> {
            Patient ada = session
                    .createSelectionQuery("from Patient where email = :email", Patient.class)
                    .setParameter("email", "ada@example.com")
                    .getSingleResult();
            ada.email = "countess@example.com";
        });
    }

    private static void bulkUpdate(SessionFactory sessions) {
        int updated = sessions.fromTransaction(session -> session
                .createMutationQuery(
                        "update Patient set version = version + 1 where email like 'bulk-%'")
                .executeUpdate());
        require(updated == BULK, updated + " rows updated");
    }

    /** Every second of the ten is there already. */
    private static void upsert(SessionFactory sessions) {
        List<Patient> patients = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            patients.add(new Patient("Known " + i, "bulk-" + i));
            patients.add(new Patient("New " + i, "upsert-" + i));
        }
        String values = IntStream.range(0, patients.size())
                .mapToObj(i -> "(:name" + i + ", :email" + i + ", 1)")
                .collect(Collectors.joining(", "));
        sessions.inTransaction(session -> {
            MutationQuery query = session.createMutationQuery(
                    "insert into Patient (name, email, version) values " + values
                            + " on conflict (email) do update set name = excluded.name");
            for (int i = 0; i < patients.size(); i++) {
                query.setParameter("name" + i, patients.get(i).name);
                query.setParameter("email" + i, patients.get(i).email);
            }
            query.executeUpdate();
        });
    }

    private static void transition(SessionFactory sessions) {
        Patient grace = new Patient("Grace Hopper", "grace").withAppointments(3);
        sessions.inTransaction(session -> session.persist(grace));
        setStatus(sessions, grace.appointments.get(0), "completed");
        setStatus(sessions, grace.appointments.get(1), "cancelled");
    }

    private static void setStatus(SessionFactory sessions, Appointment appointment, String status) {
        sessions.inTransaction(
                session -> session.find(Appointment.class, appointment.id).status = status);
    }

    private static void deleteCascade(SessionFactory sessions) {
        Patient alan = new Patient("Alan Turing", "alan").withAppointments(2);
        sessions.inTransaction(session -> session.persist(alan));
        sessions.inTransaction(session -> session.remove(session.find(Patient.class, alan.id)));
    }

    /** Hibernate has no nested transactions: a savepoint of JDBC. */
    private static void nestedRollback(SessionFactory sessions) {
        sessions.inTransaction(session -> {
            session.persist(new Patient("Outer", "outer"));
            session.flush();
            session.doWork(connection -> {
                Savepoint before = connection.setSavepoint();
                Patient inner = new Patient("Inner", "inner");
                session.persist(inner);
                session.flush();
                connection.rollback(before);
                session.detach(inner);
            });
        });
    }

    private static void rollback(SessionFactory sessions) {
        try {
            sessions.inTransaction(session -> {
                persistSome(session, "rollback", 5);
                session.flush();
                throw new Undo();
            });
        } catch (Undo expected) {
            return;
        }
        throw new IllegalStateException("the transaction committed");
    }

    /** The foreign key is checked at COMMIT. */
    private static void failedCommit(SessionFactory sessions) {
        AtomicBoolean written = new AtomicBoolean();
        try {
            sessions.inTransaction(session -> {
                session.persist(new Patient("Nobody", "nobody"));
                Patient missing = session.getReference(Patient.class, 1L << 40);
                session.persist(new Appointment(missing, "booked"));
                session.flush();
                written.set(true);
            });
        } catch (RuntimeException refused) {
            if (written.get() && "23503".equals(sqlState(refused))) {
                return;
            }
            throw refused;
        }
        throw new IllegalStateException("COMMIT succeeded without the patient");
    }

    private static void rawSql(SessionFactory sessions) {
        sessions.inTransaction(session -> session
                .createNativeMutationQuery("insert into patients (id, name, email)"
                        + " values (nextval('patients_seq'), :name, :email)")
                .setParameter("name", "Raw")
                .setParameter("email", "raw@example.com")
                .executeUpdate());
    }

    private static void concurrent(SessionFactory sessions) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try {
            List<Callable<Void>> writers = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                String prefix = "writer-" + i;
                writers.add(() -> write(sessions, prefix));
            }
            for (Future<Void> writer : threads.invokeAll(writers)) {
                writer.get();
            }
        } finally {
            threads.shutdown();
        }
    }

    private static Void write(SessionFactory sessions, String prefix) {
        for (int i = 0; i < 25; i++) {
            Patient patient = new Patient(prefix + " " + i, prefix + "-" + i);
            sessions.inTransaction(session -> session.persist(patient));
        }
        return null;
    }

    private static void unicode(SessionFactory sessions) {
        for (int i = 0; i < Names.ALL.size(); i++) {
            Patient patient = new Patient(Names.ALL.get(i), "unicode-" + i);
            sessions.inTransaction(session -> session.persist(patient));
        }
    }

    /** An administrator ends the session in the middle of a transaction. */
    private static void killed(SessionFactory sessions) {
        AtomicBoolean ended = new AtomicBoolean();
        try {
            sessions.inTransaction(session -> {
                persistSome(session, "killed", 3);
                session.flush();
                Integer pid = session
                        .createNativeQuery("select pg_backend_pid()", Integer.class)
                        .getSingleResult();
                ended.set(sessions.fromTransaction(other -> other
                        .createNativeQuery(
                                "select pg_terminate_backend(:pid, 30000)", Boolean.class)
                        .setParameter("pid", pid)
                        .getSingleResult()));
            });
        } catch (RuntimeException lost) {
            if (ended.get()) {
                return;
            }
            throw lost;
        }
        throw new IllegalStateException("COMMIT succeeded in a session that has ended");
    }

    /** A stateless session's upsert, by the primary key, is a MERGE. */
    private static void merge(SessionFactory sessions) {
        Patient known = sessions.fromTransaction(session -> session
                .createSelectionQuery("from Patient where email = :email", Patient.class)
                .setParameter("email", "raw@example.com")
                .getSingleResult());
        known.name = "Merged";
        Patient added = new Patient("Added", "added");
        sessions.inStatelessTransaction(session -> {
            added.id = session
                    .createNativeQuery("select nextval('patients_seq')", Long.class)
                    .getSingleResult();
            session.upsert(known);
            session.upsert(added);
        });
    }

    private static void require(boolean held, String message) {
        if (!held) {
            throw new IllegalStateException(message);
        }
    }

    private static String sqlState(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLException sql) {
                return sql.getSQLState();
            }
        }
        return null;
    }
}
