# Many clients, savepoints, prepared transactions, deferred triggers and
# rollbacks: what was committed is in Kafka, once and in order, and nothing
# else is.  HCE_LOAD_EVENTS sets the size (the release run: 1000000).

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use HceTest;

my $events = $ENV{HCE_LOAD_EVENTS} // 50000;
my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
log_statement = none
max_wal_size = 4GB
CONF

hce_patients($node);
my ($status, $stdout, $stderr) = hce_run(
	hce_top() . '/test/load/run', '--events', $events, '--clients', 8,
	'--conninfo', $node->connstr('postgres'));
is($status, 0, 'no writer failed') or diag($stderr);
note($stdout);

hce_flush($node, 'postgres', '300 s');
my $counts = hce_verify($node, $kafka);
cmp_ok($counts->{events}, '>=', $events, 'all events were compared');
is(hce_stats($node, 'captured'), $counts->{events}, 'captured is exact');
is(hce_stats($node, 'delivered'), $counts->{events}, 'delivered is exact');
is(hce_stats($node, 'pending'), 0, 'nothing is pending');

done_testing();
