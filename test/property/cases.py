"""A random case: a table, attachments, and transactions with DDL between.

Case(seed, number).units is a list of pieces of a psql script.  What a piece
does to the table is followed here only as far as the next pieces should make
sense; the model looks into the catalogs itself, and a statement that fails,
fails for both.
"""
import copy
import random

from ddl import Column, Ddl
from values import (KEYS, NAMES, PLAIN, TYPES, array, braces, ident,
                    literal)
from writes import REGIONS, Writes

HOT = {"text": ["booked", "cancelled", "a", ""],
       "varchar(300)": ["booked", "cancelled", "a"],
       "char(5)": ["a", "ab "], "types.mood": ["sad", "ok"],
       "int4": ["0", "1"], "boolean": ["t", "f"]}
RESOURCES = ["patient", "visit", "r_1", "x", "zone_9", "p" * 54]
ACTIONS = ["created", "updated", "deleted", "booked", "closed", "a1_b"]
HANDS = ["zz hand", 'hand"1', "a_hand", "рука", "m;hand"]


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

class Case(Ddl, Writes):
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

    # ---- pieces --------------------------------------------------------------

    def add(self, text):
        self.units.append(text)

    def chance(self, probability):
        return self.rng.random() < probability

    def table(self, index=0):
        """By its place in the state's names; "south": that partition."""
        if isinstance(index, str):
            return ident(self.schema) + ".part_" + index
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

    # ---- the table -----------------------------------------------------------

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
        if self.chance(0.2):
            self.add("CREATE TRIGGER \"яsay\" AFTER INSERT OR DELETE ON %s"
                     " FOR EACH ROW EXECUTE FUNCTION model.say();" %
                     self.table())

    def create_child(self, primary):
        self.state.names.append((self.schema, "child " + str(self.number)))
        self.add("CREATE TABLE %s (extra int, %s) INHERITS (%s);" % (
            self.table(1), primary, self.table()))
        self.watch(1)

    # ---- attachments ---------------------------------------------------------

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
        if self.state.region is not None and self.chance(0.4):
            index = self.rng.choice(["north", "south", "west"])
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

    # ---- transactions --------------------------------------------------------

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
