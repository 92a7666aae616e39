# Parking and what librdkafka holds: an event is with Kafka or in the table,
# never in both and never in neither.  Events in flight when their topic begins
# to park stay in flight; a row stays in the table until Kafka has
# acknowledged it; and the topic is direct again only then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceProxy;
use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $proxy = HceProxy->new(partitions => 1);
my $kafka = $proxy->{kafka};
my $node = hce_node(
	'main',
	kafka => $kafka,
	conf => $proxy->conf . <<'CONF');
wal_level = replica
hcevents.topic = '%p.%r'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint PRIMARY KEY);
SELECT hcevents.attach('things', 'thing');
SQL

sub ask { return $node->safe_psql('postgres', $_[0]); }

sub reach
{
	my ($sql, $name) = @_;
	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub insert { return ask("INSERT INTO things SELECT generate_series($_[0], $_[1])"); }

# The relay has gone round, and has written what there was to write.
sub turn
{
	foreach (1 .. 2)
	{
		my $written = ask('SELECT written FROM hcevents.position');
		ask('SELECT hcevents.reset_stats()');
		$node->poll_query_until('postgres',
			"SELECT written > '$written' FROM hcevents.position") or die 'no position';
	}
	return;
}

sub mode { return ask('SELECT mode FROM hcevents.topic_modes'); }

sub parked
{
	return ask('SELECT string_agg(key, $$ $$ ORDER BY commit_lsn, event_index) FROM hcevents.parked_store');
}

# All messages in Kafka, in their order.
sub ids
{
	return map { /"thing_id":\s*(\d+)/ } $kafka->lines('healthcore.thing');
}

sub first_deliveries
{
	my %seen;
	return [ grep { !$seen{$_}++ } ids() ];
}

insert(1, 1);
hce_flush($node);

# A topic begins to park with events in flight.

$proxy->network('hole');
insert(2, 11);
reach('SELECT in_flight = 10 FROM hcevents.status', 'ten events are in flight');
ask(q{SELECT hcevents.pause('thing.created')});
reach(q{SELECT mode = 'parking' FROM hcevents.topic_modes}, 'their topic begins to park');
insert(12, 16);
reach('SELECT count(*) >= 5 FROM hcevents.parked_store', 'events are parked');
turn();
is(parked(), '12 13 14 15 16', 'those that were never sent');
is(ask('SELECT in_flight FROM hcevents.status'), 10, 'the others are still in flight');
ask(q{SELECT hcevents.resume('thing.created')});
turn();
is(mode(), 'parking', 'nothing is sent from the table while they are');
$proxy->network('pass');
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'the topic is direct again');
is(parked(), '', 'when it has no row left');
hce_flush($node);
is_deeply([ ids() ], [ 1 .. 16 ], 'all arrive, once and in order');

# Sent from the table, and not acknowledged: one of many rows, and a single one.

my $next = 17;
foreach my $rows (6, 1)
{
	my ($first, $last) = ($next, $next + $rows - 1);
	my $case = $rows == 1 ? 'a single row' : 'many rows';

	$next = $last + 2;
	ask(q{SELECT hcevents.pause('thing.created')});
	insert($first, $last);
	reach("SELECT count(*) = $rows FROM hcevents.parked_store", "$case: parked");
	$proxy->network('hole');
	ask(q{SELECT hcevents.resume('thing.created')});
	reach('SELECT in_flight = 1 FROM hcevents.status', "$case: one is sent");
	turn();
	is(parked(), join(' ', $first .. $last), "$case: it stays in the table");
	is(mode(), 'draining', "$case: the topic is not direct");
	insert($last + 1, $last + 1);
	reach('SELECT count(*) >= ' . ($rows + 1) . ' FROM hcevents.parked_store',
		"$case: a newer event is parked");
	is(parked(), join(' ', $first .. $last + 1), "$case: behind the others");

	$node->stop('immediate');
	# what the network holds back is gone with it
	$proxy->network('cut');
	$proxy->network('pass');
	$node->start;
	hce_flush($node);
	reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', "$case: direct again");
	is_deeply(first_deliveries(), [ 1 .. $last + 1 ],
		"$case: all arrive in order after a crash");
}

$node->stop;
done_testing();
