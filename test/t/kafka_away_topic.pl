# A topic that does not exist, on brokers that do not create topics: the relay
# waits, says for what, and goes on when it is there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(auto_create => 0);
my $node =
  hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
hce_patients($node);

sub logged
{
	my ($pattern) = @_;
	return scalar grep { /$pattern/ } split /\n/,
	  slurp_file($node->logfile);
}

sub waits_for
{
	my ($topic) = @_;
	return ok(
		$node->poll_query_until('postgres', <<"SQL"), "status tells of $topic");
SELECT EXISTS (SELECT FROM hcevents.status
                WHERE state = 'streaming' AND waiting_for LIKE '%$topic%')
SQL
}

hce_wait_for_relay($node);
$kafka->create_topics(2, 'healthcore.patient.updated');
$node->safe_psql('postgres', <<'SQL');
INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 100) n;
UPDATE patients SET name = 'q' || id;
DELETE FROM patients WHERE id % 2 = 0;
SQL
waits_for('healthcore.patient.created');
is($node->safe_psql('postgres', q{SELECT hcevents.flush('500 ms')}),
	'f', 'flush() returns false');
is(hce_stats($node, 'pending'), 250, 'all events are pending');
is($kafka->count, 0, 'the topic did not come by itself');
is(logged(qr/WARNING:.*waits for topic "healthcore.patient.created"/),
	1, 'one WARNING');

$kafka->create_topics(2, 'healthcore.patient.created');
waits_for('healthcore.patient.deleted');
$kafka->create_topics(2, 'healthcore.patient.deleted');
hce_flush($node);
hce_verify($node, $kafka, name => 'all arrived once after the topics were created');
is( $node->safe_psql('postgres',
		q{SELECT coalesce(waiting_for, '') FROM hcevents.status}),
	'', 'the relay waits for nothing');
is(hce_stats($node, 'dead'), 0, 'no event was given up');

# The server restarts while a topic is missing.

$node->safe_psql('postgres',
	'INSERT INTO appointments (patient_id) SELECT id FROM patients');
waits_for('healthcore.appointment.booked');
$node->restart;
waits_for('healthcore.appointment.booked');
$kafka->create_topics(1, 'healthcore.appointment.booked');
hce_flush($node);
hce_verify($node, $kafka, name => 'all arrived once after a restart');

is(logged(qr/WARNING:.*waits for topic/), 4, 'one WARNING for each wait');
is(logged(qr/was terminated by|terminating any other/), 0, 'no crash');

$node->stop;
done_testing();
