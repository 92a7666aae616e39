# The functions and views about the relay: flush, reset_stats, restart_relay,
# status, counters, and who may use them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use Test::More;
use Time::HiRes qw(time);

my $kafka = HceTest::Kafka->start;
my $node =
  hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
hce_patients($node);
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION hcevents');
hce_wait_for_relay($node);

# flush

my $start = time();
is($node->safe_psql('postgres', 'SELECT hcevents.flush()'),
	't', 'flush() returns true when there is nothing');
cmp_ok(time() - $start, '<', 2, 'at once');
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 500) n}
);
is($node->safe_psql('postgres', 'SELECT hcevents.flush()'), 't',
	'flush() returns true when all is delivered');
is($kafka->count('healthcore.patient.created'), 500, 'and then it is');

my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; INSERT INTO patients (name) VALUES ('open');});
$node->safe_psql('postgres', q{INSERT INTO patients (name) VALUES ('p')});
is($node->safe_psql('postgres', q{SELECT hcevents.flush('10 s')}),
	't', 'flush() does not wait for transactions that are open');
$open->query_safe('ROLLBACK;');
$open->quit;
is( $node->safe_psql('postgres', q{SELECT hcevents.flush(NULL) IS NULL}),
	't', 'flush(NULL) is NULL');
is( $node->safe_psql('postgres', q{
	SET synchronous_commit = off;
	INSERT INTO patients (name) VALUES ('asynchronous');
	SELECT hcevents.flush('10 s')}),
	't', 'flush() covers asynchronous commits');
is($kafka->count('healthcore.patient.created'), 502, 'and they are there');

# Statistics

is( $node->safe_psql('postgres', <<'SQL'),
SELECT event_type, topic, captured, delivered, pending, parked, dead,
	redelivered, bytes > 0, last_captured_time <= last_delivered_time,
	p50_ms > 0 AND p50_ms <= p95_ms AND p95_ms <= p99_ms, last_error IS NULL
  FROM hcevents.delivery_stats
SQL
	'patient.created|healthcore.patient.created|502|502|0|0|0|0|t|t|t|t',
	'delivery_stats');
ok( $node->poll_query_until('postgres',
		'SELECT bool_and(oldest_pending_time IS NULL) FROM hcevents.delivery_stats'
	),
	'nothing pending is old');
is( $node->safe_psql('postgres',
		'SELECT sum(count) FROM hcevents.latency_histogram'),
	'502',
	'the histogram has each event once');
is($node->safe_psql('other', 'SELECT count(*) FROM hcevents.delivery_stats'),
	'0', 'delivery_stats are those of the database');

my $reset = $node->safe_psql('postgres',
	'SELECT max(stats_reset) FROM hcevents.delivery_stats');
$node->safe_psql('postgres', 'SELECT hcevents.reset_stats()');
ok( $node->poll_query_until(
		'postgres', <<"SQL"), 'reset_stats() sets the counters to zero');
SELECT coalesce(sum(captured + delivered + bytes), 0) = 0
	AND coalesce(min(stats_reset) > '$reset', true) FROM hcevents.delivery_stats
SQL
$node->safe_psql('postgres', q{INSERT INTO patients (name) VALUES ('p')});
hce_flush($node);
is(hce_stats($node, 'captured'), 1, 'then they count on');
$node->restart;
hce_wait_for_relay($node);
is(hce_stats($node, 'captured'), 1, 'a restart keeps the reset');
$node->stop('immediate');
$node->start;
hce_wait_for_relay($node);
hce_flush($node);
is(hce_stats($node, 'delivered'), 1, 'so does a crash');

# reset_stats() with events pending

$kafka->pause;
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT 'p' FROM generate_series(1, 10)});
ok( $node->poll_query_until('postgres',
		'SELECT sum(pending) = 10 FROM hcevents.delivery_stats'),
	'ten are pending');
$node->safe_psql('postgres', 'SELECT hcevents.reset_stats()');
ok( $node->poll_query_until('postgres',
		'SELECT sum(delivered) = 0 FROM hcevents.delivery_stats'),
	'reset_stats() while Kafka hangs');
is(hce_stats($node, 'captured'), 10, 'what is pending stays captured');
is(hce_stats($node, 'pending'), 10, 'and pending');
$kafka->resume;
hce_flush($node);
is(hce_stats($node, 'delivered'), 10, 'and is delivered');

# restart_relay

my $pid = hce_relay_pid($node);
my $other_pid = hce_relay_pid($node, 'other');
$start = time();
$node->safe_psql('postgres', 'SELECT hcevents.restart_relay()');
ok( hce_wait_until(
		sub { my $now = hce_relay_pid($node); $now && $now != $pid }, 10),
	'restart_relay() starts another one');
cmp_ok(time() - $start, '<', 5, 'without a delay');
hce_wait_for_relay($node);
is(hce_relay_pid($node, 'other'),
	$other_pid, 'the relay of another database is left alone');
is(hce_stats($node, 'delivered'), 10, 'the counters stay');
hce_verify($node, $kafka, arguments => ['--allow-duplicates']);

# status

foreach my $database (qw(postgres other))
{
	is( $node->safe_psql($database,
			'SELECT string_agg(datname, $$,$$ ORDER BY datname) FROM hcevents.status'
		),
		'other,postgres',
		"status in $database has both databases");
}
is( $node->safe_psql('postgres', <<'SQL'),
SELECT state, waiting_for IS NULL, settled_lsn <= read_lsn, lag_bytes >= 0,
	lag_seconds, in_flight, parked, dead, gaps,
	relay_pid = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'hcevents relay' AND datname = 'postgres'),
	start_time < now()
  FROM hcevents.status WHERE datname = 'postgres'
SQL
	'streaming|t|t|t|0|0|0|0|0|t|t',
	'status of a healthy relay');

# Privileges

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody_special;
CREATE ROLE monitor IN ROLE pg_monitor;
GRANT ALL ON patients, ledger TO nobody_special;
SQL
my @relations = qw(status delivery_stats latency_histogram gaps dead_letters attachments attachment_log);
my @tables = qw(position counters gap_log dead_letter_store counter_changes parked_store open_records);

sub allowed
{
	my ($role, $sql) = @_;
	my ($status, undef, $stderr) =
	  $node->psql('postgres', "SET ROLE $role; $sql");
	return 1 if $status == 0;
	return $stderr =~ /permission denied/ ? 0 : "error: $stderr";
}
foreach my $name (@relations)
{
	is(allowed('nobody_special', "SELECT * FROM hcevents.$name"),
		0, "a plain role cannot read $name");
	is(allowed('monitor', "SELECT * FROM hcevents.$name"),
		1, "pg_monitor can");
}
foreach my $name (@tables)
{
	foreach my $role (qw(nobody_special monitor))
	{
		is(allowed($role, "SELECT * FROM hcevents.$name"),
			0, "$role cannot read the table $name");
		is(allowed($role, "DELETE FROM hcevents.$name"),
			0, "nor delete from it");
	}
}
foreach my $call (
	'flush()', 'reset_stats()', 'restart_relay()',
	'relay_status()', 'type_stats()', 'install()',
	'journal_start()', q{publish('a.b', '{}')},
	q{attach('patients', 'other')}, q{detach('patients')})
{
	is(allowed('nobody_special', "SELECT hcevents.$call"),
		0, "a plain role cannot call $call");
}
foreach my $call (qw(reset_stats() restart_relay()))
{
	is(allowed('monitor', "SELECT hcevents.$call"),
		0, "pg_monitor cannot call $call");
}
is(allowed('nobody_special', q{INSERT INTO patients (name) VALUES ('plain')}),
	1, 'a plain role writes, and its event is captured');
hce_flush($node);
is(hce_stats($node, 'delivered'), 11, 'and delivered');

$node->stop;
done_testing();
