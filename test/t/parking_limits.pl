# Beyond max_parked_size the newest events are lost, as one recorded gap that
# counts them; nothing else is.  And -1 for max_retained_wal parks nothing.

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
	conf => <<'CONF');
hcevents.max_retained_wal = -1
hcevents.max_parked_size = 2MB
CONF
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
	  || diag(ask('SELECT s FROM hcevents.status s'),
		ask('SELECT event_type, captured, delivered, pending, parked, dead FROM hcevents.delivery_stats'));
}

sub write_rows
{
	my ($count) = @_;
	$node->safe_psql('postgres',
		"INSERT INTO patients (name) SELECT repeat('p', 200) || n FROM generate_series(1, $count) n");
	return;
}

write_rows(100);
hce_flush($node);

# Never park: the events stay in the WAL.
$kafka->stop;
write_rows(3000) foreach 1 .. 4;
hce_wait_for_relay($node, 'disconnected');
reach('SELECT sum(pending) = 12000 FROM hcevents.delivery_stats', 'they are pending');
is(ask('SELECT parked FROM hcevents.status'), 0, 'none is parked');

# Now park: 2 MB of them, the others are lost.
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET hcevents.max_retained_wal = '1MB'});
reach('SELECT sum(pending) = 0 AND sum(parked) > 0 FROM hcevents.delivery_stats', 'none is pending');
is(ask(q{SELECT hcevents.flush('30 s')}), 't', 'all is settled');
my ($parked, $lost, $gaps) = split /\|/, ask(
	q{SELECT sum(parked), (SELECT sum((events->>'patient.created')::int) FROM hcevents.gaps),
	(SELECT count(*) FROM hcevents.gaps) FROM hcevents.delivery_stats});
is($gaps, 1, 'one gap');
is($parked + $lost, 12000, 'what is not parked is counted in the gap');
is(ask('SELECT gaps FROM hcevents.status'), 1, 'status counts it');
is(ask('SELECT bool_and(captured = delivered + pending + parked + dead) FROM hcevents.delivery_stats'),
	't', 'the counters add up');
is( scalar(grep { /WARNING:.*are lost: hcevents.max_parked_size is reached/ }
		  split /\n/, slurp_file($node->logfile)),
	1, 'one WARNING');

# The gap is acknowledged, by a transaction that stays open for a while, and
# deleted: what is lost meanwhile is recorded all the same.
sub lost_becomes
{
	my ($expected, $name) = @_;
	is(ask(q{SELECT hcevents.flush('20 s')}), 't', "$name: the relay goes on");
	is(ask(q{SELECT sum((events->>'patient.created')::int) FROM hcevents.gaps}), $expected, $name);
	return;
}

$node->safe_psql('postgres', q{BEGIN; SELECT hcevents.acknowledge_gap(1); PREPARE TRANSACTION 'acknowledge'});
write_rows(100);
lost_becomes($lost + 100, 'lost while the gap is being acknowledged');
$node->safe_psql('postgres', q{COMMIT PREPARED 'acknowledge'});
write_rows(100);
lost_becomes($lost + 200, 'lost after it was acknowledged');
is(ask(q{SELECT string_agg((events->>'patient.created') || ' ' || (acknowledged_time IS NULL), ',' ORDER BY id) FROM hcevents.gaps}),
	"$lost false,200 true", 'in a gap of its own');
reach('SELECT gaps = 1 FROM hcevents.status', 'status counts that one');
$node->safe_psql('postgres', 'DELETE FROM hcevents.gap_log WHERE acknowledged_time IS NULL');
write_rows(100);
lost_becomes($lost + 100, 'lost after the gap was deleted');
reach('SELECT gaps = 1 FROM hcevents.status', 'status counts it');
is(ask('SELECT bool_and(captured = delivered + pending + parked + dead) FROM hcevents.delivery_stats'),
	't', 'the counters add up');

# Everything that was parked arrives, and what comes afterwards.
$kafka->start_again;
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'drained');
write_rows(50);
hce_flush($node);
is($kafka->count(q{healthcore.patient.created}), 100 + $parked + 50, q{all but the lost ones arrived});
is(ask('SELECT count(*) FROM hcevents.gaps'), 2, 'no gap more');

$node->stop;
done_testing();
