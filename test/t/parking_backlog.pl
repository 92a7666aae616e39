# Kafka is away for long: undelivered events move to a table, the WAL is given
# back, and afterwards everything arrives once, in order; also when the server
# crashes and the relay is killed while it parks and while it drains.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node = hce_node(
	'main',
	kafka => $kafka,
	init => [ extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] ],
	conf => <<'CONF');
wal_level = replica
restart_after_crash = on
max_wal_size = 4MB
min_wal_size = 2MB
hcevents.max_retained_wal = 6MB
CONF
hce_patients($node);
hce_wait_for_relay($node);

sub ask
{
	my ($sql) = @_;
	my ($status, $answer) = $node->psql('postgres', $sql);
	return $status == 0 ? $answer : undef;
}

# Wait until a query says true.
sub reach
{
	my ($sql, $name) = @_;
	my $reached = hce_wait_until(sub { (ask($sql) // '') eq 't' }, 60);
	ok($reached, $name)
	  or diag(ask('SELECT s, m FROM hcevents.status s LEFT JOIN hcevents.topic_modes m ON true') // '?');
	return $reached;
}

# captured = delivered + pending + parked + dead, and captured is the ledger.
sub balanced
{
	my ($name) = @_;
	return reach(<<'SQL', $name);
SELECT sum(captured) = (SELECT count(*) FROM ledger)
   AND bool_and(captured = delivered + pending + parked + dead)
   AND sum(parked) = (SELECT parked FROM hcevents.status)
FROM hcevents.delivery_stats
SQL
}

sub kill_relay
{
	my $pid = hce_wait_until(sub { ask('SELECT relay_pid FROM hcevents.status') }, 60);
	ok($pid && kill('KILL', $pid), 'killed the relay');
	return reach("SELECT relay_pid <> $pid FROM hcevents.status", 'there is another one');
}

sub write_rows
{
	my ($count) = @_;
	$node->safe_psql('postgres', <<"SQL");
INSERT INTO patients (name) SELECT repeat('p', 200) || n FROM generate_series(1, $count) n;
UPDATE patients SET name = 'q' || id, version = version + 1 WHERE id % 3 = 0;
DELETE FROM patients WHERE id % 50 = 1;
SQL
	return;
}

# Some events are with librdkafka when Kafka goes away, others come later.
write_rows(500);
hce_flush($node);
$kafka->stop;
write_rows(300);
foreach my $round (1 .. 12)
{
	write_rows(1500);
}
reach('SELECT parked > 10000 FROM hcevents.status', 'events are parked while Kafka is away');
reach('SELECT sum(pending) = 0 FROM hcevents.delivery_stats', 'all of them');
is(ask(q{SELECT hcevents.flush('60 s')}), 't', 'flush() says settled');
balanced('the counters add up while events are parked');
is(ask('SELECT count(*) FROM hcevents.parked_events'),
	hce_stats($node, 'parked'), 'the view shows the parked events');
like(slurp_file($node->logfile), qr/WARNING:.*parks events: \d+ MB of WAL wait for Kafka/, 'the log says so');

# The WAL is given back, though nothing was delivered.
$node->safe_psql('postgres', 'CHECKPOINT');
reach(<<'SQL', 'the relay keeps little WAL');
SELECT retained_wal_bytes < 8 * 1024 * 1024 FROM hcevents.status
SQL
$node->safe_psql('postgres', 'CHECKPOINT; CHECKPOINT');
my $wal = ask('SELECT sum(size) FROM pg_ls_waldir()');
cmp_ok($wal, '<', 24 * 1024 * 1024, 'pg_wal is bounded');

# Crashes while parking.
write_rows(1000);
kill_relay();
write_rows(1000);
$node->stop('immediate');
$node->start;
write_rows(1000);
balanced('the counters add up after a killed relay and a crash');

# Kafka is back: it drains.  Crash while it does.
# (Paused until Kafka is there: a slow start would find all of it drained.)
$node->safe_psql('postgres', 'SELECT hcevents.pause()');
$kafka->start_again;
$node->safe_psql('postgres', 'SELECT hcevents.resume()');
reach('SELECT sum(delivered) > 3000 FROM hcevents.delivery_stats', 'events arrive');
kill_relay();
write_rows(200);
balanced('the counters add up after the relay was killed while it drained');
$node->stop('immediate');
$node->start;
write_rows(200);
reach('SELECT parked = 0 FROM hcevents.status', 'nothing is parked any more');
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'all topics are direct again');
hce_flush($node);
balanced('the counters add up at the end');
is(ask('SELECT count(*) FROM hcevents.parked_events'), 0, 'the table is empty');
my $counts = hce_verify($node, $kafka,
	arguments => [ '--allow-duplicates', '--max-duplicates', 4 * 60000 ],
	name => 'all arrived, in order');
is($counts->{missing}, 0, 'nothing is missing');
is($counts->{out_of_order}, 0, 'first deliveries are in order');
is(ask('SELECT count(*) FROM hcevents.gaps'), 0, 'no gap was recorded');
is(hce_stats($node, 'delivered'), ask('SELECT count(*) FROM ledger'), 'delivered counts each event once');

# Direct again: a new event is not parked.
write_rows(10);
hce_flush($node);
is(ask('SELECT count(*) FROM hcevents.topic_modes'), 0, 'still direct');

$node->stop;
done_testing();
