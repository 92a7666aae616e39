# The relay killed and the server crashed under load: nothing is missing,
# nothing is there that was not committed, what comes twice is the same event,
# and the counters are exact.
#
# HCE_LOAD_EVENTS, HCE_LOAD_RATE (0: as fast as it goes), HCE_RELAY_KILLS,
# HCE_SERVER_CRASHES and HCE_BROKER_RESTARTS set the size; the release run is
# 1000000, 0, 10, 5 and 5.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $events = $ENV{HCE_LOAD_EVENTS} // 20000;
my $rate = $ENV{HCE_LOAD_RATE} // 300;
my $relay_kills = $ENV{HCE_RELAY_KILLS} // 2;
my $server_crashes = $ENV{HCE_SERVER_CRASHES} // 2;
my $broker_restarts = $ENV{HCE_BROKER_RESTARTS} // 1;

# What one crash may send again: the events since the last position row, and
# those in flight (src/relay: STORE_EVENTS, MAX_IN_FLIGHT).
my $duplicates_a_crash = 10000 + 50000;

my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
restart_after_crash = on
CONF
hce_patients($node);

my ($load_out, $load_err) = ('', '');
my $load = IPC::Run::start(
	[
		hce_top() . '/test/load/run', '--events', $events, '--tolerant',
		'--clients', 8, '--chunk', 3, '--rate', $rate,
		'--conninfo', $node->connstr('postgres')
	],
	'<', \undef, '>', \$load_out, '2>', \$load_err,
	IPC::Run::timeout(150 + $events / 500));

sub ask
{
	my ($sql) = @_;
	my ($status, $answer) = $node->psql('postgres', $sql);
	return $status == 0 ? $answer : undef;
}

# Wait until so many rows are in the ledger and a relay delivers.
sub reach
{
	my ($count) = @_;
	return hce_wait_until(
		sub {
			my $answer = ask(
				"SELECT count(*) >= $count AND EXISTS (SELECT FROM hcevents.status WHERE state = 'streaming') FROM ledger"
			);
			return defined $answer && $answer eq 't';
		},
		60 + $events / 1000);
}

# The faults in turn, evenly over the load.
my %left = (
	relay => $relay_kills,
	server => $server_crashes,
	broker => $broker_restarts);
my %fault = (
	relay => sub {
		ok(kill('KILL', ask('SELECT relay_pid FROM hcevents.status')), 'killed the relay');
	},
	server => sub {
		$node->stop('immediate');
		$node->start;
		pass('crashed the server');
	},
	broker => sub {
		$kafka->stop;
		$kafka->start_again;
		pass('restarted the broker');
	});
my $faults = $relay_kills + $server_crashes + $broker_restarts;
my $done = 0;
while ($done < $faults)
{
	foreach my $kind (grep { $left{$_} > 0 } sort keys %left)
	{
		my $count = int($events * ++$done / ($faults + 1));

		$left{$kind}--;
		ok(reach($count), "$count events are written, a relay delivers");
		$fault{$kind}->();
	}
}
$load->finish;
is($load->result(0), 0, 'the load has ended well') or diag($load_err);
note($load_out);

# The last relay may have been killed as the load ended: recovery goes on.
ok($node->poll_query_until('postgres', 'SELECT true'),
	'the server takes connections');
hce_flush($node);
my $counts = hce_verify(
	$node, $kafka,
	arguments => [
		'--allow-duplicates', '--max-duplicates',
		$duplicates_a_crash * ($relay_kills + $server_crashes)
	],
	name => 'all arrived, what came twice is the same');
is($counts->{missing}, 0, 'nothing is missing');
is($counts->{phantom}, 0, 'nothing is there that was not committed');
is($counts->{out_of_order}, 0, 'first deliveries are in order');
cmp_ok($counts->{events}, '>=', $events, 'the load has run');

my $ledger = $node->safe_psql('postgres', 'SELECT count(*) FROM ledger');
is(hce_stats($node, 'captured'), $ledger,
	'captured counts each committed event once, over all crashes');
is(hce_stats($node, 'delivered'), $ledger, 'so does delivered');
is(hce_stats($node, 'pending + parked + dead'), 0, 'nothing else is left');
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM hcevents.delivery_stats WHERE captured <> delivered + pending + parked + dead'
	),
	'0',
	'captured = delivered + pending + parked + dead for each type');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'no gap was recorded');

# A crash with events that are not delivered: pending counts them exactly.

$kafka->stop;
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 1000) n}
);
$node->stop('immediate');
$node->start;
ok( $node->poll_query_until(
		'postgres',
		'SELECT sum(pending) = 1000 FROM hcevents.delivery_stats'),
	'pending is exact after a crash without Kafka');
is(hce_stats($node, 'captured'), $ledger + 1000, 'and so is captured');
is(hce_stats($node, 'delivered'), $ledger, 'and delivered');
$kafka->start_again;
hce_flush($node);
is(hce_stats($node, 'delivered'), $ledger + 1000, 'then all is delivered');
hce_verify($node, $kafka, arguments => ['--allow-duplicates']);

$node->stop;
done_testing();
