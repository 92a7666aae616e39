# hcevents.forget() and retry_dead_letters() while parked events are on their
# way: each event is counted once, what was forgotten is not sent any more, no
# open transaction stops the relay, and the sizes of the topics stay exact.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $extra = PostgreSQL::Test::Utils::tempdir('extra') . '/properties';
append_to_file($extra, "message.max.bytes=100000\n");
my $kafka;
{
	local $ENV{KAFKA_EXTRA} = $extra;
	$kafka = HceTest::Kafka->start(partitions => 1);
}
my $node = hce_node('main', kafka => $kafka, conf => 'wal_level = replica');

sub ask { return scalar $node->safe_psql('postgres', $_[0]); }

sub state_now
{
	return ask('SELECT s FROM hcevents.status s') . "\n"
	  . ask('SELECT event_type, mode, captured, delivered, pending, parked, dead FROM hcevents.delivery_stats') . "\n"
	  . ask('SELECT m FROM hcevents.topic_modes m');
}

sub reach
{
	my ($sql, $name, $timeout) = @_;
	return ok(hce_wait_until(sub { ask($sql) eq 't' }, $timeout // 30), $name)
	  || diag(state_now());
}

# captured|delivered|pending|parked|dead of a type
sub counts_become
{
	my ($type, $expected, $name) = @_;
	my $sql = "SELECT captured, delivered, pending, parked, dead FROM hcevents.delivery_stats WHERE event_type = '$type'";

	hce_wait_until(sub { ask($sql) eq $expected }, 30);
	return is(ask($sql), $expected, $name) || diag(state_now());
}

# What the relay keeps of a topic's size is what the table has.
sub exact_sizes
{
	my ($name) = @_;
	return reach(<<'SQL', $name, 10);
SELECT coalesce(bool_and(t.events = s.events AND t.bytes = s.bytes), true)
FROM hcevents.topic_modes t, LATERAL (
	SELECT count(*), coalesce(sum(octet_length(envelope) + coalesce(octet_length(key), 0) + 200), 0)
	FROM hcevents.parked_store p WHERE p.topic = t.topic) s(events, bytes)
SQL
}

# Events n of a type, with the key k<n>.
sub publish
{
	my ($type, $from, $to) = @_;
	$to //= $from;
	ask(qq{SELECT count(hcevents.publish('$type', jsonb_build_object('n', n), 'k' || n))
		FROM generate_series($from, $to) n});
	return;
}

# A session with an open transaction.
sub open_transaction
{
	my ($sql) = @_;
	my $session = { in => '', out => '' };
	$session->{psql} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XqAt', '-d', $node->connstr('postgres') ],
		'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{out});
	$session->{in} .= "BEGIN; $sql;\n\\echo opened\n";
	hce_wait_until(
		sub { $session->{psql}->pump_nb; return $session->{out} =~ /opened/; });
	return $session;
}

sub end_transaction
{
	my ($session, $how) = @_;
	$session->{in} .= "$how;\n\\q\n";
	$session->{psql}->finish;
	return;
}

sub park
{
	my ($type, $from, $to) = @_;
	my $count = ask('SELECT count(*) FROM hcevents.parked_events') + $to - $from + 1;
	ask("SELECT hcevents.pause('$type')");
	publish($type, $from, $to);
	ask('SELECT hcevents.flush()');
	reach("SELECT count(*) = $count FROM hcevents.parked_events", 'parked');
	reach('SELECT bool_and(e.commit_lsn < p.commit_lsn) FROM hcevents.parked_events e, hcevents.position p', 'and covered');
	return;
}

publish('a.made', 0);
publish('b.made', 0);
hce_flush($node);

# An open transaction has taken a row that drains; it commits, or does not.

park('a.made', 1, 100);
my $session = open_transaction(q{SELECT hcevents.forget('a', 'k50')});
ask(q{SELECT hcevents.resume()});
counts_become('a.made', '101|100|0|1|0', 'the other rows are delivered');
publish('b.made', 1);
counts_become('b.made', '2|2|0|0|0', 'and so are other topics');
publish('a.made', 101, 110);
counts_become('a.made', '111|110|0|1|0', 'and newer events of the topic');
is(ask(q{SELECT mode FROM hcevents.topic_modes}), 'draining', 'by way of the table');
end_transaction($session, 'COMMIT');
counts_become('a.made', '111|110|0|0|1', 'committed: it is counted once, as forgotten');
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'the topic is direct again');

park('a.made', 111, 120);
$session = open_transaction(q{SELECT FROM hcevents.parked_store WHERE key IN ('k112', 'k113') FOR UPDATE});
ask(q{SELECT hcevents.resume()});
counts_become('a.made', '121|118|0|2|1', 'locked rows wait, the others are delivered');
end_transaction($session, 'ROLLBACK');
counts_become('a.made', '121|120|0|0|1', 'rolled back: they are counted once, as delivered');
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'the topic is direct again');
is($kafka->count('healthcore.a.made'), 121, 'each was sent once');

# Nothing that was read ahead is sent after forget() has returned.

park('a.made', 121, 320);
$kafka->pause;
ask(q{SELECT hcevents.resume()});
reach('SELECT in_flight = 1 FROM hcevents.status', 'the first row is in flight');
is(ask(q{SELECT hcevents.forget('a', 'k300')}), 1, 'forget() takes a row that was read');
exact_sizes('its topic has one event less');
reach('SELECT count(*) = 0 FROM hcevents.counter_changes', 'the relay was told');
$kafka->resume;
counts_become('a.made', '321|319|0|0|2', 'the others are delivered');
my @keys = map { $_->{key} } $kafka->messages('healthcore.a.made');
is(scalar(grep { $_ eq 'k300' } @keys), 0, 'the forgotten event is not');

# Rows that the position does not cover would come again from the journal.

park('a.made', 321, 321);
$kafka->pause;
publish('b.made', 2);
reach('SELECT in_flight = 1 FROM hcevents.status', 'one is in flight');
publish('a.made', 322, 324);
reach('SELECT count(*) = 4 FROM hcevents.parked_events', 'others are parked behind it');
my (undef, $taken, $notice) = $node->psql('postgres',
	q{SELECT hcevents.forget('a', 'k321') + hcevents.forget('a', 'k322')});
is($taken, 1, 'forget() leaves a row that is not settled');
like($notice, qr/NOTICE:.*parked events left alone: 1, .*HINT:.*flush/s, 'and says so');
exact_sizes('sizes are exact');
$kafka->resume;
is(ask(q{SELECT hcevents.flush('60 s')}), 't', 'settled');
reach('SELECT bool_and(e.commit_lsn < p.commit_lsn) FROM hcevents.parked_events e, hcevents.position p', 'and covered');
is(ask(q{SELECT hcevents.forget('a', 'k322')}), 1, 'now it is taken');
counts_become('a.made', '325|319|0|2|4', 'counted once');
ask('CHECKPOINT');
$node->stop('immediate');
$node->start;
hce_wait_for_relay($node);
counts_become('a.made', '325|319|0|2|4', 'also after a crash');

# Retried dead letters join a topic that is parked.

ask(q{SELECT hcevents.resume()});
counts_become('a.made', '325|321|0|0|4', 'drained');
ask(q{SELECT hcevents.discard_dead_letters(since => '-infinity')});
ask(q{SELECT hcevents.publish('a.made', jsonb_build_object('n', 0, 'pad', string_agg(md5(n::text), '')), 'big')
	FROM generate_series(1, 5000) n});
hce_flush($node);
counts_become('a.made', '326|321|0|0|5', 'one too large');
park('a.made', 325, 330);
is(ask(q{SELECT hcevents.retry_dead_letters(since => '-infinity')}), 1, 'retried');
exact_sizes('sizes are exact after a retry');
counts_become('a.made', '332|321|0|7|4', 'it is parked');
is(ask(q{SELECT hcevents.forget('a', 'k330')}), 1, 'forget() takes one');
exact_sizes('sizes are exact after forget()');
$node->restart;
hce_wait_for_relay($node);
exact_sizes('also after a restart');
ask(q{SELECT hcevents.resume()});
counts_become('a.made', '332|326|0|0|6', 'drained, and a dead letter again');
is(ask('SELECT attempts FROM hcevents.dead_letters WHERE retriable'), 2, 'with one attempt more');
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'direct again');

$node->stop;
done_testing();
