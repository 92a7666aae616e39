# A topic that is missing does not hold back the others: its events alone are
# parked, and arrive in order when it is there.  A paused event type does the
# same until it is resumed, also over a restart.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(auto_create => 0);
$kafka->create_topics(2, 'healthcore.patient.created',
	'healthcore.patient.updated');
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
restart_after_crash = on
CONF
hce_patients($node);
hce_wait_for_relay($node);

sub ask
{
	my ($sql) = @_;
	my ($status, $answer) = $node->psql('postgres', $sql);
	return $status == 0 ? $answer : undef;
}

sub reach
{
	my ($sql, $name) = @_;
	return ok(hce_wait_until(sub { (ask($sql) // '') eq 't' }, 60), $name)
	  || diag(ask('SELECT s FROM hcevents.status s') // '?',
		ask('SELECT m FROM hcevents.topic_modes m') // '?',
		ask('SELECT event_type, captured, delivered, pending, parked, dead FROM hcevents.delivery_stats') // '?');
}

sub write_rows
{
	my ($count) = @_;
	$node->safe_psql('postgres', <<"SQL");
INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, $count) n;
UPDATE patients SET name = 'q' || id, version = version + 1 WHERE id % 3 = 0;
DELETE FROM patients WHERE id % 5 = 1;
SQL
	return;
}

# patient.deleted has no topic.
write_rows(200);
reach(<<'SQL', 'the topic parks alone');
SELECT topic = 'healthcore.patient.deleted' AND mode = 'parking' AND events = 40 FROM hcevents.topic_modes
SQL
write_rows(200);
reach(q{SELECT sum(delivered) FILTER (WHERE event_type = 'patient.created') = 400 AND sum(pending) = 0 FROM hcevents.delivery_stats}, 'the others are delivered');
is(ask(q{SELECT hcevents.flush('30 s')}), 't', 'all is settled');
is(ask('SELECT string_agg(DISTINCT event_type, $$,$$) FROM hcevents.parked_events'),
	'patient.deleted', 'only its events are parked');
like(slurp_file($node->logfile),
	qr/WARNING:  events for topic "healthcore.patient.deleted" of database "postgres" are now parked: Broker: Unknown topic/,
	'the log says why');
is(ask(q{SELECT mode FROM hcevents.delivery_stats WHERE event_type = 'patient.deleted'}),
	'parking', 'delivery_stats tells the mode');

# Over a crash; then it is created.
$node->stop('immediate');
$node->start;
write_rows(50);
is(ask(q{SELECT hcevents.flush('30 s')}), 't', 'all is settled after a crash');
is(hce_stats($node, 'parked'), ask(q{SELECT count(*) FROM hcevents.parked_events}), 'parked is exact');
$kafka->create_topics(2, 'healthcore.patient.deleted');
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'the topic is direct again');
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates'], name => 'all arrived in order');
is(hce_stats($node, 'delivered'), ask('SELECT count(*) FROM ledger'), 'each is counted once');

# A pause of one type.
$node->safe_psql('postgres', q{SELECT hcevents.pause('patient.updated', 'consumer is repaired')});
write_rows(60);
reach(q{SELECT bool_and(parked > 0 AND pending = 0 AND paused = 'consumer is repaired')
	FROM hcevents.delivery_stats WHERE event_type = 'patient.updated'}, 'its events are parked, the reason is told');
reach(q{SELECT bool_and(parked = 0 AND pending = 0 AND paused IS NULL)
	FROM hcevents.delivery_stats WHERE event_type <> 'patient.updated'}, 'the others are delivered');
$node->restart;
write_rows(60);
reach(q{SELECT bool_and(parked > 0 AND pending = 0) FROM hcevents.delivery_stats WHERE event_type = 'patient.updated'},
	'still paused after a restart');
$node->safe_psql('postgres', q{BEGIN; SELECT hcevents.resume('patient.updated'); ROLLBACK});
is(ask('SELECT count(*) FROM hcevents.pauses'), 1, 'a rollback resumes nothing');
$node->safe_psql('postgres', q{SELECT hcevents.resume('patient.updated')});
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'resumed');
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates'], name => 'all arrived in order after the pause');

# A pause of everything.
$node->safe_psql('postgres', q{SELECT hcevents.pause(reason => 'maintenance of Kafka')});
hce_wait_for_relay($node, 'paused');
is(ask('SELECT waiting_for FROM hcevents.status'), 'hcevents.resume(): maintenance of Kafka', 'status says why');
write_rows(60);
my $delivered = hce_stats($node, 'delivered');
is(ask(q{SELECT hcevents.flush('1 s')}), 'f', 'nothing is settled');
is(hce_stats($node, 'delivered'), $delivered, 'nothing is delivered');
$node->restart;
hce_wait_for_relay($node, 'paused');
$node->safe_psql('postgres', 'SELECT hcevents.resume()');
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates'], name => 'all arrived in order after the pause of everything');

# Who may not.
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE operator LOGIN; GRANT EXECUTE ON FUNCTION hcevents.pause(text, text), hcevents.resume(text) TO operator');
my ($status, undef, $stderr) = $node->psql('postgres', 'SET ROLE nobody; SELECT hcevents.pause()');
like($stderr, qr/permission denied for function pause/, 'not anybody may pause');
$node->safe_psql('postgres', q{SET ROLE operator; SELECT hcevents.pause('patient.created', 'by an operator')});
is(ask('SELECT paused_by FROM hcevents.pauses'), 'operator', 'the table tells who');
like(slurp_file($node->logfile), qr/role "operator" paused the delivery of 'patient.created': by an operator/, 'so does the log');
($status, undef, $stderr) = $node->psql('postgres', 'BEGIN; SELECT hcevents.resume(); PREPARE TRANSACTION $$p$$');
like($stderr, qr/cannot PREPARE a transaction that has paused or resumed/, 'not in a prepared transaction');
$node->safe_psql('postgres', q{SET ROLE operator; SELECT hcevents.resume()});
hce_flush($node);

$node->stop;
done_testing();
