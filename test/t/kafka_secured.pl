# TLS, mutual TLS and SASL against a real Kafka: each works, each that is wrong
# says what, and delivery goes on by itself once it is mended.  SCRAM is in
# kafka_scram.pl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceSecure;
use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $password = 'Richtig-4711';
my $wrong = 'Falsch-0815';
my $secure = HceSecure->new;
my $ca = $secure->path('ca.pem');

$secure->certificate('broker', name => 'localhost');
$secure->certificate('late', name => 'localhost', days => -1);
$secure->certificate('client', name => 'relay', password => $password);
$secure->certificate('client_late', name => 'relay', days => -1);
$secure->authority('other');

sub keystore
{
	my ($listener, $file) = @_;
	return join '', map { "listener.name.$listener.ssl.$_\n" } (
		'keystore.type=PEM', 'keystore.location=' . $secure->path("$file.both"),
		'truststore.type=PEM', "truststore.location=$ca");
}

my $plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required '
  . "user_relay=\"$password\";";
$secure->write(
	'server.extra',
	keystore('tls', 'broker')
	  . keystore('mutual', 'broker')
	  . keystore('late', 'late')
	  . keystore('login', 'broker')
	  . "listener.name.mutual.ssl.client.auth=required\n"
	  . "listener.name.login.sasl.enabled.mechanisms=PLAIN\n"
	  . "listener.name.login.plain.sasl.jaas.config=$plain\n"
	  . "listener.name.open.sasl.enabled.mechanisms=PLAIN\n"
	  . "listener.name.open.plain.sasl.jaas.config=$plain\n");
my $kafka = HceTest::Kafka->start(
	listeners => 'TLS:SSL MUTUAL:SSL LATE:SSL LOGIN:SASL_SSL OPEN:SASL_PLAINTEXT',
	extra => $secure->path('server.extra'));

my $node = hce_node('main', kafka => $kafka);
my $file = $secure->path('client.properties');
hce_patients($node);
hce_wait_for_relay($node);

my $login = qr/^Kafka to accept sasl.username and sasl.password(;|$)/;
my $tls = qr/^a TLS connection to Kafka that both sides accept$/;
my $number = 0;

sub write_row
{
	$number++;
	$node->safe_psql('postgres',
		"INSERT INTO patients (name) VALUES ('p$number')");
	return;
}

# The server's settings point to a listener; options are those of the file.
sub use_listener
{
	my ($listener, $options, $address) = @_;
	$secure->write('client.properties', $options);
	$secure->configure(
		$node,
		kafka_config_file => $file,
		bootstrap_servers => $address // $kafka->bootstrap($listener));
	write_row();
	return;
}

sub works
{
	my ($what) = @_;
	hce_flush($node);
	$secure->status_is($node, 'streaming', qr/^$/, qr/^/, "streams: $what");
	return;
}

sub refused
{
	my ($waiting_for, $error, $what) = @_;
	$secure->status_is($node, 'disconnected', $waiting_for, $error, $what);
	write_row();
	return;
}

# TLS

my $trust = "security.protocol=ssl\nssl.ca.location=$ca\n";
use_listener('TLS', $trust);
works('TLS');
is( $node->safe_psql('postgres',
		q{SELECT string_agg(status, ',') FROM hcevents.check() WHERE "check" IN ('brokers', 'kafka_config', 'encryption')}
	),
	'ok,ok,ok', 'and check() finds nothing');

use_listener('TLS', "security.protocol=ssl\nssl.ca.location="
	  . $secure->path('other.pem') . "\n");
refused($tls, qr/certificate is not accepted: .*authority.*ssl.ca.location/,
	'an authority that is not known');
$secure->write('client.properties', $trust);
works('the file names the right authority');

(my $numeric = $kafka->bootstrap('TLS')) =~ s/localhost/127.0.0.1/;
use_listener('TLS', $trust, $numeric);
refused($tls, qr/certificate is not accepted: it is not made for the IP address|another host name/,
	'a wrong host name');
$secure->configure($node, bootstrap_servers => $kafka->bootstrap('TLS'));
works('the right name');

use_listener('LATE', $trust);
refused($tls, qr/certificate is not accepted: it has expired/,
	'an expired certificate of the broker');
$secure->certificate('late', name => 'localhost');
$kafka->restart;
works('the broker has a new one');

use_listener('TLS', "# nothing\n");
refused(qr/^an answer from Kafka$/, qr/security.protocol/,
	'plain text to a TLS listener');
$secure->write('client.properties', $trust);
works('TLS again');

# Mutual TLS

my $mine = $trust . 'ssl.certificate.location=' . $secure->path('mine.pem')
  . "\nssl.key.location=" . $secure->path('mine.key') . "\n";
use_listener('MUTUAL', $trust);
refused(qr/./, qr/SSL|certificate|Disconnected/i, 'no certificate for a broker that wants one');
$secure->write('mine.pem', slurp_file($secure->path('client_late.pem')));
$secure->write('mine.key', slurp_file($secure->path('client_late.key')));
$secure->write('client.properties', $mine);
refused(qr/./, qr/expired|certificate/, 'an expired certificate of our own');
# mended without a word to anybody: the files have new content
$secure->write('mine.key', slurp_file($secure->path('client.key')));
$secure->write('mine.pem', slurp_file($secure->path('client.pem')));
works('a renewed certificate in the same file');
$secure->write('mine.key', slurp_file($secure->path('client.enc')));
$secure->write('client.properties', $mine . "ssl.key.password=$wrong\n");
$node->reload;
refused(qr/^a usable/, qr/ssl.key.location/, 'a wrong password of the key');
$secure->write('client.properties', $mine . "ssl.key.password=$password\n");
works('the right password of the key');

# SASL

sub sasl
{
	my ($protocol, $mechanism, $secret) = @_;
	return "security.protocol=$protocol\n"
	  . ($protocol eq 'sasl_ssl' ? "ssl.ca.location=$ca\n" : '')
	  . "sasl.mechanism=$mechanism\nsasl.username=relay\nsasl.password=$secret\n";
}
use_listener('LOGIN', sasl('sasl_ssl', 'PLAIN', $wrong));
refused($login, qr/authentication|credentials/i, 'PLAIN: a wrong password');
$secure->write('client.properties', sasl('sasl_ssl', 'PLAIN', $password));
works('PLAIN: the right one');
use_listener('OPEN', sasl('sasl_plaintext', 'PLAIN', $password));
works('PLAIN without TLS');
use_listener('OPEN', sasl('sasl_plaintext', 'SCRAM-SHA-256', $password));
refused($login, qr/mechanism/i, 'a mechanism that the broker has not');
$secure->write('client.properties',
	sasl('sasl_plaintext', 'PLAIN', $password));
works('one that it has');

# the programs, with the same file
my ($status, $stdout, $stderr) = hce_run(hce_program('hcevents-consume'),
	'--bootstrap-servers', $kafka->bootstrap('OPEN'), '--config-file', $file,
	'--from-beginning', '--until-end', '--timeout', 60, 'patient.created');
is($status, 0, 'hcevents-consume logs in with the file') or diag($stderr);
is(scalar(split /\n/, $stdout), $number, 'and gets all events');

$secure->configure($node, kafka_config_file => '',
	bootstrap_servers => $kafka->bootstrap);
write_row();
hce_flush($node);
hce_verify($node, $kafka, name => 'nothing is missing, nothing comes twice');

# Secrets

my $log = slurp_file($node->logfile);
unlike($log, qr/$password|$wrong/, 'no password in the log');
unlike($node->safe_psql('postgres', 'SELECT s::text FROM hcevents.status s'),
	qr/$password|$wrong/, 'nor in status');
unlike($log, qr/terminated by signal|exited with exit code|PANIC/,
	'no process has failed');
$node->stop;
done_testing();
