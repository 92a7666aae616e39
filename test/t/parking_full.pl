# A topic that drains while hcevents.max_parked_size is reached: its newer events
# wait in the WAL, which has room, and none is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node = hce_node(
	'main',
	kafka => $kafka,
	conf => "hcevents.max_parked_size = 1MB\nlog_lock_waits = off\n");
hce_patients($node);
hce_wait_for_relay($node);

sub ask
{
	my ($sql) = @_;
	return scalar $node->safe_psql('postgres', $sql);
}

sub reach
{
	my ($sql, $name) = @_;
	return ok(hce_wait_until(sub { ask($sql) eq 't' }, 60), $name)
	  || diag(ask('SELECT s, m FROM hcevents.status s LEFT JOIN hcevents.topic_modes m ON true'));
}

sub write_rows
{
	my ($count) = @_;
	ask("INSERT INTO patients (name) SELECT repeat('p', 200) || n FROM generate_series(1, $count) n");
	return;
}

# Parked events of a topic that takes them again, one of whose rows somebody
# has locked, so that it goes on draining

ask(q{SELECT hcevents.pause('patient.created')});
write_rows(100);
reach('SELECT sum(parked) = 100 FROM hcevents.delivery_stats', 'events are parked');
my $lock = $node->background_psql('postgres');
$lock->query_safe('BEGIN');
$lock->query_safe('SELECT FROM hcevents.parked_store ORDER BY epoch, commit_lsn, event_index LIMIT 1 FOR UPDATE');
ask(q{SELECT hcevents.resume('patient.created')});
reach(q{SELECT sum(parked) = 1 FROM hcevents.delivery_stats}, 'the topic drains, but for one row');
is(ask('SELECT mode FROM hcevents.topic_modes'), 'draining', 'and is draining still');

# Kafka stands still, and more comes than the table may hold

$kafka->pause;
my $log_from = -s $node->logfile;
write_rows(8000);
my $end = ask('SELECT pg_current_wal_lsn()');
reach("SELECT read_lsn >= '$end' FROM hcevents.status", 'the relay has read it all');
reach('SELECT sum(parked) > 1 AND sum(pending) > 1000 FROM hcevents.delivery_stats',
	'what the table does not take is pending');
$kafka->resume;
$lock->query_safe('COMMIT');
$lock->quit;
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'the topic is direct again');
hce_flush($node);
is(ask('SELECT count(*) FROM hcevents.gaps'), 0, 'no gap');
is(hce_stats($node, 'delivered'), 8100, 'all are delivered');
unlike(slurp_file($node->logfile, $log_from), qr/are lost/, 'and none was lost');
hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'all arrived, in order');

$node->stop;
done_testing();
