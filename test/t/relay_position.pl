# The position: never beyond what Kafka has acknowledged, and exact inside a
# transaction.  After a crash nothing is missing, nothing is skipped that was
# not delivered, and the counters count each event once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceProxy;
use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $proxy = HceProxy->new(partitions => 1);
my $kafka = $proxy->{kafka};
my $node = hce_node(
	'main',
	kafka => $kafka,
	conf => $proxy->conf . <<'CONF');
wal_level = replica
log_statement = none
hcevents.topic = '%p.%r'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things VALUES (1, 'first');
SQL
hce_flush($node);

# The ids of all events in the order of their first delivery.
sub ids
{
	my %seen;
	return grep { !$seen{$_}++ }
	  map { /"thing_id":\s*(\d+)/ } $kafka->lines('healthcore.thing');
}

sub crash
{
	$node->stop('immediate');
	# what the network holds back is gone with it
	$proxy->network('cut');
	$proxy->network('pass');
	$node->start;
	return hce_flush($node);
}

sub counters
{
	return $node->safe_psql('postgres',
		'SELECT sum(captured), sum(delivered), sum(pending + parked + dead) FROM hcevents.delivery_stats'
	);
}

# In flight, and the row is written: it does not cover what is in flight

$proxy->network('hole');
$node->safe_psql('postgres',
	q{INSERT INTO things SELECT n, 'in flight' FROM generate_series(2, 101) n});
my $after = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
ok( $node->poll_query_until('postgres', 'SELECT in_flight = 100 FROM hcevents.status'),
	'100 events are in flight');
my $written = $node->safe_psql('postgres', 'SELECT written FROM hcevents.position');
$node->safe_psql('postgres', 'SELECT hcevents.reset_stats()');
ok( $node->poll_query_until('postgres',
		"SELECT written > '$written' FROM hcevents.position"),
	'the row is written meanwhile');
# its commit is asynchronous: one that is not flushes it
$node->safe_psql('postgres', 'CREATE TABLE written ()');
is( $node->safe_psql('postgres',
		"SELECT commit_lsn < '$after', restart_lsn < commit_lsn FROM hcevents.position"),
	't|t',
	'but neither position nor WAL to keep is beyond what was not acknowledged');
crash();
is_deeply([ ids() ], [ 1 .. 101 ], 'all that was in flight arrives after a crash');
is(counters(), '100|100|0', 'counted once since the counters were reset');

# A crash in the middle of a transaction that is settled in part

my $rows = 60000;
$proxy->network('slow 200000');
$node->safe_psql('postgres',
	"INSERT INTO things SELECT n + 101, 'row' || n FROM generate_series(1, $rows) n");
ok( $node->poll_query_until('postgres',
		'SELECT event_index > 0 FROM hcevents.position'),
	'the position is inside a transaction');
$proxy->network('hole');
ok( $node->poll_query_until('postgres', <<'SQL'),
SELECT event_index = (SELECT sum(delivered) - 100 FROM hcevents.delivery_stats) FROM hcevents.position
SQL
	'it covers all that was acknowledged');
my $index = $node->safe_psql('postgres', 'SELECT event_index FROM hcevents.position');
cmp_ok($index, '<', $rows, "it is at event $index of $rows");
$node->safe_psql('postgres', 'CREATE TABLE flushed ()');
crash();
is_deeply([ ids() ], [ 1 .. 101 + $rows ],
	'not one event is skipped, and first deliveries are in order');
is(counters(), join('|', 100 + $rows, 100 + $rows, 0), 'each is counted once');

# Committed while Kafka is away, and the relay has a new life

$proxy->network('cut');
$node->safe_psql('postgres', "INSERT INTO things VALUES (102 + $rows, 'backlog')");
$node->restart;
crash();
is((ids())[-1], 102 + $rows, 'what no relay could deliver arrives after restarts');
is(counters(), join('|', 101 + $rows, 101 + $rows, 0), 'counted once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'), '0', 'no gap');

$node->stop;
done_testing();
