# hcevents.kafka_config and hcevents.kafka_config_file: what they take, who
# sees what, and a relay that waits for a file to be mended.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceSecure;
use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'Wasserzeichen-4711';
my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka);
my $secure = HceSecure->new;
my $file = $secure->path('client.properties');
hce_patients($node);

# ERROR, DETAIL and HINT of a statement in one line.
sub failure
{
	my ($sql) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', $sql);
	$stderr =~ s/\n/ /g;
	return $stderr;
}

# The setting

my @good = (
	'',
	'  ',
	'security.protocol=SASL_SSL, sasl.mechanism=SCRAM-SHA-512',
	'client.id = relay , linger.ms=5,compression.type=zstd',
	'ssl.ca.location=/etc/ssl/ca.pem,ssl.endpoint.identification.algorithm=https',
	'acks=all, enable.idempotence=true, request.timeout.ms=20000');
is(failure("SET hcevents.kafka_config = '$_'"), '', "taken: '$_'")
  foreach @good;

my @bad = (
	[ 'client.id', qr/not name=value/ ],
	[ 'client.id=', qr/value of "client.id" must be/ ],
	[ 'client.id=a, client.id=b', qr/"client.id" is given twice/ ],
	[ 'sasl.mechanism=PLAIN,sasl.mechanisms=PLAIN', qr/given twice/ ],
	[ 'linger.ms=x', qr/must be a number between 0 and 1000/ ],
	[ 'linger.ms=5000', qr/must be a number between 0 and 1000/ ],
	[ 'security.protocol=tls', qr/one of plaintext ssl sasl_plaintext/ ],
	[ 'sasl.mechanism=GSSAPI', qr/one of PLAIN SCRAM.*client certificates/ ],
	[ 'no.such.option=1', qr/"no.such.option" is not one of those/ ],
	[ 'Client.Id=x', qr/"Client.Id" is not one of those/ ],
	[ 'bootstrap.servers=a:1', qr/Set hcevents.bootstrap_servers/ ],
	[ 'debug=all', qr/not allowed/ ]);
push @bad, [ "$_=1", qr/"\Q$_\E" is not allowed: it could lose/ ]
  foreach qw(message.timeout.ms delivery.timeout.ms retries
  message.send.max.retries max.in.flight queue.buffering.max.messages
  max.in.flight.requests.per.connection partitioner transactional.id
  enable.gapless.guarantee queuing.strategy test.mock.num.brokers);
push @bad, [ "$_=1", qr/"\Q$_\E" is not allowed: it loads code/ ]
  foreach qw(plugin.library.paths sasl.kerberos.kinit.cmd interceptors
  ssl.engine.location ssl.providers);
push @bad, [ "$_=x", qr/the value of "\Q$_\E" must be/ ]
  foreach qw(acks enable.idempotence enable.ssl.certificate.verification);
push @bad, [ 'acks=1', qr/the value of "acks" must be one of all/ ];
push @bad, [ 'rebalance_cb=1', qr/a callback cannot be set/ ];
push @bad, [ "$_=$secret", qr/"\Q$_\E" is a secret.*kafka_config_file/ ]
  foreach qw(sasl.password ssl.key.password ssl.keystore.password);
foreach my $case (@bad)
{
	my $message = failure("SET hcevents.kafka_config = '$case->[0]'");
	like($message, $case->[1], "refused: $case->[0]");
	like(
		$message,
		qr/ERROR:  invalid value for parameter "hcevents.kafka_config" DETAIL/,
		'without the value in the message');
}
like(
	failure("ALTER SYSTEM SET hcevents.kafka_config_file = 'acks=1'"),
	qr/must be the path of a file/, 'options are no path');

# The file

my $broken = qr/^a usable hcevents.kafka_config and kafka_config_file$/;
my $number = 0;

# Write the file, insert a row, and wait for what status says.
sub file_is_wrong
{
	my ($text, $error, $what, $mode, $found_by) = @_;
	$secure->write('client.properties', $text, $mode);
	$node->safe_psql('postgres',
		"INSERT INTO patients (name) VALUES ('p" . ++$number . "')");
	$secure->status_is($node, 'disconnected', $broken, $error, $what);
	return if $found_by;	# not by us, so check() does not know
	my ($check) = $node->safe_psql('postgres',
		q{SELECT status || ' ' || detail FROM hcevents.check() WHERE "check" = 'kafka_config'}
	);
	like($check, qr/^error /, 'and in check()');
	like($check, $error, 'with the same words');
	return;
}

# A file that can be used: everything is delivered, nobody does anything.
sub file_is_mended
{
	my ($text) = @_;
	$secure->write('client.properties', $text // "# nothing\n");
	hce_flush($node);
	$secure->status_is($node, 'streaming', qr/^$/, qr/./,
		'and the relay streams');
	return;
}

hce_wait_for_relay($node);
my $restarts = $node->safe_psql('postgres', 'SELECT restarts FROM hcevents.status');
$secure->configure($node, kafka_config_file => $file);
$secure->status_is($node, 'disconnected', $broken,
	qr/could not open ".*client.properties": No such file/,
	'a file that is not there is waited for');
file_is_mended();

# it is looked at while Kafka answers, too, when the server is told to
$secure->write('client.properties', "# a comment\n! another\n\n nonsense");
$node->reload;
$secure->status_is($node, 'disconnected', $broken,
	qr/client.properties", line 4: this is not name=value/,
	'a reload has a changed file read');

file_is_wrong("client.id=a\n$secret=1\n",
	qr/line 2: this option is not one of those/, 'an unknown option');
file_is_wrong("\n\nacks=1", qr/line 3: the value of "acks" must be/,
	'a forbidden value');
file_is_wrong("plugin.library.paths=$secret",
	qr/line 1: the option "plugin...." is not allowed: it loads code/,
	'an option that loads code');
file_is_wrong("client.id=a\nclient.rack=b\nclient.id=c",
	qr/line 3: the option "client.id" is in line 1 already/, 'twice');
file_is_wrong("linger.ms=$secret", qr/line 1: the value of "linger.ms" must/,
	'a value that is wrong');
file_is_wrong("sasl.password=$secret",
	qr/"sasl.password" is given, but security.protocol is not given/,
	'a password that would not be used');
file_is_wrong("ssl.ca.location=/x\nsecurity.protocol=plaintext",
	qr/security.protocol is plaintext: nothing would be encrypted/,
	'certificates that would not be used');
file_is_wrong(
	"security.protocol=sasl_ssl\nsasl.mechanism=PLAIN\nsasl.username=u",
	qr/"sasl.password" is not given/, 'no password');
file_is_wrong(
	"security.protocol=ssl\nssl.endpoint.identification.algorithm=none",
	qr/needs an ssl.ca.location/, 'any certificate for any host');
$secure->write('client.properties', '');
file_is_wrong(
	"security.protocol=ssl\nssl.ca.location=" . $secure->path('missing.pem'),
	qr/ssl.ca.location failed/, 'an authority that is not there', undef, 'librdkafka');
file_is_wrong("sasl.password=$secret", qr/has mode 0640/, 'a mode too open',
	0640);
file_is_wrong("# $secret\0", qr/is not a text file/, 'a binary file');
file_is_mended("client.id=a\n  client.rack = b \n");

$secure->configure($node, kafka_config_file => $secure->path(''));
$secure->status_is($node, 'disconnected', $broken,
	qr/is not a regular file/, 'a folder');
SKIP:
{
	skip 'a FIFO is needed', 1
	  if system('mkfifo', '-m', '600', $secure->path('fifo')) != 0;
	$secure->configure($node, kafka_config_file => $secure->path('fifo'));
	$secure->status_is($node, 'disconnected', $broken,
		qr/fifo" is not a regular file/, 'a FIFO does not make it hang');
}
$secure->configure($node, kafka_config_file => '/etc/shadow');
$secure->status_is($node, 'disconnected', $broken,
	qr{could not open "/etc/shadow": Permission}, 'a file of somebody else');
like($node->safe_psql('postgres',
		'SELECT detail FROM hcevents.check() WHERE detail ~ \'Kafka\' AND status = \'error\''),
	qr/the options of the connection to Kafka cannot be used.*shadow/,
	'the admin worker says so, too');
$secure->configure($node, kafka_config_file => $file);
hce_flush($node);

# an admin worker with options
is( $node->safe_psql('postgres',
		q{SELECT status FROM hcevents.check() WHERE "check" = 'brokers'}),
	'ok', 'the admin worker connects with the options');

# the relay has waited: its process did not fail, and it has the new options
is($node->safe_psql('postgres', 'SELECT state FROM hcevents.status'),
	'streaming', 'all is well at the end');
unlike(slurp_file($node->logfile), qr/terminat|exited with exit code|PANIC/,
	'no process has failed');
my $log = slurp_file($node->logfile);
$log =~ s/^.*(STATEMENT|statement):.*\n//mg;	# what the test itself typed
unlike($log, qr/$secret/, 'no value of the file is in the log');
unlike($node->safe_psql('postgres', 'SELECT s::text FROM pg_settings s'),
	qr/$secret/, 'nor in pg_settings');

# Plain text to somewhere else

is( $node->safe_psql('postgres',
		q{SELECT status, detail FROM hcevents.check() WHERE "check" = 'encryption'}
	),
	'ok|Kafka is on this machine', 'no warning for this machine');
foreach my $case (
	[ 'localhost:9092,127.0.0.1,[::1]:9092,127.8.9.1:1', 'ok' ],
	[ 'localhost:9092, kafka.invalid:9092', 'warning' ],
	[ '10.1.2.3', 'warning' ],
	[ '[fd00::1]:9092', 'warning' ],
	[ '::ffff:10.1.2.3', 'warning' ],
	[ '0.0.0.0:9092', 'warning' ])
{
	is( $node->safe_psql('postgres',
			"SET hcevents.bootstrap_servers = '$case->[0]'; "
			  . q{SELECT status FROM hcevents.check_connection() WHERE "check" = 'encryption'}
		),
		$case->[1],
		"$case->[1] for $case->[0]");
}
my $offset = -s $node->logfile;
$secure->configure($node, bootstrap_servers => 'kafka.invalid:9092');
ok( $node->wait_for_log(
		qr/WARNING:.*sends events to "kafka.invalid" unencrypted/, $offset),
	'the relay warns when it starts');
$offset = -s $node->logfile;
$secure->configure($node, kafka_config => 'security.protocol=ssl');
$secure->status_is($node, 'disconnected', qr/an answer/, qr/resolve/,
	'a host that does not exist');
unlike(slurp_file($node->logfile, $offset),
	qr/unencrypted/, 'no warning with TLS');
$secure->configure($node, kafka_config => '',
	bootstrap_servers => $kafka->bootstrap);
hce_flush($node);
hce_verify($node, $kafka, name => 'nothing is missing, nothing comes twice');

$node->stop;
done_testing();
