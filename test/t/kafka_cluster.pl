# Three brokers, three replicas, two of them in sync: one broker dies under
# load and nothing is missing; two die and the relay waits, then goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Cluster->start;
my $node = hce_node('main', kafka => $kafka);
hce_patients($node);
hce_wait_for_relay($node);
$node->safe_psql('postgres', 'SELECT hcevents.create_topics(3, 3)');

sub start_load
{
	my ($events, $log) = @_;
	return IPC::Run::start(
		[
			hce_top() . '/test/load/run', '--events', $events,
			'--clients', 2, '--chunk', 3, '--rate', 50,
			'--conninfo', $node->connstr('postgres')
		],
		'<', \undef, '>', $log, '2>', $log, IPC::Run::timeout(300));
}

sub reach
{
	my ($count) = @_;
	return ok(
		$node->poll_query_until(
			'postgres', "SELECT count(*) >= $count FROM ledger"),
		"$count events are written");
}

my $log = '';
my $load = start_load(4000, \$log);
reach(1000);
$kafka->node(2)->kill9;
my $delivered = hce_stats($node, 'delivered');
ok( $node->poll_query_until('postgres',
		"SELECT sum(delivered) > $delivered + 500 FROM hcevents.delivery_stats"),
	'delivery goes on with two of three brokers');
$load->finish;
is($load->result(0), 0, 'writers have seen nothing of it') or diag($log);
hce_flush($node);
hce_verify($node, $kafka, name => 'one broker killed: nothing missing, in order, once');

# Two are gone: there is no majority and no second replica in sync

$kafka->node(3)->kill9;
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT 'waits' FROM generate_series(1, 100)});
is($node->safe_psql('postgres', q{SELECT hcevents.flush('3 s')}),
	'f', 'nothing is acknowledged by one broker alone');
ok( $node->poll_query_until('postgres', <<'SQL'), 'status says that it waits');
SELECT state IN ('streaming', 'disconnected') AND s.pending >= 100 AND last_error IS NOT NULL
  FROM hcevents.status
 CROSS JOIN (SELECT sum(pending) AS pending FROM hcevents.delivery_stats) s
SQL
note($node->safe_psql('postgres',
		'SELECT state, waiting_for, last_error FROM hcevents.status'));
$node->safe_psql('postgres',
	q{UPDATE patients SET version = version + 1 WHERE name = 'waits'});

$kafka->node(2)->start_again;
hce_flush($node, 'postgres', '240 s');
hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'one has returned: nothing missing, order kept');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.dead_letters'),
	'0', 'no event is a dead letter');
$node->stop;
done_testing();
