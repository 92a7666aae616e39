# Journal that was lost is recorded and reported, and delivery goes on behind
# it.  WAL that is still there is no gap, whatever became of the slot.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $flush_time = '20 s';

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node(
	'main',
	kafka => $kafka,
	init => [ extra => ['--wal-segsize=1'] ],
	conf => <<'CONF');
wal_level = replica
min_wal_size = 2MB
max_wal_size = 2MB
wal_recycle = off
wal_keep_size = 64MB
hcevents.topic = '%p.%r'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE filler (n int);
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('before');
SQL
hce_flush($node, 'postgres', $flush_time);
my $slot = $node->safe_psql('postgres',
	'SELECT slot_name FROM pg_replication_slots');

sub insert
{
	my ($name) = @_;
	$node->safe_psql('postgres',
		"INSERT INTO things (name) VALUES ('$name')");
	return;
}

sub unique_names
{
	my %seen;
	return [
		grep { !$seen{$_}++ }
		map { decode_json($_->{value})->{data}{name} }
		  $kafka->messages('healthcore.thing')
	];
}

# Run with no relay: start without the library, so that writes still journal.
sub without_relay
{
	my (@sql) = @_;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	$node->psql('postgres', $_) foreach @sql;
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'hcevents'");
	$node->restart;
	return;
}

my @fill = map {
	(
		'INSERT INTO filler SELECT n FROM generate_series(1, 20000) n',
		'SELECT pg_switch_wal()', 'CHECKPOINT')
} 1 .. 4;

# The slot is dropped, the WAL is there

without_relay(
	"SELECT pg_drop_replication_slot('$slot')",
	q{INSERT INTO things (name) VALUES ('slot dropped')});
insert('after drop');
hce_flush($node, 'postgres', $flush_time);
is_deeply(
	unique_names(),
	[ 'before', 'slot dropped', 'after drop' ],
	'a slot dropped by hand loses nothing while the WAL is there');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'and is no gap');

# The slot is dropped, and the WAL is gone

$node->append_conf('postgresql.conf', 'wal_keep_size = 0');
$node->reload;
without_relay(
	"SELECT pg_drop_replication_slot('$slot')",
	'CREATE TABLE places AS SELECT pg_current_wal_insert_lsn() AS lost',
	q{INSERT INTO things (name) VALUES ('lost')},
	@fill,
	q{INSERT INTO things (name) VALUES ('maybe')});
insert('goes on');
hce_flush($node, 'postgres', $flush_time);
my $lsn = $node->safe_psql('postgres', 'SELECT lost FROM places');
my $names = unique_names();
is($names->[-1], 'goes on', 'delivery goes on behind the gap');
is(scalar(grep { $_ eq 'lost' } @$names), 0, 'what was lost did not arrive');
is( $node->safe_psql('postgres',
		"SELECT count(*), bool_and(from_lsn <= '$lsn' AND to_lsn > '$lsn' AND from_time < to_time), min(cause) FROM hcevents.gaps"
	),
	'1|t|the replication slot was missing',
	'the gap is recorded');
is($node->safe_psql('postgres', 'SELECT gaps FROM hcevents.status'),
	'1', 'status counts it');
is( $node->safe_psql('postgres',
		q{SELECT status FROM hcevents.check() WHERE "check" = 'gaps'}),
	'error', 'check() reports it');
my @warnings = grep { /WARNING:.*journal of database "postgres" between/ }
  split /\n/, slurp_file($node->logfile);
is(scalar @warnings, 1, 'a WARNING in the log');

$node->restart;
insert('after restart');
hce_flush($node, 'postgres', $flush_time);
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'1', 'a restart records no second gap');
is($node->safe_psql('postgres', 'SELECT gaps FROM hcevents.status'),
	'1', 'and status has it still');

# Acknowledged

$node->safe_psql('postgres', q{CREATE ROLE operator; SELECT hcevents.grant_access('operator', 'operate')});
my ($failed, undef, $stderr) = $node->psql('postgres', 'SELECT hcevents.acknowledge_gap(99)');
like($stderr, qr/there is no gap with the id 99.*HINT/s, 'an unknown gap');
$node->safe_psql('postgres', 'BEGIN; SELECT hcevents.acknowledge_gap(1); ROLLBACK');
is($node->safe_psql('postgres', 'SELECT gaps FROM hcevents.status'),
	'1', 'a rollback acknowledges nothing');
$node->safe_psql('postgres', 'SET ROLE operator; SELECT hcevents.acknowledge_gap(1)');
ok( $node->poll_query_until('postgres', 'SELECT gaps = 0 FROM hcevents.status'),
	'status counts it no more');
is( $node->safe_psql('postgres',
		'SELECT acknowledged_by, acknowledged_time > to_time FROM hcevents.gaps'),
	'operator (session user ' . $node->safe_psql('postgres', 'SELECT session_user') . ')|t',
	'the gap stays, with who acknowledged it');
(undef, undef, $stderr) = $node->psql('postgres', 'SELECT hcevents.acknowledge_gap(1)');
like($stderr, qr/NOTICE:.*gap 1 is acknowledged already/, 'a second time: a NOTICE');
is( $node->safe_psql('postgres',
		q{SELECT status FROM hcevents.check() WHERE "check" = 'gaps'}),
	'ok', 'check() is content');
$node->restart;
hce_wait_for_relay($node);
is($node->safe_psql('postgres', 'SELECT gaps FROM hcevents.status'),
	'0', 'over a restart');

# The slot was moved by hand, the WAL is gone

without_relay(
	q{INSERT INTO things (name) VALUES ('lost')},
	"SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())",
	map { $_, "SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())" }
	  @fill);
insert('goes on again');
hce_flush($node, 'postgres', $flush_time);
is(unique_names()->[-1], 'goes on again', 'delivery goes on behind a second gap');
is( $node->safe_psql('postgres',
		'SELECT cause FROM hcevents.gaps ORDER BY id DESC LIMIT 1'),
	'the replication slot was moved',
	'with another cause');

# The slot was dropped, and made again late, by hand

without_relay(
	"SELECT pg_drop_replication_slot('$slot')",
	q{INSERT INTO things (name) VALUES ('lost')},
	@fill,
	"SELECT pg_create_physical_replication_slot('$slot', true)");
insert('made late');
hce_flush($node, 'postgres', $flush_time);
is(unique_names()->[-1], 'made late', 'delivery goes on behind a slot made late');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'3', 'with a gap');

# The extension's tables are those of an earlier time

without_relay(
	"UPDATE hcevents.position SET restart_lsn = '$lsn', commit_lsn = '$lsn', sent_lsn = '$lsn'");
insert('restored');
hce_flush($node, 'postgres', $flush_time);
is(unique_names()->[-1], 'restored', 'delivery goes on behind an old position');
is( $node->safe_psql('postgres',
		"SELECT count(*), bool_or(id = 4 AND from_lsn = '$lsn') FROM hcevents.gaps"),
	'4|t', 'with a gap from there');

# A gap that takes the first records of a transaction that was settled in part

my ($part, $commit_lsn);
{
	my @switch = (@fill) x 2;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_walinspect');
	my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	my $session = $node->background_psql('postgres');
	$session->query_safe('SET client_min_messages = error;');
	$session->query_safe(q{BEGIN; INSERT INTO things (name) SELECT 'part one' FROM generate_series(1, 1000);});
	$node->safe_psql('postgres', $_) foreach @switch;
	my $middle = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$session->query_safe(q{INSERT INTO things (name) SELECT 'part two' FROM generate_series(1, 1000);});
	my $xid = $session->query_safe('SELECT pg_current_xact_id();');
	my $before = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$session->query_safe('COMMIT;');
	$session->quit;
	$node->safe_psql('postgres', q{INSERT INTO filler VALUES (1)});
	$commit_lsn = $node->safe_psql('postgres', <<"SQL");
SELECT start_lsn FROM pg_get_wal_records_info_till_end_of_wal('$before')
 WHERE resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%' AND xid = '$xid' LIMIT 1
SQL
	# as if 500 of it had been acknowledged
	$node->safe_psql('postgres', <<"SQL");
UPDATE hcevents.position SET restart_lsn = '$from', commit_lsn = '$commit_lsn',
	event_index = 500, sent_lsn = '$commit_lsn', sent_index = 500
SQL
	$node->safe_psql('postgres', "SELECT pg_replication_slot_advance('$slot', '$middle')");
	# what the first half needs goes, what the second needs stays
	my $keep = $node->safe_psql('postgres', "SELECT pg_walfile_name('$middle')");
	$node->stop;
	foreach my $file (glob $node->data_dir . '/pg_wal/0*')
	{
		unlink $file if $file =~ /([0-9A-F]{24})$/ && $1 lt $keep;
	}
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'hcevents'");
	$node->start;
}
insert('after the parts');
hce_flush($node, 'postgres', $flush_time);
$part = () = join("\n", map { $_->{value} } $kafka->messages('healthcore.thing')) =~ /part (?:one|two)/g;
is($part, 0, 'nothing of a transaction that lost its head is delivered');
is( $node->safe_psql('postgres',
		"SELECT to_lsn > '$commit_lsn' FROM hcevents.gaps ORDER BY id DESC LIMIT 1"),
	't', 'all of it is in the gap');
is(unique_names()->[-1], 'after the parts', 'and what follows is delivered');

# The slot was invalidated

$node->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 1MB');
without_relay(q{INSERT INTO things (name) VALUES ('lost')},
	@fill, @fill);
insert('goes on at last');
my $goes_on = hce_wait_until(
	sub {
		$node->safe_psql('postgres', q{SELECT hcevents.flush('1 s')}) eq 't';
	},
	15);
ok($goes_on, 'delivery goes on after the slot was invalidated')
  or diag($node->safe_psql('postgres',
		'SELECT state, waiting_for, last_error FROM hcevents.status'));
is( $node->safe_psql('postgres',
		'SELECT max(id), (SELECT cause FROM hcevents.gaps ORDER BY id DESC LIMIT 1) FROM hcevents.gaps'),
	'6|the replication slot was invalidated (max_slot_wal_keep_size)', 'with a gap of its own');
is($node->safe_psql('postgres', 'SELECT gaps FROM hcevents.status'),
	'5', 'status counts what nobody has acknowledged');
@warnings = grep { /WARNING:.*journal of database "postgres" between/ }
  split /\n/, slurp_file($node->logfile);
is(scalar @warnings, 6, 'and there was a WARNING for each');

unlike(
	slurp_file($node->logfile),
	qr/was terminated by|terminating any other/,
	'no process of the server crashed');
$node->stop;
done_testing();
