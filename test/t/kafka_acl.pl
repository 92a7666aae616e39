# A Kafka with ACLs: what is not permitted is waited for, with a word of which
# permission is missing, is never a dead letter, and goes on once it is granted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceSecure;
use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $secure = HceSecure->new;
$secure->write('server.extra',
	"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
	  . "super.users=User:ANONYMOUS\n"
	  . "listener.name.login.sasl.enabled.mechanisms=PLAIN\n"
	  . 'listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_relay="geheim";'
	  . "\n");
my $kafka = HceTest::Kafka->start(
	listeners => 'LOGIN:SASL_PLAINTEXT',
	auto_create => 0,
	extra => $secure->path('server.extra'));
my @topics = map { "healthcore.$_" }
  qw(patient.created patient.updated patient.deleted
  appointment.booked appointment.cancelled appointment.completed);
$kafka->create_topics(1, @topics);

sub acl
{
	my ($verb, @arguments) = @_;
	$kafka->call('class', 'org.apache.kafka.tools.AclCommand',
		'--bootstrap-server', $kafka->bootstrap, $verb, '--force',
		'--allow-principal', 'User:relay', @arguments);
	return;
}
my @ours = ('--topic', 'healthcore.', '--resource-pattern-type', 'prefixed');

my $node = hce_node('main', kafka => $kafka);
$secure->write('client.properties',
	"security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\n"
	  . "sasl.username=relay\nsasl.password=geheim\n");
$secure->configure($node,
	bootstrap_servers => $kafka->bootstrap('LOGIN'),
	kafka_config_file => $secure->path('client.properties'));
hce_patients($node);

my $number = 0;

sub write_rows
{
	my $last = $number + 20;
	$node->safe_psql('postgres',
		"INSERT INTO patients (name) SELECT 'p' || g FROM generate_series($number, $last) g"
	);
	$node->safe_psql('postgres', 'UPDATE patients SET version = version + 1');
	$number = $last + 1;
	return;
}

# Nothing is granted

write_rows();
$secure->status_is($node, 'streaming',
	qr/permission to (see topic "healthcore.patient.created"; grant WRITE and DESCRIBE|be an idempotent producer; grant it WRITE)/,
	qr/authoriz/i, 'without any permission');

# DESCRIBE, but no WRITE

acl('--add', '--operation', 'DESCRIBE', @ours);
$secure->status_is(
	$node, 'streaming',
	qr/permission to be an idempotent producer; grant it WRITE on its topics, or IDEMPOTENT_WRITE/,
	qr/authoriz/i, 'without WRITE on any topic');

# IDEMPOTENT_WRITE, but no WRITE on the topics

acl('--add', '--operation', 'IdempotentWrite', '--cluster');
$secure->status_is(
	$node, 'streaming',
	qr/permission to write topic "healthcore.patient.created"; grant WRITE and DESCRIBE/,
	qr/authoriz/i, 'without WRITE on the topics');
is($node->safe_psql('postgres', q{SELECT hcevents.flush('100 ms')}),
	'f', 'nothing is settled by that');

# WRITE is granted

acl('--add', '--operation', 'WRITE', @ours);
hce_flush($node);
$secure->status_is($node, 'streaming', qr/^$/, qr/^/, 'it goes on');

# and taken away while events flow

write_rows();
acl('--remove', '--operation', 'WRITE', @ours);
write_rows();
$secure->status_is($node, 'streaming',
	qr/permission to write topic "healthcore/,
	qr/authoriz/i, 'WRITE is revoked');
acl('--add', '--operation', 'WRITE', @ours);
hce_flush($node);

# WRITE on all topics but one: that one is parked, the others go on

sub reach
{
	my ($sql, $name) = @_;
	return ok(
		hce_wait_until(sub { $node->safe_psql('postgres', $sql) eq 't' }, 90), $name)
	  || diag($node->safe_psql('postgres',
			'SELECT event_type, captured, delivered, pending, parked, dead FROM hcevents.delivery_stats'));
}
my @may = map { ('--topic', $_) } grep { $_ ne 'healthcore.patient.created' } @topics;
acl('--add', '--operation', 'WRITE', @may);
acl('--remove', '--operation', 'WRITE', @ours);
foreach my $round (1, 2)
{
	write_rows();
	reach(<<'SQL', "the topics that may be written go on, $round");
SELECT captured = delivered FROM hcevents.delivery_stats WHERE event_type = 'patient.updated'
SQL
}
reach(<<'SQL', 'the events of the other one are parked');
SELECT parked = captured - delivered AND parked > 0 FROM hcevents.delivery_stats WHERE event_type = 'patient.created'
SQL
acl('--add', '--operation', 'WRITE', @ours);
reach('SELECT sum(captured) = sum(delivered) FROM hcevents.delivery_stats',
	'once it may be written too, all is delivered');

# Each try costs all topics the producer, so they become rare; resume() has one
# made at once.

sub tries
{
	return scalar grep { /topic "healthcore.patient.created".* are now sent from/ }
	  split /\n/, slurp_file($node->logfile);
}
my $redelivered = hce_stats($node, 'redelivered');
acl('--remove', '--operation', 'WRITE', @ours);
write_rows();
$secure->status_is($node, 'streaming',
	qr/permission to write topic "healthcore.patient.created"; .*; tried again after [2-9]\d s, or at once by hcevents.resume\(\)/,
	qr/authoriz/i, 'it is left alone longer with each try');
my $tries = tries();
my $end = time() + 26;
while (time() < $end)
{
	$node->safe_psql('postgres', 'UPDATE patients SET version = version + 1');
}
cmp_ok(tries() - $tries, '<=', 1, 'so it is hardly tried again');
note(tries() . ' tries in all, redelivered: '
	  . (hce_stats($node, 'redelivered') - $redelivered));
acl('--add', '--operation', 'WRITE', @ours);
$node->safe_psql('postgres', q{SELECT hcevents.resume('patient.created')});
ok( hce_wait_until(
		sub { hce_stats($node, 'captured - delivered') == 0 }, 15),
	'resume() has it tried at once');
$secure->status_is($node, 'streaming', qr/^$/, qr/^/, 'nothing is waited for');

is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.dead_letters'),
	'0', 'no event is a dead letter');
hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'nothing is missing, order is kept');
cmp_ok(hce_stats($node, 'redelivered'), '<', 100,
	'hardly anything came twice');
unlike(slurp_file($node->logfile), qr/geheim/, 'no password in the log');

$node->stop;
done_testing();
