# Events are parked while an older one is in flight, so the position does not
# cover their rows: what becomes of those when the journal behind them is lost,
# when the relay ends while it takes over, and when there is no place for more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

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
hcevents.detect_copies = off
CONF

sub ask { return scalar $node->safe_psql('postgres', $_[0]); }

sub reach
{
	my ($sql, $name) = @_;
	return ok(hce_wait_until(sub { ask($sql) eq 't' }, 30), $name)
	  || diag(ask('SELECT s FROM hcevents.status s'),
		ask('SELECT event_type, topic, captured, delivered, pending, parked, dead FROM hcevents.delivery_stats'),
		ask('SELECT m FROM hcevents.topic_modes m'));
}

# Publish events of a type, numbered from and to; each in its own commit when
# there is one only.
sub publish
{
	my ($type, $from, $to, $pad) = @_;
	$to //= $from;
	$pad //= 0;
	ask(qq{SELECT count(hcevents.publish('$type', jsonb_build_object('n', n, 'pad', repeat('x', $pad)), 'k'))
		FROM generate_series($from, $to) n});
	return;
}

my $last = 1;

# One event of fast.made is parked and covered, $count are parked behind one
# of slow.made that is in flight.
sub park_uncovered
{
	my ($count) = @_;
	ask(q{SELECT hcevents.pause('fast.made')});
	publish('slow.made', 0);		# its topic is known
	publish('fast.made', ++$last);
	reach('SELECT count(*) = 1 FROM hcevents.parked_events', 'one is parked');
	ask(q{SELECT hcevents.flush()});
	reach('SELECT p.commit_lsn > e.commit_lsn FROM hcevents.position p, hcevents.parked_events e', 'and covered');
	$kafka->pause;
	publish('slow.made', 1);
	reach('SELECT in_flight = 1 FROM hcevents.status', 'one is in flight');
	publish('fast.made', $last + 1, $last + $count);
	$last += $count;
	reach("SELECT count(*) = $count + 1 FROM hcevents.parked_events", 'more are parked behind it');
	return crash();
}

# All that was written is durable, then the server crashes.
sub crash
{
	ask('CHECKPOINT');
	$node->stop('immediate');
	return $kafka->resume;
}

sub without_library
{
	my (@sql) = @_;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->start;
	$node->safe_psql('postgres', $_) foreach @sql;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'hcevents'");
	return $node->restart;
}

# Everything of fast.made arrived once, in order, and is counted once.
sub all_arrive
{
	my ($what) = @_;
	ask(q{SELECT hcevents.resume('fast.made')});
	hce_flush($node);
	reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'direct again');
	my @numbers =
	  map { decode_json($_->{value})->{data}{n} } $kafka->messages('healthcore.fast.made');
	is_deeply(\@numbers, [ 1 .. $last ], "$what: each arrives once, in order");
	is( ask(q{SELECT captured, delivered, pending, parked, dead FROM hcevents.delivery_stats WHERE event_type = 'fast.made'}),
		"$last|$last|0|0|0",
		"$what: and is counted once");
	return;
}

publish('fast.made', 1);
publish('slow.made', 0);
hce_flush($node);
my $slot = ask('SELECT slot_name FROM pg_replication_slots');

# The journal is lost, the rows are not

park_uncovered(50);
without_library(
	'CREATE TABLE filler (n int)',
	"SELECT pg_drop_replication_slot('$slot')",
	map {
		(
			'INSERT INTO filler SELECT n FROM generate_series(1, 20000) n',
			'SELECT pg_switch_wal()', 'CHECKPOINT')
	} 1 .. 4);
hce_wait_for_relay($node);
is(ask('SELECT count(*) FROM hcevents.gaps'), 1, 'a gap');
reach(q{SELECT parked = 51 AND captured = delivered + pending + parked + dead
	FROM hcevents.delivery_stats WHERE event_type = 'fast.made'}, 'rows beyond the old position are counted');
all_arrive('behind a gap');

# A new epoch, and the relay ends before the rows are dealt with

park_uncovered(50);
without_library(
	'UPDATE hcevents.position SET home = 1',
	'BEGIN; LOCK TABLE hcevents.parked_store IN SHARE MODE; PREPARE TRANSACTION $$hold$$');
my $waiting = q{SELECT pid FROM pg_locks WHERE relation = 'hcevents.parked_store'::regclass AND NOT granted};
my $pid = hce_wait_until(sub { ask($waiting) });
ok($pid, 'the relay waits for the rows');
ask("SELECT pg_terminate_backend($pid)");
reach("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 'and ends');
ask('ROLLBACK PREPARED $$hold$$');
hce_wait_for_relay($node);
cmp_ok(ask('SELECT epoch FROM hcevents.position'), '>', 1, 'a new epoch');
all_arrive('in a new epoch');

# No place for them: what is lost is what the position covers

$node->append_conf('postgresql.conf', 'hcevents.max_parked_size = 1MB');
$node->reload;
hce_wait_for_relay($node);
ask(q{SELECT hcevents.pause('fast.made')});
publish('slow.made', 0);
publish('fast.made', ++$last);
ask(q{SELECT hcevents.flush()});
reach('SELECT count(*) = 1 FROM hcevents.parked_events', 'one is parked');
$kafka->pause;
publish('slow.made', 2);
reach('SELECT in_flight = 1 FROM hcevents.status', 'one is in flight');
publish('fast.made', $last + 1, $last + 2000, 1000);
$last += 2000;
ok( hce_wait_until(
		sub { slurp_file($node->logfile) =~ /are lost: hcevents.max_parked_size/ }),
	'events are lost');
my $end = ask('SELECT pg_current_wal_lsn()');
reach("SELECT read_lsn >= '$end' FROM hcevents.status", 'all are read');
hce_wait_until(sub { ask('SELECT count(*) FROM hcevents.gaps') > 1 }, 2);
is(ask('SELECT count(*) FROM hcevents.gaps'), 1, 'but none is recorded as lost that may still arrive');
crash();
$node->append_conf('postgresql.conf', 'hcevents.max_parked_size = -1');
$node->start;
hce_wait_for_relay($node);
all_arrive('after a crash');
is(ask('SELECT count(*) FROM hcevents.gaps'), 1, 'nothing of it was lost');

$node->stop;
done_testing();
