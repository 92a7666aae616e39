# Kafka goes away for the second time while a topic still sends what was parked
# in the first: that topic too stops, and when Kafka is back all goes on.

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
	init => [ extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] ],
	conf => 'hcevents.max_retained_wal = 2MB');
hce_patients($node);
hce_wait_for_relay($node);

sub reach
{
	my ($sql, $name) = @_;
	return ok(
		hce_wait_until(
			sub { $node->safe_psql('postgres', $sql) eq 't' }, 60),
		$name)
	  || diag($node->safe_psql('postgres',
			'SELECT s, m FROM hcevents.status s LEFT JOIN hcevents.topic_modes m ON true'));
}

# One topic has parked events, and begins to send them just when Kafka hangs.

$node->safe_psql('postgres', <<'SQL');
INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 100) n;
UPDATE patients SET name = 'q' || id;
SQL
hce_flush($node);
$node->safe_psql('postgres', q{SELECT hcevents.pause('patient.updated')});
$node->safe_psql('postgres', q{UPDATE patients SET name = 'r' || id});
reach('SELECT parked = 100 FROM hcevents.status', 'a topic has parked events');
$kafka->pause;
$node->safe_psql('postgres', q{SELECT hcevents.resume('patient.updated')});
reach(q{SELECT mode = 'draining' FROM hcevents.topic_modes}, 'it sends them');
reach('SELECT in_flight > 0 FROM hcevents.status', 'and waits for Kafka');

# Meanwhile others write more than may wait in the WAL.

$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT repeat('p', 200) || n FROM generate_series(1, 8000) n}
);
reach('SELECT sum(parked) > 8000 FROM hcevents.delivery_stats', 'they are parked');
reach(q{SELECT bool_and(mode = 'parking') FROM hcevents.topic_modes}, 'both topics park');
reach('SELECT in_flight = 0 FROM hcevents.status', 'everything was taken back');

$kafka->resume;
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'all are direct again');
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'all arrived, in order');
is(hce_stats($node, 'delivered'),
	$node->safe_psql('postgres', 'SELECT count(*) FROM ledger'), 'each is counted once');

$node->stop;
done_testing();
