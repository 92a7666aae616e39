# No broker when the server starts, and none when it stops: writers write,
# the relay waits and says so once, delivery goes on by itself, flush() and
# the server's shutdown come back in time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $kafka = HceTest::Kafka->start;
$kafka->stop;
my $node =
  hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
hce_patients($node);

# Lines of the server log that match.
sub logged
{
	my ($pattern) = @_;
	return scalar grep { /$pattern/ } split /\n/,
	  slurp_file($node->logfile);
}
my $no_connection = qr/WARNING:.*has no connection to Kafka/;

hce_wait_for_relay($node, 'disconnected');
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 2000) n}
);
my $start = time();
is( $node->safe_psql('postgres', q{SELECT hcevents.flush('1 s')}),
	'f', 'flush() returns false while Kafka is away');
my $took = time() - $start;
cmp_ok($took, '>=', 1, 'not before its time-out');
cmp_ok($took, '<', 3, 'and not long after it');
my ($status, undef, $stderr) = $node->psql('postgres',
	q{SET statement_timeout = '500 ms'; SELECT hcevents.flush()});
like($stderr, qr/canceling statement/, 'flush() can be cancelled');

is(hce_stats($node, 'pending'), 2000, 'pending events are counted');
is( $node->safe_psql('postgres', <<'SQL'),
SELECT state, waiting_for <> '', last_error <> '', lag_bytes > 0,
	lag_seconds > 0 FROM hcevents.status
SQL
	'disconnected|t|t|t|t', 'status tells what it waits for and how late it is');
is(logged($no_connection), 1, 'one WARNING tells of it');

$kafka->start_again;
hce_wait_for_relay($node, 'streaming');
hce_flush($node);
is( $node->safe_psql('postgres',
		q{SELECT coalesce(waiting_for, '') FROM hcevents.status}),
	'', 'then the relay waits for nothing');
hce_verify($node, $kafka);
is(logged($no_connection), 1, 'there was no second WARNING');
is(logged(qr/LOG:.*is connected to Kafka/), 1, 'the log tells that it is over');

# Away again

$kafka->kill9;
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT 'q' || n FROM generate_series(1, 60000) n}
);
hce_wait_for_relay($node, 'disconnected');
is(logged($no_connection), 2, 'one more WARNING for one more time');

# A backlog that librdkafka holds, and no Kafka: the server stops all the same.

foreach my $mode (qw(fast smart))
{
	$start = time();
	$node->stop($mode);
	cmp_ok(time() - $start, '<', 5,
		"$mode shutdown with a backlog and no Kafka takes less than 5 s");
	$node->start;
	hce_wait_for_relay($node, 'disconnected');
}

# So does a relay alone, and PostgreSQL goes on.

my $pid = hce_relay_pid($node);
$node->safe_psql('postgres', 'SELECT hcevents.restart_relay()');
ok( hce_wait_until(
		sub { my $now = hce_relay_pid($node); $now && $now != $pid }, 10),
	'restart_relay() starts another relay');
$pid = hce_relay_pid($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok( hce_wait_until(
		sub { my $now = hce_relay_pid($node); $now && $now != $pid }, 15),
	'a terminated relay is replaced');

$kafka->start_again;
hce_wait_for_relay($node, 'streaming');
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates']);
is(hce_stats($node, 'delivered'), 62000, 'all is delivered and counted once');
is(logged(qr/was terminated by|terminating any other|exited with exit code [^01]/),
	0, 'no exit of a relay restarted the server');

$node->stop;
done_testing();
