# SASL SCRAM against two real Kafkas.  librdkafka before 2.6.1 makes a mistake
# in it that Kafka lets pass up to 3.9 and refuses from 4.0 on, as if the
# password were wrong: then status, log and check() say so.
#
#	librdkafka		Kafka 3.9	Kafka 4.3
#	before 2.6.1	logs in		is refused
#	2.6.1 and newer	logs in		logs in
#
# One row is tested in a run, that of the librdkafka installed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceSecure;
use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my @mechanisms = ('SCRAM-SHA-256', 'SCRAM-SHA-512');
my $password = 'Richtig-4711';
my $wrong = 'Falsch-0815';
my $secure = HceSecure->new;
my $ca = $secure->path('ca.pem');
my $file = $secure->path('client.properties');

my (undef, $version) = hce_run('/usr/bin/python3', '-c',
	'import confluent_kafka as c; print(c.libversion()[1])');
my $old = $version < 0x020601ff;
my $login = 'Kafka to accept sasl.username and sasl.password';
my $login_old = qr/^\Q$login\E; Kafka 4.0 and newer accept none by SCRAM of librdkafka [\d.]+$/;
$login = $old ? $login_old : qr/^\Q$login\E$/;

$secure->certificate('broker', name => 'localhost');

# A Kafka with a user "relay" in each mechanism.
sub start_kafka
{
	my (%options) = @_;
	my $module = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';

	$secure->write('server.extra',
		join '', map { "listener.name.login.$_\n" } (
			'ssl.keystore.type=PEM',
			'ssl.keystore.location=' . $secure->path('broker.both'),
			'ssl.truststore.type=PEM', "ssl.truststore.location=$ca",
			'sasl.enabled.mechanisms=' . join(',', @mechanisms),
			map { lc($_) . ".sasl.jaas.config=$module" } @mechanisms));
	my $kafka = HceTest::Kafka->start(
		%options,
		listeners => 'LOGIN:SASL_SSL',
		extra => $secure->path('server.extra'));
	$kafka->call('class', 'kafka.admin.ConfigCommand', '--bootstrap-server',
		$kafka->bootstrap, '--alter', '--entity-type', 'users',
		'--entity-name', 'relay', '--add-config', "$_=[password=$password]")
	  foreach @mechanisms;
	return $kafka;
}

my $node = hce_node('main', extension => 0);

sub log_in_with
{
	my ($mechanism, $secret) = @_;
	$secure->write('client.properties',
		"security.protocol=sasl_ssl\nssl.ca.location=$ca\n"
		  . "sasl.mechanism=$mechanism\nsasl.username=relay\n"
		  . "sasl.password=$secret\n");
	return;
}

sub write_row
{
	$node->safe_psql('postgres', "INSERT INTO patients (name) VALUES ('p')");
	return;
}

# An extension, and so an empty ledger, for each Kafka.
sub use_kafka
{
	my ($kafka) = @_;
	$node->safe_psql('postgres', <<'SQL');
DROP EXTENSION IF EXISTS hcevents CASCADE;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
CREATE EXTENSION hcevents;
SQL
	$secure->configure(
		$node,
		bootstrap_servers => $kafka->bootstrap('LOGIN'),
		kafka_config_file => $file);
	hce_patients($node);
	return;
}

sub check_row
{
	return $node->safe_psql('postgres',
		q{SELECT status, detail, hint FROM hcevents.check_connection() WHERE "check" = 'sasl'});
}

sub refused
{
	my ($waiting_for, $mechanism, $what) = @_;
	write_row();
	$secure->status_is($node, 'disconnected', $waiting_for,
		qr/invalid credentials with SASL mechanism $mechanism/,
		"$what, $mechanism");
	return;
}

# A relay that is connected reads the file when the server is reloaded.
sub wrong_password
{
	my ($mechanism, $what) = @_;
	log_in_with($mechanism, $wrong);
	$node->reload;
	refused($login, $mechanism, "$what: a wrong password");
	return;
}

sub works
{
	my ($what) = @_;
	write_row();
	hce_flush($node);
	$secure->status_is($node, 'streaming', qr/^$/, qr/^/, "streams: $what");
	return;
}

# Kafka 3.9: any librdkafka

my $kafka = start_kafka(version => '3.9.2');
log_in_with($mechanisms[0], $wrong);
use_kafka($kafka);
foreach my $mechanism (@mechanisms)
{
	wrong_password($mechanism, 'Kafka 3.9');
	log_in_with($mechanism, $password);
	works("Kafka 3.9, $mechanism: the right one, without a hand at the server");
}
hce_verify($node, $kafka, name => 'Kafka 3.9 has all, and nothing twice');
like(
	check_row(),
	$old
	? qr/^warning\|log-in by SCRAM-SHA-512 with librdkafka [\d.]+: Kafka up to 3.9 accepts it.*\|.*install librdkafka 2.6.1/
	: qr/^ok\|log-in by SCRAM-SHA-512 with librdkafka [\d.]+\|$/,
	$old ? 'check() tells of it before the brokers are new'
	: 'check() has nothing against it');
$kafka->stop;

# Kafka 4.3: an old librdkafka is told from a wrong password

$kafka = start_kafka();
use_kafka($kafka);
foreach my $mechanism (@mechanisms)
{
	wrong_password($mechanism, 'Kafka 4.3');
	my $seen = -s $node->logfile;
	log_in_with($mechanism, $password);
	if ($old)
	{
		# a new relay, which has only ever seen the right one
		ok( hce_wait_until(
				sub {
					slurp_file($node->logfile, $seen) =~
					  /has no connection to Kafka.*\n.*HINT: .*SCRAM of this librdkafka is refused by Kafka 4\.0 and newer: install librdkafka 2\.6\.1/;
				},
				60),
			"Kafka 4.3, $mechanism: the log says why the right one is refused"
		);
		refused($login_old, $mechanism, 'and so does status');
	}
	else
	{
		works("Kafka 4.3, $mechanism: the right one");
	}
}
like(check_row(), $old ? qr/^warning\|/ : qr/^ok\|/, 'and check()');
$secure->configure($node, bootstrap_servers => $kafka->bootstrap,
	kafka_config_file => '');
works('without SCRAM all that waited arrives');
is(check_row(), '', 'and check() is not about log-ins any more');
hce_verify($node, $kafka, name => 'Kafka 4.3 has all, and nothing twice');

# Secrets

my $log = slurp_file($node->logfile);
unlike($log, qr/$password|$wrong/, 'no password in the log');
unlike($node->safe_psql('postgres', 'SELECT s::text FROM hcevents.status s'),
	qr/$password|$wrong/, 'nor in status');
$node->stop;
done_testing();
