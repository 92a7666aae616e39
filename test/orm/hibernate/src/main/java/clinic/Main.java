package clinic;

import org.hibernate.Version;
import org.postgresql.util.DriverInfo;

/** The clinic with Hibernate: patients and their appointments. */
final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        switch (arguments.length == 1 ? arguments[0] : "") {
            case "version" -> version();
            case "migrate" -> migrate();
            case "run" -> run();
            default -> {
                System.err.println("usage: Main version | migrate | run");
                System.exit(2);
            }
        }
    }

    private static void version() {
        System.out.printf(
                "Hibernate %s, pgjdbc %s, Java %s%n",
                Version.getVersionString(), DriverInfo.DRIVER_VERSION, Runtime.version().feature());
    }

    private static void migrate() {
        try (Database database = new Database("migrate")) {
            database.sessions().getSchemaManager().exportMappedObjects(true);
        }
    }

    private static void run() throws Exception {
        for (Steps.Step step : Steps.ALL) {
            System.out.println("step " + step.name());
            try (Database database = new Database(step.name())) {
                step.work().run(database.sessions());
            }
        }
    }
}
