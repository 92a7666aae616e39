"""A random case: a table, attachments, and transactions with DDL between.

Case(seed, number).units is a list of pieces of a psql script.  What a piece
does to the table is followed here only as far as the next pieces should make
sense; the model looks into the catalogs itself, and a statement that fails,
fails for both.
"""
import base64
import copy
import random

from values import (CONVERT, KEYS, NAMES, PLAIN, TARGETS, TYPES, array, braces,
                    copied, ident, literal)

HOT = {"text": ["booked", "cancelled", "a", ""],
       "varchar(300)": ["booked", "cancelled", "a"],
       "char(5)": ["a", "ab "], "types.mood": ["sad", "ok"],
       "int4": ["0", "1"], "boolean": ["t", "f"]}
RESOURCES = ["patient", "visit", "r_1", "x", "zone_9", "p" * 54]
ACTIONS = ["created", "updated", "deleted", "booked", "closed", "a1_b"]
HANDS = ["zz hand", 'hand"1', "a_hand", "рука", "m;hand"]
REGIONS = ["north", "south", "west", "east"]


class Column:
    """What the generator remembers of a column."""

    def __init__(self, kind, writable=True):
        self.kind = kind
        self.writable = writable
        self.fixed = False      # something depends on its type


class Attachment:
    """Names of columns that it uses, as they are now."""

    def __init__(self, table, resource, hand):
        self.table = table
        self.resource = resource
        self.hand = hand
        self.call = None
        self.columns = set()
        self.keys = set()
        self.primary = False

    def rename(self, old, new):
        for names in (self.columns, self.keys):
            if old in names:
                names.remove(old)
                names.add(new)


class State:
    """The table as the script has made it so far."""

    def __init__(self):
        self.names = []         # (schema, name) of the table, and of a child
        self.kind = "plain"
        self.columns = {}
        self.key = []
        self.attachments = {}   # by (table, trigger name)
        self.partitions = []


class Case:
    """The script of one case."""

    def __init__(self, seed, number):
        self.rng = random.Random("%s/%s" % (seed, number))
        self.number = number
        self.schema = "case %d" % number
        self.units = []
        self.state = State()
        self.keys_made = 0
        self.depth = 0
        self.ddl_seen = False
        self.create()
        for _ in range(self.rng.randint(1, 3)):
            self.attach()
        for _ in range(self.rng.randint(3, 8)):
            self.transaction()

    # ---- pieces ----------------------------------------------------------

    def add(self, text):
        self.units.append(text)

    def chance(self, probability):
        return self.rng.random() < probability

    def table(self, index=0):
        schema, name = self.state.names[index]
        return ident(schema) + "." + ident(name)

    def regclass(self, index=0):
        return literal(self.table(index)) + "::regclass"

    def new_name(self, taken):
        return self.rng.choice([n for n in NAMES if n not in taken])

    def value(self, kind):
        """A value as text, or None."""
        if self.chance(0.15):
            return None
        if kind in HOT and self.chance(0.6):
            return self.rng.choice(HOT[kind])
        return self.rng.choice(TYPES[kind])

    def constant(self, name):
        column = self.state.columns[name]
        if name == self.state.region:
            return literal(self.rng.choice(REGIONS))
        value = self.value(column.kind)
        if value is None:
            return "NULL"
        return "%s::%s" % (literal(value), column.kind)

    def new_key(self):
        """Texts of the key's columns; no two calls give the same."""
        number = self.keys_made
        self.keys_made += 1
        result = {}
        for place, name in enumerate(self.state.key):
            if name == self.state.region:
                result[name] = self.rng.choice(REGIONS)
            else:
                maker = KEYS[self.state.columns[name].kind]
                result[name] = maker(number if place == 0 else
                                     self.rng.randint(0, 9))
        return result

    def old_key(self):
        """A key that was perhaps used before."""
        made = self.keys_made
        self.keys_made = self.rng.randrange(max(made, 1))
        result = self.new_key()
        self.keys_made = max(made, 1)
        return result

    def writable(self, keys=False):
        return [n for n, c in self.state.columns.items()
                if c.writable and (keys or n not in self.state.key)]

    # ---- the table -------------------------------------------------------

    def create(self):
        state = self.state
        rng = self.rng
        state.kind = rng.choices(["plain", "partitioned", "inherited"],
                                 [5, 4, 2])[0]
        state.region = None
        kinds = []
        for _ in range(rng.choices([1, 2, 3], [6, 3, 1])[0]):
            kinds.append((True, rng.choice(list(KEYS))))
        for _ in range(rng.randint(0, 9)):
            kinds.append((False, rng.choice(
                list(HOT) if self.chance(0.3) else list(TYPES))))
        for is_key, kind in kinds:
            name = self.new_name(state.columns)
            state.columns[name] = Column(kind)
            if is_key:
                state.key.append(name)
        if state.kind == "partitioned":
            state.region = self.new_name(state.columns)
            state.columns[state.region] = Column("text")
            state.columns[state.region].fixed = True
            state.key.append(state.region)
        self.add("CREATE SCHEMA %s;\nCREATE SCHEMA %s;" % (
            ident(self.schema), ident(self.schema + "b")))
        state.names.append((self.schema, self.new_name([])))
        order = list(state.columns)
        rng.shuffle(order)
        lines = ["%s %s" % (ident(n), state.columns[n].kind) for n in order]
        if self.chance(0.3):
            lines.insert(rng.randint(0, len(lines)), '"_dropped" text')
        sources = [n for n in order
                   if state.columns[n].kind in ("text", "varchar(300)")
                   and n not in state.key]
        if sources and state.kind == "plain" and self.chance(0.5):
            source = rng.choice(sources)
            made = self.new_name(state.columns)
            state.columns[source].fixed = True
            state.columns[made] = Column("text", writable=False)
            state.columns[made].fixed = True
            lines.append("%s text GENERATED ALWAYS AS (upper(%s)) STORED" % (
                ident(made), ident(source)))
        lines.append("_uid bigint DEFAULT nextval('model.uid')")
        rng.shuffle(lines)
        primary = "PRIMARY KEY (%s)" % ", ".join(ident(n) for n in state.key)
        self.add("CREATE TABLE %s (\n\t%s,\n\t%s)%s;" % (
            self.table(), ",\n\t".join(lines), primary,
            "" if state.region is None else
            " PARTITION BY LIST (%s)" % ident(state.region)))
        if any('"_dropped"' in line for line in lines):
            self.add('ALTER TABLE %s DROP COLUMN "_dropped";' % self.table())
        self.watch(0)
        if state.kind == "partitioned":
            self.create_partitions(order)
        if state.kind == "inherited":
            self.create_child(primary)

    def watch(self, index):
        self.add(
            "CREATE TRIGGER model_watch AFTER INSERT OR UPDATE OR DELETE ON %s"
            " FOR EACH ROW EXECUTE FUNCTION model.watch();\n"
            "ALTER TABLE %s ENABLE ALWAYS TRIGGER model_watch;"
            % (self.table(index), self.table(index)))

    def create_partitions(self, order):
        """One plain, one with another order of columns, one divided again."""
        part = ident(self.schema) + ".part_%s"
        state = self.state
        self.add("CREATE TABLE %s PARTITION OF %s FOR VALUES IN ('north');" % (
            part % "north", self.table()))
        lines = ["gone int", "_uid bigint DEFAULT nextval('model.uid')"]
        lines += ["%s %s%s" % (ident(n), state.columns[n].kind,
                               " NOT NULL" if n in state.key else "")
                  for n in order]
        self.rng.shuffle(lines)
        self.add("CREATE TABLE %s (\n\t%s);\n"
                 "ALTER TABLE %s DROP COLUMN gone;\n"
                 "ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN ('south');"
                 % (part % "south", ",\n\t".join(lines), part % "south",
                    self.table(), part % "south"))
        self.add("CREATE TABLE %s PARTITION OF %s DEFAULT"
                 " PARTITION BY LIST (%s);\n"
                 "CREATE TABLE %s PARTITION OF %s FOR VALUES IN ('west');\n"
                 "CREATE TABLE %s PARTITION OF %s DEFAULT;" % (
                     part % "rest", self.table(), ident(state.region),
                     part % "west", part % "rest",
                     part % "other", part % "rest"))
        if self.chance(0.2):
            self.add("CREATE TRIGGER swallow BEFORE INSERT ON %s FOR EACH ROW"
                     " EXECUTE FUNCTION model.swallow();" % (part % "west"))

    def create_child(self, primary):
        self.state.names.append((self.schema, "child " + str(self.number)))
        self.add("CREATE TABLE %s (extra int, %s) INHERITS (%s);" % (
            self.table(1), primary, self.table()))
        self.watch(1)

    # ---- attachments -----------------------------------------------------

    def members(self, names, reserved, renames=0.4):
        """Elements of a list for these columns, no name published twice."""
        published = set(reserved)
        result = []
        for name in names:
            element = name
            shown = name
            if self.chance(renames) or name in published:
                shown = self.new_name(published)
                element = shown + ":" + name
            if shown in published:
                continue
            published.add(shown)
            result.append(element)
        return result

    def some_columns(self):
        names = list(self.state.columns) + ["_uid"]
        return self.rng.sample(names, self.rng.randint(0, len(names)))

    def key_list(self, attachment):
        if self.chance(0.65):
            attachment.keys = set(self.state.key)
            attachment.primary = True
            return None
        names = self.rng.sample(list(self.state.columns),
                                min(len(self.state.columns),
                                    self.rng.choice([1, 1, 2, 3])))
        attachment.keys = set(names)
        return self.members(names, [], 0.3)

    def transitions(self, attachment):
        """JSON of random transitions."""
        names = [n for n in self.state.columns
                 if self.state.columns[n].kind in HOT]
        result = []
        for _ in range(self.rng.choice([0, 0, 1, 2, 3]) if names else 0):
            name = self.rng.choice(names)
            values = [v.rstrip() for v in HOT[self.state.columns[name].kind]]
            item = ["'column', %s" % literal(name),
                    "'to', %s" % literal(self.rng.choice(values)),
                    "'event', %s" % literal(self.rng.choice(ACTIONS))]
            if self.chance(0.4):
                item.append("'from', %s" % literal(self.rng.choice(values)))
            attachment.columns.add(name)
            result.append("jsonb_build_object(%s)" % ", ".join(item))
        return "jsonb_build_array(%s)" % ", ".join(result)

    def attach(self):
        index = self.rng.randrange(len(self.state.names))
        resource = self.rng.choice(RESOURCES)
        trigger = "hcevents_" + resource
        known = self.state.attachments.get((index, trigger))
        if known is not None and known.call and self.chance(0.3):
            self.add(known.call)    # as it was written then
            return
        attachment = Attachment(index, resource, False)
        key = self.key_list(attachment)
        if self.chance(0.15):
            columns = ["*"]
            attachment.columns = set(self.state.columns)
        else:
            names = self.some_columns()
            columns = self.members(names, [resource + "_id"])
            attachment.columns = set(names)
        actions = [literal(a if self.chance(0.8) else None)
                   for a in self.rng.sample(ACTIONS, 3)]
        args = "%s, %s, %s, %s, %s" % (
            self.regclass(index), literal(resource), array(columns),
            ", ".join(actions), self.transitions(attachment))
        attachment.call = (
            "SELECT hcevents.attach(%s, %s), model.attach(%s, %s);"
            % (args, array(key), args, array(key)))
        self.add(attachment.call)
        self.state.attachments[(index, trigger)] = attachment

    def by_hand(self):
        index = self.rng.randrange(len(self.state.names))
        name = self.rng.choice(HANDS)
        if (index, name) in self.state.attachments:
            return
        attachment = Attachment(index, self.rng.choice(RESOURCES[:4]), True)
        ops = self.rng.sample(["INSERT", "UPDATE", "DELETE"],
                              self.rng.randint(1, 3))
        key = self.key_list(attachment)
        names = self.some_columns()
        columns = self.members(names, [attachment.resource + "_id"])
        attachment.columns = set(names)
        when = condition = ""
        simple = [n for n in self.state.columns
                  if self.state.columns[n].kind in PLAIN]
        if ops == ["UPDATE"] and simple and self.chance(0.7):
            condition = self.rng.choice(simple)
            self.state.columns[condition].fixed = True
            when = " WHEN (OLD.%s IS DISTINCT FROM NEW.%s)" % (
                ident(condition), ident(condition))
        event = attachment.resource + "." + self.rng.choice(ACTIONS)
        args = [event]
        if columns:
            args.append("columns=" + self.list_text(columns))
        if key is not None:
            args.append("key=" + self.list_text(key))
        create = "CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW%s" \
            " EXECUTE FUNCTION hcevents.emit(%s)" % (
                ident(name), " OR ".join(ops), self.table(index), when,
                ", ".join(literal(a) for a in args))
        self.both(create, "model.by_hand(%s, %s, %s, %s, %s, %s, %s)" % (
            self.regclass(index), literal(name), literal(event), array(ops),
            literal(condition or None), array(columns), array(key)))
        self.state.attachments[(index, name)] = attachment

    def list_text(self, elements):
        """In an argument: an array, or with commas where that says the same."""
        if all(e.replace("_", "").replace(":", "").isalnum()
               for e in elements) and self.chance(0.5):
            return self.rng.choice([",", ", "]).join(elements)
        return braces(elements)

    def both(self, command, call):
        """A command and what the model makes of it, or neither."""
        self.add("DO $both$ BEGIN\n\tEXECUTE %s;\n\tPERFORM %s;\nEND $both$;"
                 % (literal(command), call))

    # ---- DDL -------------------------------------------------------------

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
        chosen = [a for a in self.state.attachments.values()]
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
        index, name = self.rng.choice(sorted(self.state.attachments))
        word, mode = self.rng.choice([("DISABLE", "D"), ("ENABLE", "O"),
                                      ("ENABLE ALWAYS", "A")])
        self.both("ALTER TABLE %s %s TRIGGER %s" % (
            self.table(index), word, ident(name)),
            "model.set_enabled(%s, %s, %s)" % (
                self.regclass(index), literal(name), literal(mode)))

    def drop_trigger(self):
        if not self.state.attachments:
            return
        index, name = self.rng.choice(sorted(self.state.attachments))
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

    # ---- DML -------------------------------------------------------------

    def dml(self):
        before = len(self.units)
        while len(self.units) == before:
            self.rng.choices(
                [self.insert, self.update, self.update_key, self.move,
                 self.delete, self.upsert, self.merge, self.copy,
                 self.exception, self.recreate, self.truncate],
                [8, 8, 2, 4, 3, 3, 3, 3, 2, 1, 0.3])[0]()

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
                 "\tWHEN MATCHED AND t._uid %% 3 = 0 THEN DELETE\n"
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

    # ---- transactions ----------------------------------------------------

    def step(self, ddl):
        if ddl and self.chance(0.25):
            self.ddl()
        elif self.chance(0.15):
            self.savepoint(ddl)
        else:
            self.dml()

    def savepoint(self, ddl):
        if self.depth > 3:
            return
        self.depth += 1
        name = "s%d" % self.depth
        before = copy.deepcopy(self.state)
        self.add("SAVEPOINT %s;" % name)
        for _ in range(self.rng.randint(0, 4)):
            self.step(ddl)
        end = self.rng.choice(["RELEASE", "ROLLBACK TO", "both", "open"])
        if end == "RELEASE":
            self.add("RELEASE %s;" % name)
        elif end != "open":
            self.add("ROLLBACK TO %s;" % name)
            self.state = before
            if end == "both":
                self.add("RELEASE %s;" % name)
        self.depth -= 1

    def transaction(self):
        kind = self.rng.choices(["auto", "commit", "rollback", "prepare",
                                 "strict"], [3, 6, 1, 2, 1])[0]
        if kind == "auto":
            for _ in range(self.rng.randint(1, 4)):
                if self.chance(0.35):
                    self.ddl()
                else:
                    self.dml()
            return
        before = copy.deepcopy(self.state)
        self.ddl_seen = False
        if kind == "strict":        # the first error ends it
            self.add("\\set ON_ERROR_ROLLBACK off")
        self.add("BEGIN;")
        local = self.rng.choice([
            "SET LOCAL hcevents.enabled = off;",
            "SET LOCAL session_replication_role = replica;",
            "SET LOCAL hcevents.source = %s;" % literal('s "1" ü\\')])
        if self.chance(0.12):
            self.add(local)
        for _ in range(self.rng.randint(1, 6)):
            self.step(kind != "strict")
        self.end(kind, before)

    def end(self, kind, before):
        name = "hce %d %d" % (self.number, len(self.units))
        if kind == "prepare":
            self.add("PREPARE TRANSACTION %s;" % literal(name))
            if not self.ddl_seen and self.chance(0.6):
                self.insert()
            if self.chance(0.3):
                kind = "rollback"
            self.add("SELECT model.commits_now(%s);\n%s PREPARED %s;" % (
                literal(name), "ROLLBACK" if kind == "rollback" else "COMMIT", literal(name)))
        else:
            self.add("ROLLBACK;" if kind == "rollback" else "COMMIT;")
        if kind == "strict":
            self.add("\\set ON_ERROR_ROLLBACK on")
        if kind == "rollback":
            self.state = before
