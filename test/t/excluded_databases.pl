# Applications are tested without Kafka: captured_events() shows what arrives
# in Kafka after the commit, and hcevents.excluded_databases keeps relay, slot
# and events away from test databases, however the setting or a name changes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Encode qw(encode_utf8);
use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(time);

my $kafka = HceTest::Kafka->start;

# As many slots as databases with a relay at the end; three are taken by hand
# at first.
my $node = hce_new_node(
	'main',
	kafka => $kafka,
	conf => "max_replication_slots = 4\nmax_wal_senders = 4\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION hcevents');

sub sql
{
	my ($database, $sql) = @_;
	return $node->safe_psql($database, $sql);
}

# Make the extension and an attached table; returns what the server said.
sub make_things
{
	my ($database) = @_;
	my ($status, undef, $stderr) = $node->psql($database, <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', '{name}');
SQL
	is($status, 0, "CREATE EXTENSION in $database") or diag($stderr);
	return $stderr;
}

sub insert
{
	my ($database, @names) = @_;
	return sql($database, join ';',
		map { "INSERT INTO things (name) VALUES ('$_')" } @names);
}

sub state_of
{
	my ($database) = @_;
	return sql('postgres', <<"SQL");
SELECT concat_ws('|', state, waiting_for, relay_pid, retained_wal_bytes)
FROM hcevents.status WHERE datname = '$database'
SQL
}

# Excluded, no relay, nothing retained.
sub is_excluded
{
	my ($database) = @_;
	my $wanted = 'excluded|hcevents.excluded_databases';
	return ok(hce_wait_until(sub { state_of($database) eq $wanted }, 30),
		"$database is excluded") || diag(state_of($database));
}

# Slots of databases that are excluded: none may be.
sub slots_of
{
	my ($database) = @_;
	return sql('postgres', <<"SQL");
SELECT count(*) FROM pg_replication_slots, pg_database
WHERE datname = '$database' AND slot_name = 'hcevents_' || oid
SQL
}

# "database name" of all messages about things, sorted.
sub content
{
	return [] if $kafka->count('healthcore.thing.created') == 0;
	return [
		sort map {
			"$_->{headers}{db} "
			  . decode_json(encode_utf8($_->{value}))->{data}{name}
		} $kafka->messages('healthcore.thing.created')
	];
}

sub exclude
{
	my ($patterns) = @_;
	sql('postgres', "ALTER SYSTEM SET hcevents.excluded_databases = $patterns");
	$node->reload;
	return;
}

# Duration of a command in seconds.
sub timed
{
	my ($sql) = @_;
	my $start = time();
	sql('postgres', $sql);
	return time() - $start;
}

hce_wait_for_relay($node);
$kafka->create_topics(1, 'healthcore.thing.created');

# What is shown is what arrives.

sql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', '{name}');
SQL
my @shown = split /\n/, sql('postgres', <<'SQL');
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO things (name) SELECT 'shown ' || n FROM generate_series(1, 900) n;
SAVEPOINT s;
INSERT INTO things (name) VALUES ('rolled back');
ROLLBACK TO s;
SAVEPOINT s;
INSERT INTO things (name) VALUES ('released "ä" \');
RELEASE s;
\pset tuples_only on
SELECT envelope FROM hcevents.captured_events();
COMMIT;
SQL
is(scalar @shown, 901, 'captured_events() shows 901 events');
hce_flush($node);
my @messages = $kafka->messages('healthcore.thing.created');
is_deeply([ sort map { encode_utf8($_->{value}) } @messages ],
	[ sort @shown ], 'and these envelopes, byte for byte, are what arrives');
is_deeply(
	[ map { $_->{headers}{event_id} } @messages ],
	[ map { decode_json($_)->{event_id} } @shown ],
	'in the same order, with the same ids');
my ($keys) = sql('postgres', <<'SQL');
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO things (name) VALUES ('with headers');
DO $$ BEGIN PERFORM hcevents.publish('thing.created', '{"thing_id": "x", "name": "by hand"}', headers => '{"trace": "1"}'); END $$;
SELECT string_agg(concat_ws('/', topic, key, headers->>'trace'), ' ') FROM hcevents.captured_events();
COMMIT;
SQL
hce_flush($node);
@messages = ($kafka->messages('healthcore.thing.created'))[ -2, -1 ];
is( join(' ',
		map { join '/', grep { defined } 'healthcore.thing.created', $_->{key}, $_->{headers}{trace} }
		  @messages),
	$keys,
	'topic, key and headers are those that arrive');

# Isolation: two sessions do not see each other's.

my @sessions = map { $node->background_psql('postgres', on_error_stop => 1) } 1, 2;
$_->query_safe('SET hcevents.keep_captured = on; BEGIN') foreach @sessions;
$sessions[0]->query_safe(q{INSERT INTO things (name) VALUES ('of session 1')});
is( $sessions[1]->query_safe('SELECT count(*) FROM hcevents.captured_events()'),
	'0',
	'another session does not see it');
$sessions[1]->query_safe(q{INSERT INTO things (name) VALUES ('of session 2')});
is( $sessions[$_]->query_safe(q{SELECT string_agg(data->>'name', ',') FROM hcevents.captured_events()}),
	'of session ' . ($_ + 1),
	'each session sees its own')
  foreach 0, 1;
$_->query_safe('ROLLBACK') foreach @sessions;
$_->quit foreach @sessions;

# PREPARE TRANSACTION ends the list

is( sql('postgres', <<'SQL'),
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO things (name) VALUES ('prepared');
SELECT count(*) FROM hcevents.captured_events();
PREPARE TRANSACTION 'p';
SELECT count(*) FROM hcevents.captured_events();
COMMIT PREPARED 'p';
SELECT count(*) FROM hcevents.captured_events();
SQL
	"1\n0\n0",
	'PREPARE TRANSACTION empties the list');
hce_flush($node);
my $before = content();
is((grep { /prepared/ } @$before), 1, 'and the event is published');

# A test database: with all slots taken, at once, without relay and slot

sql('postgres', "SELECT pg_create_physical_replication_slot('taken_$_', true)") foreach 1 .. 3;
sql('postgres', 'CREATE DATABASE test_clinic');
like(
	make_things('test_clinic'),
	qr/WARNING:  events of this database are captured but not delivered/,
	'CREATE EXTENSION says that the database is excluded');
is_excluded('test_clinic');
like(
	join('', ($node->psql('test_clinic', q{SELECT hcevents.flush('1 h')}))[ 1, 2 ]),
	qr/^f.*NOTICE:  nothing is delivered from this database/s,
	'flush() is false at once, and says why');
is(slots_of('test_clinic'), 0, 'without a slot');
unlike(slurp_file($node->logfile), qr/FATAL|no replication slot is free/, 'and without a word of slots in the log');
is( sql('test_clinic', <<'SQL'),
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO things (name) VALUES ('of a test');
SELECT event_type, key, data FROM hcevents.captured_events();
COMMIT;
SQL
	'thing.created|1|{"thing_id":1,"name":"of a test"}',
	'captured_events() works there');
is( sql('test_clinic', q{SELECT "check", status FROM hcevents.check() WHERE status NOT IN ('ok') AND "check" NOT LIKE 'max%'}),
	'relay|warning',
	'check() says it in one line');
like(
	sql('test_clinic', q{SELECT detail, hint FROM hcevents.check() WHERE "check" = 'relay'}),
	qr/^excluded.*hcevents\.excluded_databases matches its name/,
	'with a hint');
is(sql('test_clinic', q{SELECT hcevents.reset_stats(), hcevents.restart_relay(); SELECT count(*) FROM hcevents.gaps}), "|\n0", 'reset_stats() and restart_relay() do no harm');
is_excluded('test_clinic');

# As Django's test runner does it: clones, dropped again, each without a wait

foreach my $worker (1 .. 3)
{
	my $seconds = timed("CREATE DATABASE test_clinic_$worker TEMPLATE test_clinic");
	cmp_ok($seconds, '<', 3, "CREATE DATABASE … TEMPLATE test_clinic ($worker)");
	is_excluded("test_clinic_$worker");
	is( sql("test_clinic_$worker", <<'SQL'),
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO things (name) VALUES ('clone');
SELECT data->>'name' FROM hcevents.captured_events();
ROLLBACK;
SQL
		'clone',
		'captured_events() works in the clone');
}
cmp_ok(timed("DROP DATABASE test_clinic_$_"), '<', 3, "DROP DATABASE test_clinic_$_") foreach 1 .. 3;

# A rolled-back CREATE EXTENSION, and DROP EXTENSION

sql('postgres', 'CREATE DATABASE test_empty');
sql('test_empty', 'BEGIN; CREATE EXTENSION hcevents; ROLLBACK');
sql('test_empty', 'CREATE EXTENSION hcevents; DROP EXTENSION hcevents');
ok(hce_wait_until(sub { state_of('test_empty') eq '' }, 20), 'DROP EXTENSION leaves nothing');
sql('postgres', 'DROP DATABASE test_empty');

# The same after a crash, and after a restart

$node->stop('immediate');
$node->start;
is_excluded('test_clinic');
$node->restart;
is_excluded('test_clinic');
insert('test_clinic', 'while excluded');
is_deeply(content(), $before, 'nothing of a test database has reached Kafka');

# Excluded no more, by a reload: it goes on where it was

sql('postgres', "SELECT pg_drop_replication_slot('taken_$_')") foreach 1 .. 3;
exclude(q{'nothing_*'});
hce_wait_for_relay($node, 'streaming', 'test_clinic');
insert('test_clinic', 'from now on');
hce_flush($node, 'test_clinic');
push @$before, map { "test_clinic $_" } 'of a test', 'while excluded', 'from now on';
is_deeply(content(), [ sort @$before ], 'it delivers what the WAL has');
is(sql('test_clinic', 'SELECT count(*) FROM hcevents.gaps'), 0, 'no gap: nothing was removed');
is(slots_of('test_clinic'), 1, 'it has a slot');

# It delivers, so the default, which is a guess, does not touch it any more

sql('postgres', 'ALTER SYSTEM RESET hcevents.excluded_databases');
$node->reload;
is(sql('postgres', 'SHOW hcevents.excluded_databases'), 'test_*', 'the default matches its name');
$node->restart;
hce_wait_for_relay($node, 'streaming', 'test_clinic');
insert('test_clinic', 'under the default');
hce_flush($node, 'test_clinic');
push @$before, 'test_clinic under the default';
is_deeply(content(), [ sort @$before ], 'and it delivers all the same, also after a restart');

# Excluded by a reload with undelivered events: a warning, no slot, no loss

$kafka->pause;
my $log_from = -s $node->logfile;
insert('test_clinic', map { "late $_" } 1 .. 5);
ok( $node->poll_query_until('test_clinic', 'SELECT sum(pending) = 5 FROM hcevents.delivery_stats'),
	'5 events are pending');
exclude(q{'test_*', 'unused'});
is_excluded('test_clinic');
is(slots_of('test_clinic'), 0, 'the slot is dropped');
like(
	slurp_file($node->logfile, $log_from),
	qr/WARNING:  database "test_clinic" is excluded by hcevents.excluded_databases: .*5 events that were captured are not delivered/s,
	'a warning has the number of undelivered events');
insert('test_clinic', 'late 6');
$kafka->resume;
exclude(q{''});
hce_wait_for_relay($node, 'streaming', 'test_clinic');
hce_flush($node, 'test_clinic');
push @$before, map { "test_clinic late $_" } 1 .. 6;
is_deeply([ uniq(@{ content() }) ], [ sort @$before ], 'they are delivered when it is excluded no more');
is(sql('test_clinic', 'SELECT count(*) FROM hcevents.gaps'), 0, 'and there is no gap');

# What the WAL lacks by then is a gap; what was parked is delivered

sql('test_clinic', q{SELECT hcevents.pause('thing.created')});
sql('postgres', q{ALTER DATABASE test_clinic SET hcevents.max_retained_wal = '1MB'});
insert('test_clinic', map { "parked $_" } 1 .. 4);
sql('test_clinic', q{SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1000000))) FROM generate_series(1, 40)});
ok( $node->poll_query_until('test_clinic', 'SELECT count(*) = 4 FROM hcevents.parked_events'),
	'4 events are parked');
exclude(q{'test_*'});
is_excluded('test_clinic');
insert('test_clinic', map { "lost $_" } 1 .. 3);
my $lost_to = sql('postgres', 'SELECT pg_current_wal_insert_lsn()');
sql('postgres', q{SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1000000))) FROM generate_series(1, 200)});
# the slot of the other database must not keep it
insert('postgres', 'goes on');
push @$before, 'postgres goes on';
hce_flush($node);
ok( $node->poll_query_until('postgres', "SELECT min(restart_lsn) > '$lost_to'::pg_lsn + 33554432 FROM pg_replication_slots"),
	'no slot keeps the WAL');
sql('postgres', 'CHECKPOINT') foreach 1, 2;
cmp_ok(timed('ALTER DATABASE test_clinic RENAME TO clinic'), '<', 5, 'a rename out of the pattern');
hce_wait_for_relay($node, 'streaming', 'clinic');
is( sql('clinic', q{SELECT count(*), bool_and(from_lsn < to_lsn) FROM hcevents.gaps WHERE cause = 'the replication slot was missing'}),
	'1|t',
	'WAL that is gone is a gap');
insert('clinic', 'renamed');
sql('clinic', q{SELECT hcevents.resume('thing.created')});
hce_flush($node, 'clinic');
push @$before, 'clinic renamed', map { "clinic parked $_" } 1 .. 4;
is_deeply([ uniq(@{ content() }) ], [ sort @$before ], 'parked events are delivered');
is( sql('clinic', q{SELECT captured = delivered + pending + parked + dead, parked FROM hcevents.delivery_stats}),
	't|0',
	'the counters agree');
cmp_ok(timed('ALTER DATABASE clinic RENAME TO test_again'), '<', 5, 'a rename into a pattern that somebody set');
is_excluded('test_again');

# Set while the server is down

$node->stop('immediate');
$node->append_conf('postgresql.auto.conf', "hcevents.excluded_databases = 'unused'\n");
$node->start;
hce_wait_for_relay($node, 'streaming', 'test_again');
$node->stop;
$node->append_conf('postgresql.auto.conf', "hcevents.excluded_databases = 'test_*'\n");
$node->start;
is_excluded('test_again');
is(slots_of('test_again'), 0, 'the slot of an excluded database is dropped at the start');

# A copy of a database that publishes, excluded by its name, and then not

sql('postgres', 'ALTER DATABASE test_again RENAME TO live');
hce_wait_for_relay($node, 'streaming', 'live');
hce_flush($node, 'live');
cmp_ok(timed('CREATE DATABASE test_live TEMPLATE live'), '<', 5, 'a copy of a database with a relay');
is_excluded('test_live');
hce_wait_for_relay($node, 'streaming', 'live');
insert('test_live', 'copied');
# without a relay it resumes nothing, not later either
sql('test_live', 'SELECT hcevents.resume()');
exclude(q{''});
hce_wait_for_relay($node, 'paused', 'test_live');
insert('test_live', 'copied, paused');
sql('test_live', 'SELECT hcevents.resume()');
hce_wait_for_relay($node, 'streaming', 'test_live');
insert('test_live', 'copied, resumed');
hce_flush($node, 'test_live');
is_deeply(
	[ grep { /^test_live/ } @{ content() } ],
	['test_live copied, resumed'],
	'a copy publishes nothing before resume()');

# One that nobody can connect to: nothing keeps its WAL all the same

sql('postgres', 'ALTER DATABASE live ALLOW_CONNECTIONS false');
exclude(q{'live'});
is_excluded('live');
ok(hce_wait_until(sub { slots_of('live') eq '0' }, 10), 'the slot of a closed database is dropped');
sql('postgres', 'ALTER DATABASE live ALLOW_CONNECTIONS true');
exclude(q{''});
hce_wait_for_relay($node, 'streaming', 'live');

# A standby keeps no slot of an excluded database, whatever it is told itself,
# nor of a copy, whose position stands still as well

exclude(q{'test_*'});
is_excluded('test_live');
sql('postgres', 'CREATE DATABASE copy TEMPLATE live');
hce_wait_for_relay($node, 'paused', 'copy');
ok( $node->poll_query_until('postgres', <<'SQL'), 'the label of one that did deliver says that it is excluded');
SELECT label = 'excluded' FROM pg_shseclabel, pg_database
WHERE datname = 'test_live' AND objoid = oid AND provider = 'hcevents'
SQL
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.auto.conf', "hcevents.excluded_databases = ''");
$standby->start;
ok( $standby->poll_query_until('postgres', <<'SQL'), 'a standby keeps the slots of those that publish, and no other');
SELECT (SELECT string_agg(d.datname, ' ' ORDER BY d.datname) FROM pg_replication_slots, pg_database d WHERE slot_name = 'hcevents_' || d.oid)
  = 'live postgres'
SQL
is( $standby->safe_psql('postgres', q{SELECT state FROM hcevents.status WHERE datname = 'test_live'}),
	'excluded', 'and says so');
is( $standby->safe_psql('postgres', q{SELECT state, waiting_for FROM hcevents.status WHERE datname = 'copy'}),
	'standby|', 'nothing is missing for a copy');
$standby->stop;

# A dump that is restored says whether its original delivered

sql('postgres', 'ALTER SYSTEM RESET hcevents.excluded_databases');
$node->reload;
sql('postgres', q{CREATE DATABASE test_restored; SECURITY LABEL FOR hcevents ON DATABASE test_restored IS 'on'});
sql('postgres', 'DROP DATABASE copy');
sql('test_restored', 'CREATE EXTENSION hcevents');
hce_wait_for_relay($node, 'streaming', 'test_restored');
$node->stop;

# A server that can have no slot at all, as in many a CI job

my $small = hce_new_node(
	'small',
	conf => "wal_level = minimal\nmax_wal_senders = 0\nmax_replication_slots = 0\n");
$small->start;
$small->safe_psql('postgres', 'CREATE DATABASE test_small');
$small->safe_psql('test_small', <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', '{name}');
SQL
ok( $small->poll_query_until('test_small', <<'SQL'), 'an excluded database at wal_level = minimal, without slots');
SELECT state = 'excluded' FROM hcevents.status
SQL
is( $small->safe_psql('test_small', <<'SQL'), "1\n0", 'captures and shows events');
SET hcevents.keep_captured = on;
BEGIN;
INSERT INTO things (name) VALUES ('small');
SELECT count(*) FROM hcevents.captured_events();
COMMIT;
SELECT count(*) FROM hcevents.captured_events();
SQL
like(
	($small->psql('postgres', 'CREATE EXTENSION hcevents'))[2],
	qr/hcevents needs wal_level/,
	'while others are refused');

done_testing();
