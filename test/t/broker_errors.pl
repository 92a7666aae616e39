# Errors that a broker answers with: those that pass, those that seem final
# and are not, and those that end the producer.  Whatever it was, everything
# arrives, in order.
#
# The broker is librdkafka's mock cluster, which can be told what to answer; a
# real one cannot.  It stores little and checks no sequences: what is lost or
# doubled by a broker is for the other tests, which have a real one.  Nor does
# it refuse what follows on a batch that it refused, as a real one does, so the
# events linger, lest a second batch is under way when the first one fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($in, $out, $errors) = ('', '', '');
my $broker = IPC::Run::start([ hce_program('hcevents-devbroker'), '--errors' ],
	'<', \$in, '>', \$out, '2>', \$errors);

sub answer
{
	my ($pattern) = @_;
	my $deadline = time() + 30;
	until ($out =~ /^$pattern\n/)
	{
		BAIL_OUT("the mock broker does not answer: $errors") if time() > $deadline;
		$broker->pump_nb;
		sleep(0.01);
	}
	chomp(my $line = $out);
	$out = '';
	return $line;
}

# A line for the mock broker, see hcevents-devbroker --help.
sub order
{
	my ($line) = @_;
	$in .= "$line\n";
	return answer('ok');
}

# What hce_node and hce_verify want to know of a Kafka.
package MockKafka { our @ISA = ('HceTest::Kafka'); sub bootstrap { return $_[0]{address}; } }
my $kafka = bless { address => answer('\S+:\d+') }, 'MockKafka';

my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
hcevents.kafka_config = 'linger.ms=100'
CONF
hce_patients($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO patients (name) VALUES ('first'), ('second');
DELETE FROM patients WHERE id = 2;
SQL
hce_flush($node);

sub reach
{
	my ($sql, $name) = @_;
	return ok(
		hce_wait_until(
			sub {
				my ($status, $answer) = $node->psql('postgres', $sql);
				return $status == 0 && $answer eq 't';
			},
			60),
		$name);
}

my %cases = (
	'not the leader' => [ 6, 6, 6 ],
	'timed out' => [ 7, 7 ],
	'not enough replicas' => [ 19, 20, 19 ],
	'no such topic, which is there' => [3],
	'storage error' => [56],
	'too large, then not' => [10],
	'corrupt, then not' => [ 2, 2 ],
	'invalid record, then not' => [87],
	'all that pass' => [ 6, 7, 19, 20, 3 ],
	'out of order sequence' => [45],
	'invalid producer epoch' => [47],
	'unknown producer' => [59],
	'fatal, twice' => [ 45, 45 ]);
foreach my $case (sort keys %cases)
{
	order("0 @{ $cases{$case} }");
	# one transaction, and many small ones
	$node->safe_psql('postgres', <<'SQL' . join '', map { "UPDATE patients SET name = 'v$_' WHERE id = 1;\n" } 1 .. 50);
INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 200) n;
UPDATE patients SET name = name || '!' WHERE id % 10 = 0;
SQL
	hce_flush($node);
	hce_verify($node, $kafka,
		arguments => ['--allow-duplicates'],
		name => "$case: all arrived, in order");
}

# A single message arrives corrupt, and does so alone as well

order('0 2 2 2');
$node->safe_psql('postgres', 'UPDATE patients SET version = version + 1 WHERE id = 1');
hce_flush($node);
is(hce_stats($node, 'dead'), 0, 'corrupt, then not, also alone: no dead letter');
order('0 2 2 2 2 2 2');
$node->safe_psql('postgres', q{UPDATE patients SET name = 'corrupt' WHERE id = 1});
hce_flush($node);
is( $node->safe_psql('postgres', 'SELECT reason, error FROM hcevents.dead_letters'),
	'refused|Broker: Invalid message', 'corrupt each time: a dead letter');
$node->safe_psql('postgres', q{SELECT hcevents.retry_dead_letters(event_type => 'patient.updated')});
hce_flush($node);

# A topic is resumed in the second in which there is no producer: the one
# before had a fatal error soon after it was made.

foreach my $round (1 .. 3)
{
	$node->safe_psql('postgres', q{SELECT hcevents.pause('patient.deleted')});
	sleep(0.3);
	$node->safe_psql('postgres', "DELETE FROM patients WHERE id = 10 + $round");
	reach('SELECT parked = 1 FROM hcevents.status', 'a paused topic parks');
	sleep(1.2);
	order('0 45 45');
	$node->safe_psql('postgres', 'UPDATE patients SET version = version + 1 WHERE id = 1');
	sleep(0.4);
	$node->safe_psql('postgres', q{SELECT hcevents.resume('patient.deleted')});
	hce_flush($node);
}
hce_verify($node, $kafka,
	arguments => ['--allow-duplicates'],
	name => 'fatal errors while a topic parks: all arrived, in order');

# The first of three requests on their way is refused, the others are taken:
# librdkafka then says of all of them that they are delivered, but tells no
# offset of the first.  Seen where a topic is deleted and made again.  What
# follows on it comes again behind it.  (Last, as the order is broken by that.)

order('delay 600');
order('0 3');
foreach my $name ('last 1', 'last 2', 'last 3')
{
	$node->safe_psql('postgres', "UPDATE patients SET name = '$name' WHERE id = 1");
	sleep(0.15);
}
order('delay 0');
hce_flush($node);
my @names = map { $_->{data}{name} }
  grep { $_->{data}{patient_id} == 1 } $kafka->events('patient.updated');
is_deeply([ @names[ -3 .. -1 ] ],
	[ 'last 1', 'last 2', 'last 3' ],
	'acknowledged without an offset: sent again, in order');

is( hce_stats($node, 'captured - delivered'), 0, 'captured = delivered');
is(hce_stats($node, 'dead'), 0, 'no error that passes made a dead letter');
is( $node->safe_psql('postgres', 'SELECT restarts FROM hcevents.status'),
	'0', 'the relay has dealt with all of it in one life');
unlike(slurp_file($node->logfile), qr/was terminated by|terminating any other/,
	'no crash');

$node->stop;
$broker->kill_kill(grace => 2);
done_testing();
