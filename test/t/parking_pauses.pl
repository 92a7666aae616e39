# hcevents.pause() of a type holds it back whatever topic carries it: of a type
# that was never seen, after the settings made another topic of it, and where
# it has several topics; also when its rows are in the table already.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node('main', kafka => $kafka, conf => 'wal_level = replica');

sub ask { return scalar $node->safe_psql('postgres', $_[0]); }

sub reach
{
	my ($sql, $name) = @_;
	return ok(hce_wait_until(sub { ask($sql) eq 't' }, 20), $name)
	  || diag(ask('SELECT event_type, topic, mode, captured, delivered, pending, parked, dead FROM hcevents.delivery_stats'));
}

# Settings of the database, and a relay that obeys them.
sub configure
{
	my ($name, $value) = @_;
	my $pid = hce_relay_pid($node);

	ask("ALTER DATABASE postgres SET $name = '$value'");
	reach("SELECT relay_pid <> $pid AND state = 'streaming' FROM hcevents.status", "$name = $value");
	return;
}

sub parked
{
	my ($type, $count, $delivered, $name) = @_;
	is(ask(q{SELECT hcevents.flush('20 s')}), 't', "$name: settled");
	is( ask("SELECT parked, delivered FROM hcevents.delivery_stats WHERE event_type = '$type'"),
		"$count|$delivered",
		"$name: its events are parked");
	return;
}

# Never seen

hce_wait_for_relay($node);
ask(q{SELECT hcevents.pause('note.made')});
ask(q{SELECT hcevents.publish('note.made', '{"n": 1}', 'k')});
parked('note.made', 1, 0, 'a type that was never seen');
ask(q{SELECT hcevents.publish('other.made', '{"n": 1}', 'k')});
hce_wait_until(sub { ask(q{SELECT delivered FROM hcevents.delivery_stats WHERE event_type = 'other.made'}) eq '1' }, 20);
is(ask(q{SELECT delivered FROM hcevents.delivery_stats WHERE event_type = 'other.made'}), 1, 'another is delivered');
$node->restart;
hce_wait_for_relay($node);
ask(q{SELECT hcevents.publish('other.made', '{"n": 2}', 'k')});
parked('note.made', 1, 0, 'over a restart');
ask('SELECT hcevents.resume()');
reach(q{SELECT delivered = 1 FROM hcevents.delivery_stats WHERE event_type = 'note.made'}, 'resumed');

# The settings make another topic of it

ask(q{SELECT hcevents.pause('note.made')});
configure('hcevents.topic_prefix', 'moved');
ask(q{SELECT hcevents.publish('note.made', '{"n": 2}', 'k')});
parked('note.made', 1, 1, 'another topic');
is( ask(q{SELECT topic, mode FROM hcevents.delivery_stats WHERE event_type = 'note.made'}),
	'moved.note.made|parking', 'delivery_stats tells topic and mode');
reach(q{SELECT string_agg(topic, ',') = 'moved.note.made' FROM hcevents.parked_topics}, 'the old topic is not held');

# ... and its rows wait for the old one still

configure('hcevents.topic_prefix', 'again');
ask(q{SELECT hcevents.publish('note.made', '{"n": 3}', 'k')});
parked('note.made', 2, 1, 'rows of the old topic');
is( ask(q{SELECT string_agg(topic || ' ' || mode, ',' ORDER BY topic) FROM hcevents.parked_topics}),
	'again.note.made parking,moved.note.made parking',
	'both topics are held');
ask('SELECT hcevents.resume()');
reach(q{SELECT delivered = 3 AND parked = 0 FROM hcevents.delivery_stats WHERE event_type = 'note.made'}, 'resumed');

# Several topics

configure('hcevents.topic', '%p.%s.%t');
ask(<<'SQL');
CREATE SCHEMA a; CREATE SCHEMA b; CREATE SCHEMA c;
CREATE TABLE a.things (id int PRIMARY KEY); CREATE TABLE b.things (id int PRIMARY KEY); CREATE TABLE c.things (id int PRIMARY KEY);
SELECT hcevents.attach('a.things', 'thing'), hcevents.attach('b.things', 'thing'), hcevents.attach('c.things', 'thing');
INSERT INTO a.things VALUES (1); INSERT INTO b.things VALUES (1);
SQL
reach(q{SELECT delivered = 2 FROM hcevents.delivery_stats WHERE event_type = 'thing.created'}, 'two topics of one type');
ask(q{SELECT hcevents.pause('thing.created')});
ask('INSERT INTO a.things VALUES (2); INSERT INTO b.things VALUES (2); INSERT INTO c.things VALUES (2)');
parked('thing.created', 3, 2, 'three topics, one of them new');
ask('SELECT hcevents.resume()');
reach(q{SELECT delivered = 5 AND parked = 0 FROM hcevents.delivery_stats WHERE event_type = 'thing.created'}, 'resumed');
is(ask('SELECT bool_and(captured = delivered + pending + parked + dead) FROM hcevents.delivery_stats'), 't', 'the counters add up');

$node->stop;
done_testing();
