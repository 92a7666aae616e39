"""The writes of a random case."""
import base64

from values import copied, ident, literal

REGIONS = ["north", "south", "west", "east"]


class Writes:
    """INSERT, UPDATE, DELETE, ON CONFLICT, MERGE, WITH, COPY, TRUNCATE."""

    def dml(self):
        before = len(self.units)
        while len(self.units) == before:
            self.rng.choices(
                [self.insert, self.update, self.update_key, self.move,
                 self.delete, self.upsert, self.merge, self.copy,
                 self.exception, self.recreate, self.move_beside,
                 self.move_unseen, self.truncate],
                [8, 8, 2, 4, 3, 3, 3, 3, 2, 1, 1, 1, 0.3])[0]()

    def pick_table(self):
        return self.rng.randrange(len(self.state.names))

    def row(self, key):
        """Names of columns and constants for a new row."""
        names = list(key) + self.rng.sample(
            self.writable(), self.rng.randint(0, len(self.writable())))
        return names, [self.key_constant(n, key[n]) if n in key else
                       self.constant(n) for n in names]

    def key_constant(self, name, text):
        return "%s::%s" % (literal(text), self.state.columns[name].kind)

    def rows(self, count):
        """(column list, rows) of new rows."""
        names, first = self.row(self.new_key())
        rows = [first]
        for _ in range(count - 1):
            key = self.new_key()
            rows.append([self.key_constant(n, key[n]) if n in key else
                         self.constant(n) for n in names])
        return (", ".join(ident(n) for n in names),
                ",\n\t".join("(" + ", ".join(r) + ")" for r in rows))

    def insert(self):
        names, rows = self.rows(self.rng.choice([1, 1, 2, 4]))
        self.add("INSERT INTO %s (%s) VALUES\n\t%s;" % (
            self.table(self.pick_table()), names, rows))

    def where(self):
        divisor = self.rng.randint(1, 4)
        return "_uid %% %d = %d" % (divisor, self.rng.randrange(divisor))

    def assignments(self, alone=True):
        """"alone" is false where another row of the statement has the names."""
        names = self.writable()
        if not names:
            return "_uid = %s_uid" % ("" if alone else "excluded.")
        chosen = self.rng.sample(names, self.rng.randint(1, min(4, len(names))))
        return ", ".join(
            "%s = %s" % (ident(n), ident(n) if alone and self.chance(0.15) else
                         self.constant(n)) for n in chosen)

    def update(self):
        self.add("UPDATE %s SET %s WHERE %s;" % (
            self.table(self.pick_table()), self.assignments(), self.where()))

    def update_key(self):
        table = self.table(self.pick_table())
        key = self.new_key()
        self.add("UPDATE %s SET %s WHERE _uid = (SELECT max(_uid) FROM %s);" % (
            table, ", ".join("%s = %s" % (ident(n), self.key_constant(n, v))
                             for n, v in key.items()), table))

    def move(self):
        """Rows that go to other partitions, some of them back and forth."""
        if self.state.region is None:
            return
        region = ident(self.state.region)
        target = literal(self.rng.choice(REGIONS))
        if self.chance(0.5):
            target = "CASE %s WHEN %s THEN %s ELSE %s END" % ((region,) + tuple(
                literal(r) for r in self.rng.sample(REGIONS, 3)))
        extra = ", " + self.assignments() if self.chance(0.5) else ""
        self.add("UPDATE %s SET %s = %s%s WHERE %s;" % (
            self.table(), region, target, extra, self.where()))

    def move_beside(self):
        """Rows that move, and new ones, by one command."""
        if self.state.region is None:
            return
        names, rows = self.rows(self.rng.choice([1, 2]))
        self.add("WITH moved AS (UPDATE %s SET %s = %s WHERE %s)\n"
                 "\tINSERT INTO %s (%s) VALUES\n\t%s;" % (
                     self.table(), ident(self.state.region),
                     literal(self.rng.choice(REGIONS)), self.where(),
                     self.table(), names, rows))

    def move_unseen(self):
        """Rows change places while one partition publishes nothing."""
        attached = sorted(name for table, name in self.state.attachments
                          if table == 0)
        if self.state.region is None or not attached:
            return
        name = self.rng.choice(attached)
        part = self.table(self.rng.choice(["north", "south", "west"]))
        region = ident(self.state.region)
        one, two = self.rng.sample(REGIONS, 2)
        self.add("DO $do$ DECLARE was \"char\";\nBEGIN\n"
                 "\tSELECT tgenabled INTO STRICT was FROM pg_trigger"
                 " WHERE tgrelid = %s::regclass AND tgname = %s;\n"
                 "\tALTER TABLE %s DISABLE TRIGGER %s;\n"
                 "\tINSERT INTO model.off VALUES (%s::regclass, %s);\n"
                 "\tUPDATE %s SET %s = CASE %s WHEN %s THEN %s ELSE %s END"
                 " WHERE %s;\n"
                 "\tDELETE FROM model.off;\n"
                 "\tEXECUTE %s || CASE was WHEN 'D' THEN 'DISABLE'"
                 " WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END || %s;\n"
                 "END $do$;" % (
                     literal(part), literal(name), part, ident(name),
                     literal(part), literal(name), self.table(), region,
                     region, literal(one), literal(two), literal(one),
                     self.where(), literal("ALTER TABLE " + part + " "),
                     literal(" TRIGGER " + ident(name))))

    def delete(self):
        self.add("DELETE FROM %s WHERE %s AND _uid %% 3 <> 0;" % (
            self.table(self.pick_table()), self.where()))

    def upsert(self):
        names, values = self.row(self.old_key())
        action = "NOTHING"
        if self.chance(0.7):
            action = "UPDATE SET " + self.assignments(False)
        self.add("INSERT INTO %s (%s) VALUES (%s)\n"
                 "\tON CONFLICT (%s) DO %s;" % (
                     self.table(), ", ".join(ident(n) for n in names),
                     ", ".join(values),
                     ", ".join(ident(n) for n in self.state.key), action))

    def merge(self):
        keys = [self.old_key(), self.new_key()]
        if self.state.kind == "inherited":
            return
        names = list(keys[0])
        source = ", ".join("(" + ", ".join(
            self.key_constant(n, k[n]) for n in names) + ")" for k in keys)
        assignments = self.assignments()
        if self.state.region and self.chance(0.5):
            assignments = "%s = %s" % (ident(self.state.region),
                                       literal(self.rng.choice(REGIONS)))
        aliases = ["k%d" % i for i in range(len(names))]
        self.add("MERGE INTO %s AS t USING (VALUES %s) AS s(%s) ON %s\n"
                 "\tWHEN MATCHED AND t._uid %% 4 = 1 THEN DELETE\n"
                 "\tWHEN MATCHED THEN UPDATE SET %s\n"
                 "\tWHEN NOT MATCHED THEN INSERT (%s) VALUES (%s);" % (
                     self.table(), source, ", ".join(aliases),
                     " AND ".join("t.%s = s.%s" % (ident(n), a)
                                  for n, a in zip(names, aliases)),
                     assignments, ", ".join(ident(n) for n in names),
                     ", ".join("s." + a for a in aliases)))

    def copy(self):
        names = list(self.state.key) + self.rng.sample(
            self.writable(), self.rng.randint(0, len(self.writable())))
        lines = []
        for _ in range(self.rng.randint(1, 3)):
            key = self.new_key()
            lines.append("\t".join(copied(
                key[n] if n in key else self.value(self.state.columns[n].kind))
                for n in names))
        # not from stdin: psql would read the rows of a COPY that fails as SQL
        data = base64.b64encode(("\n".join(lines) + "\n").encode()).decode()
        self.add("COPY %s (%s) FROM PROGRAM 'echo %s | base64 -d';" % (
            self.table(), ", ".join(ident(n) for n in names), data))

    def exception(self):
        """plpgsql: a row kept, one lost with an error, one kept."""
        parts = []
        for _ in range(3):
            names, rows = self.rows(1)
            parts.append("INSERT INTO %s (%s) VALUES %s;" % (
                self.table(), names, rows))
        self.add("DO $do$ BEGIN\n\t%s\n\tBEGIN\n\t\t%s\n"
                 "\t\tUPDATE %s SET %s;\n\t\tPERFORM 1 / (_uid %% 2)"
                 " FROM %s;\n\tEXCEPTION WHEN division_by_zero THEN\n"
                 "\t\t%s\n\tEND;\nEND $do$;" % (
                     parts[0], parts[1], self.table(), self.assignments(),
                     self.table(), parts[2]))

    def recreate(self):
        """Rows deleted and inserted again by one statement."""
        names = self.writable(keys=True)
        listed = ", ".join(ident(n) for n in names)
        region = self.state.region
        self.add("WITH gone AS (DELETE FROM %s WHERE %s RETURNING *)\n"
                 "\tINSERT INTO %s (%s) SELECT %s FROM gone%s;" % (
                     self.table(), self.where(), self.table(), listed, listed,
                     "" if region is None else
                     " WHERE %s <> 'west'" % ident(region)))

    def truncate(self):
        self.add("TRUNCATE %s;" % self.table())
