# A long drain of several topics gives WAL back while it goes on: deleting what
# was delivered is WAL as well, and as much as parking was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = $ENV{HCE_DRAIN_ROWS} // 50_000;
my $topics = 6;
my $events = $rows * $topics;
my $kafka = HceTest::Kafka->start;
my $node = hce_node(
	'main',
	kafka => $kafka,
	init => [ extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] ],
	conf => "hcevents.max_retained_wal = 2MB\nmax_wal_size = 32MB");
$node->safe_psql('postgres', qq{
	CREATE TABLE notes (id bigint PRIMARY KEY, body text);
	SELECT hcevents.attach('notes', 'note' || n, '{body}') FROM generate_series(1, $topics) n});
hce_wait_for_relay($node);
$kafka->stop;
for (my $n = 1; $n <= $rows; $n += 2500)
{
	$node->safe_psql('postgres', "INSERT INTO notes SELECT n, repeat('n', 100)"
		  . " FROM generate_series($n, least($rows, $n + 2499)) n");
}
ok(hce_wait_until(
		sub { $node->safe_psql('postgres', "SELECT parked = $events FROM hcevents.status") eq 't' }, 120),
	'all is parked');

# While it drains: what the slot keeps, and what the drain has written.  At the
# end dead rows are cleaned away, which is much WAL in one go.

my $start = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$kafka->start_again;
my $most = 0;
my $samples = 0;
ok( hce_wait_until(
		sub {
			my ($parked, $retained) = split /\|/, $node->safe_psql('postgres', q{
				SELECT s.parked, pg_current_wal_lsn() - l.restart_lsn
				  FROM hcevents.status s, pg_replication_slots l
				 WHERE l.slot_name = 'hcevents_' || s.datid});
			$most = $retained if $retained > $most && $parked > $events / 5;
			$samples++ if $parked > 0 && $parked < $events;
			return $parked == 0;
		},
		300),
	'all is drained');
cmp_ok($samples, '>', 5, 'seen while it drains');
my $written = $node->safe_psql('postgres', "SELECT pg_current_wal_lsn() - '$start'");
note("the drain wrote $written bytes of WAL, the slot kept $most");
cmp_ok($written, '>', 50 * $events, 'the drain writes WAL');
cmp_ok($most, '<', $written / 4, 'the slot keeps little of it');
is(hce_stats($node, 'delivered'), $events, 'all are delivered');

$node->stop;
done_testing();
