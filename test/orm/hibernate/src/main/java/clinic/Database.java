package clinic;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import org.hibernate.SessionFactory;
import org.hibernate.cfg.AvailableSettings;
import org.hibernate.cfg.Configuration;
import org.postgresql.ds.PGSimpleDataSource;

/** The database of the PG* variables, under an application name. */
final class Database implements AutoCloseable {
    private final HikariDataSource pool;
    private final SessionFactory sessions;

    Database(String applicationName) {
        HikariConfig config = new HikariConfig();
        config.setDataSource(server(applicationName));
        config.setMaximumPoolSize(10);
        config.setMinimumIdle(0);
        pool = new HikariDataSource(config);

        Configuration configuration = new Configuration()
                .addAnnotatedClass(Patient.class)
                .addAnnotatedClass(Appointment.class);
        configuration.getProperties().put(AvailableSettings.JAKARTA_NON_JTA_DATASOURCE, pool);
        sessions = configuration.buildSessionFactory();
    }

    private static PGSimpleDataSource server(String applicationName) {
        int port = Integer.parseInt(System.getenv().getOrDefault("PGPORT", "5432"));
        String host = System.getenv().getOrDefault("PGHOST", "localhost");
        PGSimpleDataSource server = new PGSimpleDataSource();
        if (host.startsWith("/")) {
            server.setSocketFactory("org.newsclub.net.unix.AFUNIXSocketFactory$FactoryArg");
            server.setSocketFactoryArg(host + "/.s.PGSQL." + port);
        } else {
            server.setServerNames(new String[] {host});
        }
        server.setPortNumbers(new int[] {port});
        server.setDatabaseName(System.getenv("PGDATABASE"));
        server.setUser(System.getenv("PGUSER"));
        server.setApplicationName(applicationName);
        return server;
    }

    SessionFactory sessions() {
        return sessions;
    }

    @Override
    public void close() {
        sessions.close();
        pool.close();
    }
}
