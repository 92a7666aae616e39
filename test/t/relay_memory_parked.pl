# Memory is bounded also by what becomes of events: many large dead letters in
# one turn, and many topics that send large parked events.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $topics = 60;
my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
shared_buffers = 16MB
max_wal_size = 2GB
hcevents.relay_memory = '1MB'
hcevents.max_event_size = '2MB'
CONF
hce_wait_for_relay($node);

sub ask { return $node->safe_psql('postgres', $_[0]); }

sub reach
{
	my ($sql, $name) = @_;
	return ok(hce_wait_until(sub { ask($sql) eq 't' }, 90), $name)
	  || diag(ask('SELECT s FROM hcevents.status s'));
}

# Megabytes of the relay: now, or the most since the last call of forget_peak.
sub memory
{
	my ($what) = @_;
	my $status = slurp_file('/proc/' . hce_relay_pid($node) . '/status');
	my ($kilobytes) = $status =~ /^$what:\s+(\d+)/m;
	return $kilobytes / 1024;
}

sub forget_peak
{
	append_to_file('/proc/' . hce_relay_pid($node) . '/clear_refs', '5');
	return memory('VmRSS');
}

# $count events of a type, with about $bytes each.
sub publish
{
	my ($resource, $count, $bytes) = @_;
	ask("SELECT count(hcevents.publish('$resource.created', "
		  . "jsonb_build_object('${resource}_id', n, 'pad', repeat('x', $bytes))))"
		  . " FROM generate_series(1, $count) n");
	return;
}

# Dead letters of 1 MB, 200 in one transaction: their topic is impossible.

publish('warm', 10, 1000);
hce_flush($node);
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA "odd name";
CREATE TABLE "odd name".things (id int PRIMARY KEY, pad text);
SELECT hcevents.attach('"odd name".things', 'odd', columns => '{pad}');
ALTER DATABASE postgres SET hcevents.topic = '%p.%s.%t';
SQL
ok( hce_wait_until(
		sub {
			ask(q{INSERT INTO "odd name".things SELECT coalesce(min(id), 1) - 1, 'small' FROM "odd name".things});
			ask(q{SELECT hcevents.flush('10 s')});
			ask('SELECT count(*) > 0 FROM hcevents.dead_letters') eq 't';
		}),
	'no topic has this name');
my $before = forget_peak();
ask(q{INSERT INTO "odd name".things SELECT n, repeat('x', 1000000) FROM generate_series(1, 200) n});
reach('SELECT dead > 200 FROM hcevents.status', '200 dead letters of 1 MB');
my $peak = memory('VmHWM');
note("$before MB before, at most $peak MB");
cmp_ok($peak - $before, '<', 64, 'were not held in memory at once');
is(ask('SELECT count(*) FROM hcevents.dead_letter_store WHERE length(envelope) > 1000000'),
	200, 'all are stored');
is(ask('SELECT string_agg(key, $$ $$ ORDER BY commit_lsn, event_index) FROM hcevents.dead_letter_store WHERE length(envelope) > 1000000'),
	join(' ', 1 .. 200), 'in order');
ask('ALTER DATABASE postgres RESET hcevents.topic');
ask(q{SELECT hcevents.detach('"odd name".things')});

# Topics with large parked events, all of which begin to send at once.

publish("t$_", 1, 10) foreach 1 .. $topics;
hce_flush($node);
ask(join ';', map { "SELECT hcevents.pause('t$_.created')" } 1 .. $topics);
publish("t$_", 5, 900000) foreach 1 .. $topics;
reach("SELECT parked = 5 * $topics FROM hcevents.status", 'many topics have parked events');
$before = forget_peak();
$kafka->pause;
ask('SELECT hcevents.resume()');
reach("SELECT in_flight = $topics FROM hcevents.status", 'one event of each is in flight');
$peak = memory('VmHWM');
note("$before MB before, at most $peak MB with one in flight");
cmp_ok($peak - $before, '<', 150, 'what is behind them is not held in memory');
$kafka->resume;
hce_flush($node);
$peak = memory('VmHWM');
note("at most $peak MB while they drain");
cmp_ok($peak - $before, '<', 150, 'nor is it while they drain');
is(hce_stats($node, 'captured - delivered - dead'), 0, 'all is delivered');
is($kafka->count, 10 + 6 * $topics, 'once');
my @order = map { /"t7_id":\s*(\d+)/ } $kafka->lines('healthcore.t7.created');
is("@order", '1 1 2 3 4 5', 'in order');

$node->stop;
done_testing();
