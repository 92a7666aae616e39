# Memory is bounded whatever the size of transactions: with relay_memory of
# 1 MB, large and interleaved transactions are read from the WAL again, whole
# and in order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
max_wal_size = 2GB
hcevents.topic = '%p.%r'
hcevents.relay_memory = '1MB'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text, n int);
SELECT hcevents.attach('things', 'thing', columns => '{name,n}');
INSERT INTO things (name, n) VALUES ('warm up', 1);
SQL
hce_flush($node);

# Megabytes of anonymous memory, now and at most.
sub relay_rss
{
	my $status = slurp_file('/proc/' . hce_relay_pid($node) . '/status');
	my ($now) = $status =~ /RssAnon:\s+(\d+)/;
	return $now / 1024;
}
my $before = relay_rss();

# Transactions that grow in turns; savepoints roll part of them back.

my %sessions = map { $_ => $node->background_psql('postgres') } qw(a b c);
$sessions{$_}->query_safe('BEGIN;') foreach qw(a b c);
foreach my $round (1 .. 5)
{
	foreach my $name (qw(a b c))
	{
		my $from = ($round - 1) * 4000 + 1;
		my $to = $round * 4000;
		$sessions{$name}->query_safe(<<"SQL");
SAVEPOINT s;
INSERT INTO things (name, n) SELECT 'gone', n FROM generate_series(1, 1000) n;
ROLLBACK TO s;
SAVEPOINT t;
INSERT INTO things (name, n) SELECT '$name', n FROM generate_series($from, $to) n;
RELEASE t;
SQL
	}
	$node->safe_psql('postgres',
		"INSERT INTO things (name, n) VALUES ('small', $round)");
}
ok( hce_wait_until(
		sub { hce_stats($node, 'delivered') == 6 }, 30),
	'small transactions pass large open ones');
my $with_open = relay_rss();
cmp_ok($with_open - $before, '<', 32,
	'three open transactions of 20,000 events each are not held in memory')
  or diag("$before MB before, $with_open MB with them");
$sessions{$_}->query_safe('COMMIT;') foreach qw(c a);
$sessions{b}->query_safe('ROLLBACK;');
$_->quit foreach values %sessions;

# One of 200,000

$node->safe_psql('postgres',
	q{INSERT INTO things (name, n) SELECT 'large', n FROM generate_series(1, 200000) n}
);
my $highest = 0;
ok( hce_wait_until(
		sub {
			my $rss = relay_rss();
			$highest = $rss if $rss > $highest;
			$node->safe_psql('postgres', q{SELECT hcevents.flush('10 ms')})
			  eq 't';
		},
		60),
	'all is delivered');
hce_figure('RSS %d MB before, at most %d MB', $before, $highest);
cmp_ok($highest - $before, '<', 200,
	'the relay holds no more than what is in flight');

# All there, in order: name, and n that grows by one
my %next;
my ($out_of_order, @order) = (0);
foreach my $line ($kafka->lines('healthcore.thing'))
{
	my ($name, $n) =
	  $line =~ /"name":\s*"([^"]+)",\s*"n":\s*(\d+)/;
	push @order, $name if !@order || $order[-1] ne $name;
	$out_of_order++ if $n != ($next{$name} // 0) + 1;
	$next{$name} = $n;
}
is($out_of_order, 0, 'each transaction is whole and in order');
is_deeply(
	\%next,
	{
		'warm up' => 1,
		small => 5,
		a => 20000,
		c => 20000,
		large => 200000
	},
	'nothing is missing, nothing rolled back is there');
is_deeply(
	\@order,
	[ 'warm up', 'small', 'c', 'a', 'large' ],
	'transactions come in the order of their commits');
is(hce_stats($node, 'captured - delivered'), 0, 'captured = delivered');

# A message that is not ours, which any role can write

$before = relay_rss();
$node->safe_psql('postgres',
	q{SELECT pg_logical_emit_message(false, 'any', repeat('x', 300000000))});
$node->safe_psql('postgres', q{INSERT INTO things (name, n) VALUES ('after', 1)});
hce_flush($node);
cmp_ok(relay_rss() - $before, '<', 32,
	'a large message of others is not kept in memory');

$node->stop;
done_testing();
