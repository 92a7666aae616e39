# When no relay can run for a database, the launcher says so in the log: once
# when it begins or the reason changes, and again when the WAL that is retained
# passes the limit and each doubling of it.  status and check() show it, and
# delivery goes on when there is room.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
# one worker for the launcher, one for logical replication, one relay
my $node = hce_node(
	'main',
	kafka => $kafka,
	conf => <<'CONF');
wal_level = replica
max_worker_processes = 4
max_wal_size = 64MB
hcevents.topic = '%p.%r'
hcevents.max_retained_wal = '1GB'
CONF
foreach my $database ('postgres', 'closed')
{
	$node->safe_psql('postgres', "CREATE DATABASE $database")
	  if $database ne 'postgres';
	# a database's own limit counts
	$node->safe_psql('postgres',
		"ALTER DATABASE $database SET hcevents.max_retained_wal = '32MB'");
	my $resource = $database eq 'postgres' ? 'thing' : 'secret';
	$node->safe_psql($database, <<"SQL");
CREATE EXTENSION IF NOT EXISTS hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', '$resource', columns => '{name}');
INSERT INTO things (name) VALUES ('first');
SQL
	hce_flush($node, $database);
}

# WARNINGs of the launcher about a database, from a place in the log on.
sub alarms
{
	my ($database, $from) = @_;
	my $log = slurp_file($node->logfile, $from // 0);
	return $log =~ /hcevents launcher +WARNING:  (no relay runs for database "$database".*)\n.*DETAIL:  (.*)\n.*HINT:  (.*)/g;
}

sub count_alarms
{
	my @found = alarms(@_);
	return @found / 3;
}

sub wait_for_alarms
{
	my ($database, $count, $from, $what) = @_;
	my @found;
	hce_wait_until(
		sub { @found = alarms($database, $from); return @found >= 3 * $count },
		60);
	is(@found / 3, $count, $what) or diag(join "\n", @found);
	return @found;
}

# The launcher has looked at least once more: it looks each second, or five.
sub let_it_look
{
	$node->safe_psql('postgres', 'SELECT pg_sleep(6)');
	return;
}

# WAL of the server, which each slot keeps.
sub write_wal
{
	my ($megabytes) = @_;
	$node->safe_psql('postgres',
		"SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1024 * 1024))) FROM generate_series(1, $megabytes)");
	return;
}

sub retained
{
	my ($database) = @_;
	return $node->safe_psql('postgres',
		"SELECT retained_wal_bytes FROM hcevents.status WHERE datname = '$database'");
}

sub other_relays
{
	return $node->safe_psql('postgres',
		q{SELECT status, detail FROM hcevents.check_relay() WHERE "check" = 'other_relays'});
}

is(count_alarms('.*'), 0, 'no alarm while relays run');
like(other_relays(), qr/^ok\|/, 'nor one of check()');

# A database that nobody may connect to

my $from = -s $node->logfile;
$node->safe_psql('closed', q{INSERT INTO things (name) VALUES ('before')});
$node->safe_psql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false');
my $pid = $node->safe_psql('postgres',
	q{SELECT relay_pid FROM hcevents.status WHERE datname = 'closed'});
$kafka->pause;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
my @said = wait_for_alarms('closed', 1, $from, 'a closed database: an alarm');
like($said[0], qr/^no relay runs for database "closed": the database has ALLOW_CONNECTIONS false$/,
	'it names database and reason');
like($said[1], qr/retains \d+ MB of WAL, and nothing bounds that: max_slot_wal_keep_size is -1/,
	'and the WAL');
like($said[2], qr/ALLOW_CONNECTIONS true/, 'and what to do');
is( $node->safe_psql('postgres',
		q{SELECT state, waiting_for, relay_pid IS NULL FROM hcevents.status WHERE datname = 'closed'}),
	'stopped|ALLOW_CONNECTIONS true for this database|t',
	'status shows it');
like(other_relays(),
	qr/^error\|no relay runs for: closed \(waits for ALLOW_CONNECTIONS true for this database, .* of WAL retained\)$/,
	'check() of another database does');
$kafka->resume;
let_it_look();
is(count_alarms('closed', $from), 1, 'it is said once');
write_wal(40);
cmp_ok(retained('closed'), '>', 40 * 1024 * 1024, 'status counts the WAL');
wait_for_alarms('closed', 2, $from, 'again when the WAL passes the limit');
write_wal(15);
let_it_look();
is(count_alarms('closed', $from), 2, 'and not before it has doubled');
write_wal(20);
@said = wait_for_alarms('closed', 3, $from, 'then once more');
cmp_ok(($said[7] =~ /retains (\d+) MB/)[0], '>=', 64, 'with how much it is');
$node->safe_psql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS true');
hce_flush($node, 'closed');
ok( hce_wait_until(
		sub { slurp_file($node->logfile, $from) =~ /LOG:  a relay runs for database "closed" again/ }, 30),
	'the log tells that it is over');
like(other_relays(), qr/^ok\|/, 'and so does check()');
is( join(' ', sort map { (($_->{value} // '') =~ /"name":"(\w+)"/)[0] } $kafka->messages('healthcore.secret')),
	'before first',
	'what had waited is delivered');

# A command that needs the database, for long

$from = -s $node->logfile;
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; ALTER DATABASE closed RENAME TO renamed');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT state = 'stopped' AND waiting_for ~ '^process \d+, whose command needs the database alone$' FROM hcevents.status WHERE datname = 'closed'}
	),
	'status tells of a database that is held');
is(count_alarms('closed', $from), 0, 'which is no alarm while it is short');
@said = wait_for_alarms('closed', 1, $from, 'but after half a minute');
like($said[0], qr/: process \d+ holds the database for a command that needs it alone$/,
	'that says who holds it');
$session->query_safe('ROLLBACK');
$session->quit;
hce_wait_for_relay($node, 'streaming', 'closed');

# No worker is free

$from = -s $node->logfile;
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
@said = wait_for_alarms('postgres', 1, $from, 'no worker: an alarm');
like($said[0], qr/: no background worker slot is free$/, 'that says why');
like($said[2], qr/^Raise max_worker_processes/, 'and what to do');
wait_for_alarms('closed', 1, $from, 'and one for each other database');
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('waits')});
my $slot_keeps = $node->safe_psql('postgres',
	q{SELECT pg_current_wal_flush_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = 'hcevents_' || (SELECT oid FROM pg_database WHERE datname = 'postgres')});
cmp_ok(abs(retained('postgres') - $slot_keeps), '<', 1024 * 1024,
	'status has the WAL that the slot keeps, without a relay');
like(
	$node->safe_psql('postgres',
		q{SELECT status, detail, hint FROM hcevents.check_relay() WHERE "check" = 'relay'}),
	qr/^error\|failed, waits for a free background worker slot.*\|Raise max_worker_processes/,
	'check() tells');
# no relay has run since the start, so the server's limit counts; half of what
# a slot may keep is less than that
$node->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 400MB');
$node->reload;
write_wal(int(205 - $slot_keeps / 1024 / 1024));
@said = wait_for_alarms('postgres', 2, $from,
	'again at half of max_slot_wal_keep_size');
like($said[4], qr/beyond max_slot_wal_keep_size \(400 MB\) events that are not delivered are lost/,
	'with what it threatens');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
hce_flush($node);
hce_flush($node, 'closed');
is( join(' ', sort map { (($_->{value} // '') =~ /"name":"(\w+)"/)[0] } $kafka->messages('healthcore.thing')),
	'first waits', 'with a free worker delivery goes on');

# A relay that fails again and again

$from = -s $node->logfile;
$node->safe_psql('postgres', 'ALTER TABLE hcevents.position RENAME TO hidden');
$node->safe_psql('postgres', 'SELECT hcevents.restart_relay()');
@said = wait_for_alarms('postgres', 1, $from, 'a relay that fails: an alarm');
like($said[0], qr/: it fails again and again, last with: .*position/, 'with its error');
$node->safe_psql('postgres', 'ALTER TABLE hcevents.hidden RENAME TO position');
hce_wait_for_relay($node);
is( $node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps')
	  . $node->safe_psql('closed', 'SELECT count(*) FROM hcevents.gaps'),
	'00', 'and there is no gap');
$node->stop;
done_testing();
