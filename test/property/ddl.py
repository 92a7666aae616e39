"""The DDL of a random case."""
from values import CONVERT, TARGETS, TYPES, ident, literal


class Column:
    """What the generator remembers of a column."""

    def __init__(self, kind, writable=True):
        self.kind = kind
        self.writable = writable
        self.fixed = False      # something depends on its type


class Ddl:
    """Columns, names, triggers and partitions change."""

    def ddl(self):
        self.ddl_seen = True
        before = len(self.units)
        while len(self.units) == before:
            self.rng.choices(
                [self.attach, self.by_hand, self.detach, self.add_column,
                 self.drop_column, self.rename_column, self.swap_columns,
                 self.change_type, self.rename_table, self.set_schema,
                 self.switch_trigger, self.drop_trigger, self.partition,
                 self.same_key],
                [5, 2, 1, 3, 3, 6, 1, 3, 2, 1, 2, 1, 1, 1])[0]()

    def detach(self):
        chosen = [a for a in self.state.attachments.values()
                  if not isinstance(a.table, str)]
        if not chosen:
            return
        one = self.rng.choice(chosen)
        resource = one.resource if self.chance(0.8) else None
        self.add("SELECT hcevents.detach(%s, %s), model.detach(%s, %s);" % (
            (self.regclass(one.table), literal(resource)) * 2))
        for place, a in list(self.state.attachments.items()):
            if a.table == one.table and resource in (None, a.resource):
                del self.state.attachments[place]

    def add_column(self):
        if len(self.state.columns) >= 14:
            return
        name = self.new_name(self.state.columns)
        kind = self.rng.choice(list(TYPES))
        default = ""
        if self.chance(0.5) and kind != "json":
            default = " DEFAULT %s" % literal(self.rng.choice(TYPES[kind]))
        self.add("ALTER TABLE %s ADD COLUMN %s %s%s;" % (
            self.table(), ident(name), kind, default))
        self.state.columns[name] = Column(kind)

    def drop_column(self):
        name = self.rng.choice(list(self.state.columns))
        used = [a for a in self.state.attachments.values()
                if name in a.columns or name in a.keys]
        skip = self.chance(0.6 if used else 0.2)
        drop = "ALTER TABLE %s DROP COLUMN %s CASCADE;" % (
            self.table(), ident(name))
        if self.state.columns[name].fixed or name in self.state.key:
            return
        if skip:
            drop = "SET hcevents.on_missing_column = skip;\n%s\n" \
                "RESET hcevents.on_missing_column;" % drop
        self.add(drop)
        refused = used and not skip or any(name in a.keys for a in used)
        if not refused:
            del self.state.columns[name]
            for a in self.state.attachments.values():
                a.columns.discard(name)

    def rename(self, old, new):
        self.add("ALTER TABLE %s RENAME COLUMN %s TO %s;" % (
            self.table(), ident(old), ident(new)))
        state = self.state
        state.columns = {new if n == old else n: c
                         for n, c in state.columns.items()}
        state.key = [new if n == old else n for n in state.key]
        if state.region == old:
            state.region = new
        for a in state.attachments.values():
            a.rename(old, new)

    def rename_column(self):
        old = self.rng.choice(list(self.state.columns))
        new = self.new_name(self.state.columns)
        self.rename(old, new)
        if self.chance(0.3):
            self.dml()
            self.rename(new, old)

    def swap_columns(self):
        if len(self.state.columns) < 2:
            return
        one, two = self.rng.sample(list(self.state.columns), 2)
        self.rename(one, "swapping")
        self.rename(two, one)
        self.rename("swapping", two)

    def change_type(self):
        names = [n for n in self.state.columns
                 if not self.state.columns[n].fixed
                 and n not in self.state.key]
        if not names:
            return
        name = self.rng.choice(names)
        kind = self.rng.choice(TARGETS)
        self.add("ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT,"
                 " ALTER COLUMN %s TYPE %s USING %s;" % (
                     self.table(), ident(name), ident(name), kind,
                     CONVERT[kind] % ident(name)))
        self.state.columns[name].kind = kind

    def rename_table(self):
        schema, old = self.state.names[0]
        new = self.new_name([old])
        self.add("ALTER TABLE %s RENAME TO %s;" % (self.table(), ident(new)))
        self.state.names[0] = (schema, new)

    def set_schema(self):
        schema, name = self.state.names[0]
        new = self.schema + "b" if schema == self.schema else self.schema
        self.add("ALTER TABLE %s SET SCHEMA %s;" % (self.table(), ident(new)))
        self.state.names[0] = (new, name)

    def switch_trigger(self):
        if not self.state.attachments:
            return
        index, name = self.rng.choice(
            sorted(self.state.attachments, key=str))
        word, mode = self.rng.choice([("DISABLE", "D"), ("ENABLE", "O"),
                                      ("ENABLE ALWAYS", "A")])
        self.both("ALTER TABLE %s %s TRIGGER %s" % (
            self.table(index), word, ident(name)),
            "model.set_enabled(%s, %s, %s)" % (
                self.regclass(index), literal(name), literal(mode)))

    def drop_trigger(self):
        if not self.state.attachments:
            return
        index, name = self.rng.choice(
            sorted(self.state.attachments, key=str))
        skip = self.chance(0.5)
        if skip:
            self.add("SET hcevents.on_missing_column = skip;")
        self.both("DROP TRIGGER %s ON %s" % (ident(name), self.table(index)),
                  "model.forget(%s, %s)" % (
                      self.regclass(index), literal(name)))
        if skip:
            self.add("RESET hcevents.on_missing_column;")
            del self.state.attachments[(index, name)]

    def partition(self):
        if self.state.kind != "partitioned":
            return
        part = ident(self.schema) + ".part_north"
        between = ""
        if self.chance(0.5):
            between = "DELETE FROM %s WHERE _uid %% 2 = 0;\n" % part
        self.add("ALTER TABLE %s DETACH PARTITION %s;\n%s"
                 "ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN ('north');"
                 % (self.table(), part, between, self.table(), part))

    def same_key(self):
        """A primary key dropped and made again."""
        if self.state.kind == "inherited":
            return
        self.add("DO $both$ DECLARE name text; BEGIN\n"
                 "\tSELECT conname INTO name FROM pg_constraint"
                 " WHERE conrelid = %s AND contype = 'p';\n"
                 "\tEXECUTE format(%s, name);\n\tEXECUTE %s;\nEND $both$;" % (
                     self.regclass(),
                     literal("ALTER TABLE %s DROP CONSTRAINT %%I" %
                             self.table().replace("%", "%%")),
                     literal("ALTER TABLE %s ADD PRIMARY KEY (%s)" % (
                         self.table(),
                         ", ".join(ident(n) for n in self.state.key)))))
