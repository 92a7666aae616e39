# A topic that sends what was parked, and whose first row is never acknowledged
# although the brokers answer: it holds up no other topic, parks again, and when
# the topic takes events all arrive in order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

# One topic has its replicas on nodes 1 and 2, and both must be in sync.
my $kafka = HceTest::Cluster->start;
my $silent = 'healthcore.patient.updated';
$kafka->node(1)->call('class', 'org.apache.kafka.tools.TopicCommand',
	'--bootstrap-server', $kafka->bootstrap, '--create', '--topic', $silent,
	'--replica-assignment', '1:2');
my $node = hce_node('main', kafka => $kafka);
hce_patients($node);
hce_wait_for_relay($node);
$node->safe_psql('postgres', 'SELECT hcevents.create_topics(3, 3)');

sub ask { return $node->safe_psql('postgres', $_[0]); }

sub reach
{
	my ($sql, $name, $timeout) = @_;
	return ok(hce_wait_until(sub { ask($sql) eq 't' }, $timeout // 60), $name)
	  || diag(ask('SELECT s FROM hcevents.status s'),
		ask('SELECT m FROM hcevents.topic_modes m'));
}

ask(<<'SQL');
INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 20) n;
UPDATE patients SET version = version + 1;
SQL
hce_flush($node);

# Both topics have parked events; one of them takes none any more.

ask(q{SELECT hcevents.pause('patient.created'), hcevents.pause('patient.updated')});
ask(<<'SQL');
UPDATE patients SET version = version + 1;
INSERT INTO patients (name) SELECT 'q' || n FROM generate_series(1, 80000) n;
SQL
reach('SELECT parked = 80020 FROM hcevents.status', 'the events of both are parked');
$kafka->node(2)->kill9;
ask(q{SELECT hcevents.resume('patient.updated')});
reach('SELECT in_flight = 1 FROM hcevents.status', 'one sends its first row');
ask(q{SELECT hcevents.resume('patient.created')});
reach('SELECT parked = 20 FROM hcevents.status', 'all rows of the other one are delivered');
reach("SELECT mode = 'parking' AND reason LIKE '%acknowledges nothing%'"
	  . " FROM hcevents.topic_modes WHERE topic = '$silent'",
	'the silent one parks again');
# 5 s the first time, more if it parked before the other one was delivered
reach("SELECT waiting_for ~ '^topic \"$silent\" to acknowledge events; .*"
	  . "; tried again after (5|10|20|40|80) s, or at once by hcevents[.]resume\\(\\)\$'"
	  . ' FROM hcevents.status',
	'status tells of it');
reach('SELECT in_flight = 0 FROM hcevents.status', 'its row is not in flight any more');
is(ask('SELECT count(*) FROM hcevents.parked_store'), 20, 'but in the table');
ask(q{INSERT INTO patients (name) VALUES ('r')});
ask(q{UPDATE patients SET version = version + 1 WHERE id <= 20});
is(ask(q{SELECT hcevents.flush('30 s')}), 't', 'newer events are settled');

# Paused while a row of it is in flight again.

reach('SELECT in_flight = 1 FROM hcevents.status', 'it is tried again', 180);
ask(q{SELECT hcevents.pause('patient.updated')});
reach(q{SELECT mode = 'parking' AND reason = 'paused' FROM hcevents.topic_modes},
	'it is paused');
is(ask('SELECT in_flight FROM hcevents.status'), 1, 'with a row in flight');
reach('SELECT in_flight = 0 FROM hcevents.status', 'which does not stay there');
ask(q{SELECT hcevents.resume('patient.updated')});

# It takes events again.

$kafka->node(2)->start_again;
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)',
	'it goes on by itself when it is mended', 120);
hce_flush($node);
my $counts = hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'all arrived, in order');
is(hce_stats($node, 'delivered'), ask('SELECT count(*) FROM ledger'),
	'each is counted once');
note(ask(q{SELECT string_agg(event_type || ' ' || redelivered, ', ') FROM hcevents.delivery_stats}),
	' may have come twice');
# what was in flight when messages were taken back, on a machine that is slow
cmp_ok($counts->{duplicate}, '<', 1000, 'hardly anything came twice');

$node->stop;
done_testing();
