# A relay that is told to end while it writes its position: it finishes, so
# that nothing is delivered twice; but it does not wait for a lock.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
hce_patients($node);
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$;
CREATE TRIGGER slowly BEFORE UPDATE ON hcevents.position
    FOR EACH ROW EXECUTE FUNCTION slowly();
SQL

sub relay_waits
{
	my ($event) = @_;
	return ok(
		$node->poll_query_until(
			'postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'hcevents relay' AND wait_event = '$event'"
		),
		"the relay is in $event");
}

$node->safe_psql('postgres', "INSERT INTO patients (name) VALUES ('once')");
relay_waits('PgSleep');
$node->restart;
$node->safe_psql('postgres', 'DROP TRIGGER slowly ON hcevents.position');
hce_flush($node);
is(scalar(() = $kafka->messages('healthcore.patient.created')),
	1, 'what it had delivered is not sent again');

# A lock that another session holds

my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE hcevents.position IN ACCESS EXCLUSIVE MODE');
$node->safe_psql('postgres', "INSERT INTO patients (name) VALUES ('locked')");
relay_waits('relation');
my $pid = $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE backend_type = 'hcevents relay'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok( hce_wait_until(sub { !kill(0, $pid) }, 10),
	'a relay that waits for a lock ends at once');
$holder->quit;
hce_flush($node);

# It is told before the wait begins: with an event that Kafka takes at the last
# moment, so that there is a position to write

$kafka->pause;
$node->safe_psql('postgres', "INSERT INTO patients (name) VALUES ('at the last moment')");
ok($node->poll_query_until('postgres', 'SELECT sum(pending) = 1 FROM hcevents.delivery_stats'),
	'an event is on its way');
$pid = hce_relay_pid($node);
kill 'STOP', $pid;
$holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE hcevents.position IN ACCESS EXCLUSIVE MODE');
$kafka->resume;
kill $_, $pid foreach 'TERM', 'CONT';
ok( hce_wait_until(sub { !kill(0, $pid) }, 10),
	'a relay that was told before it waits for a lock ends soon');
$holder->quit;
hce_flush($node);

$node->stop;
done_testing();
