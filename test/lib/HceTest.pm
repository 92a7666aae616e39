# What the TAP tests share: a PostgreSQL with hcevents, and a real Kafka.
#
#	use HceTest;
#	my $kafka = HceTest::Kafka->start;
#	my $node  = hce_node('main', kafka => $kafka);
#	hce_patients($node);
#	$node->safe_psql('postgres', q{INSERT INTO patients (name) VALUES ('x')});
#	hce_flush($node);
#	my @events = $kafka->events('patient.created');
#
# Servers are stopped when the test ends, however it ends.  Nothing here
# sleeps for luck: each wait has a condition and a time-out.
#
# HCE_TEST_PATIENCE multiplies these time-outs: above 1 for a slow build, below
# where a failure is expected.  HCE_TEST_FIRST=1 ends a test at the first
# assertion that fails.
package HceTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(hce_node hce_new_node hce_patients hce_flush hce_stats hce_program
  hce_wait_until hce_wait_for_relay hce_relay_pid hce_run hce_verify
  hce_figure hce_top);

# What stops the servers is an END block.
$SIG{TERM} = sub { exit 1 };

my $patience = $ENV{HCE_TEST_PATIENCE} // 1;
$PostgreSQL::Test::Utils::timeout_default *= $patience;

if ($ENV{HCE_TEST_FIRST})
{
	no warnings 'redefine';
	my $ok = \&Test::Builder::ok;
	*Test::Builder::ok = sub {
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		my $passed = $ok->(@_);
		BAIL_OUT('the first failure') if !$passed;
		return $passed;
	};
}

# While a server falls or comes up, psql may end before it has taken its query,
# and IPC::Run dies of the broken pipe.  That is a query that failed, no reason
# to end the test: psql() says so (2 is psql's own status for a lost
# connection), and poll_query_until() asks again.
{
	no warnings 'redefine';
	my %plain = map { $_ => PostgreSQL::Test::Cluster->can($_) }
	  qw(psql poll_query_until);

	*PostgreSQL::Test::Cluster::psql = sub {
		my ($self, $dbname, $sql, %options) = @_;
		my $list = wantarray;
		my @result;
		my $well = eval {
			@result = $list ? $plain{psql}->(@_) : scalar $plain{psql}->(@_);
			1;
		};

		return $list ? @result : $result[0] if $well;
		die $@ if $options{on_error_die} || $@ !~ /Broken pipe/;
		return $list ? (2, '', $@) : 2;
	};
	*PostgreSQL::Test::Cluster::poll_query_until = sub {
		my @arguments = @_;
		my $result;

		foreach (1 .. 100)
		{
			return $result
			  if eval { $result = $plain{poll_query_until}->(@arguments); 1 };
			die $@ if $@ !~ /Broken pipe/;
			sleep(0.1);
		}
		die $@;
	};
}

# The root of the sources, from where this file is.
my $top = abs_path(dirname(__FILE__) . '/../..');

sub hce_top { return $top; }

# hcevents-consume and hcevents-devbroker as built in the source tree.
sub hce_program
{
	my ($name) = @_;
	return "$top/$name";
}

# Call $condition until it returns true, and return that; undef after
# $timeout seconds (times HCE_TEST_PATIENCE).
sub hce_wait_until
{
	my ($condition, $timeout) = @_;
	my $deadline = time() + ($timeout // 60) * $patience;
	my $pause = 0.01;

	while (1)
	{
		my $result = $condition->();
		return $result if $result;
		return undef if time() > $deadline;
		sleep($pause);
		$pause *= 1.5 if $pause < 0.2;
	}
}

# Run a command to its end: (status, stdout, stderr).
sub hce_run
{
	my (@command) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run(\@command, '<', \undef, '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}

# Something that was measured, as for sprintf: test/run prints it.
sub hce_figure
{
	my ($format, @values) = @_;
	note(sprintf "figure: $format", @values);
	return;
}

# A server that preloads hcevents, not started.
#	kafka => a HceTest::Kafka; without it nothing listens at the address
#	conf  => more lines of postgresql.conf
#	init  => arguments of the cluster's init()
sub hce_new_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $bootstrap =
	  $options{kafka} ? $options{kafka}->bootstrap : '127.0.0.1:1';

	$node->init(
		allows_streaming => 1,
		extra => [ '--encoding=UTF8', '--locale=C' ],
		@{ $options{init} // [] });
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'hcevents'
hcevents.bootstrap_servers = '$bootstrap'
max_prepared_transactions = 50
fsync = off
log_line_prefix = '%m [%p] %b %d '
CONF
	$node->append_conf('postgresql.conf', $options{conf})
	  if defined $options{conf};
	return $node;
}

# The same, running, with the extension in database "postgres" unless
# extension => 0.
sub hce_node
{
	my ($name, %options) = @_;
	my $node = hce_new_node($name, %options);

	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION hcevents')
	  if $options{extension} // 1;
	return $node;
}

# The tables of the verifier, attached as it expects them.
sub hce_patients
{
	my ($node, $database) = @_;
	$database //= 'postgres';

	my ($status, undef, $stderr) = hce_run(
		$node->installed_command('psql'), '-X', '-q', '-v',
		'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f',
		"$top/test/verify/schema.sql");
	BAIL_OUT("schema.sql: $stderr") if $status != 0;
	$node->safe_psql($database, <<'SQL');
SELECT hcevents.attach_healthcore(
    patient_columns => '{name,email,version}',
    appointment_columns => '{patient_id,status,version}')
SQL
	return;
}

# Wait until all that was committed is delivered; a failed test if it is not.
sub hce_flush
{
	my ($node, $database, $timeout) = @_;
	$database //= 'postgres';
	my ($seconds) = ($timeout // '120 s') =~ /^(\d+) s$/;
	my $flushed = $node->safe_psql($database,
		sprintf q{SELECT hcevents.flush('%g s')}, $seconds * $patience);
	# a parked event is settled, but not yet delivered
	$flushed = 'parked'
	  if $flushed eq 't'
	  && !hce_wait_until(sub { hce_stats($node, 'parked', $database) == 0 }, $seconds);
	is($flushed, 't', "everything in $database is delivered")
	  or diag(
		$node->safe_psql($database, 'SELECT * FROM hcevents.status'));
	return $flushed eq 't';
}

# One column of delivery_stats, summed over the event types.
sub hce_stats
{
	my ($node, $column, $database) = @_;
	return $node->safe_psql($database // 'postgres',
		"SELECT coalesce(sum($column), 0) FROM hcevents.delivery_stats");
}

sub hce_relay_pid
{
	my ($node, $database) = @_;
	$database //= 'postgres';
	return $node->safe_psql($database,
		"SELECT relay_pid FROM hcevents.status WHERE datname = '$database'");
}

# Wait until the relay of a database is in a state, 'streaming' by default.
sub hce_wait_for_relay
{
	my ($node, $state, $database) = @_;
	$state //= 'streaming';
	$database //= 'postgres';
	return ok(
		$node->poll_query_until($database, <<"SQL"), "relay is $state");
SELECT EXISTS (SELECT FROM hcevents.status
                WHERE datname = '$database' AND state = '$state')
SQL
}

# Run the verifier; passes or fails one test, and returns its counts.
sub hce_verify
{
	my ($node, $kafka, %options) = @_;
	my $database = $options{database} // 'postgres';
	my @arguments = @{ $options{arguments} // [] };
	my ($status, $stdout, $stderr) = hce_run(
		'/usr/bin/python3', "$top/test/verify/verify",
		'--psql', $node->installed_command('psql'),
		'--conninfo', $node->connstr($database),
		'--bootstrap-servers', $kafka->bootstrap, @arguments);
	my %counts = $stdout =~ /(\w+)=(\d+)/g;

	ok($status == 0, $options{name} // 'the verifier finds no fault')
	  or diag($stderr);
	note($stdout);
	return \%counts;
}

# A private Kafka of one node.
package HceTest::Kafka;

use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my @running;

# auto_create => 0 turns auto.create.topics.enable off; partitions => N;
# listeners => 'NAME:PROTOCOL ...' are more of them, extra => a file with more
# server.properties; port => N instead of any free one; version => another
# release of Kafka than that of the other tests.
sub start
{
	my ($class, %options) = @_;
	my $self = bless {
		dir => PostgreSQL::Test::Utils::tempdir('kafka'),
		script => HceTest::hce_top() . '/test/kafka/kafka'
	}, $class;

	local $ENV{KAFKA_AUTO_CREATE} = ($options{auto_create} // 1) ? 'true' : 'false';
	local $ENV{KAFKA_PARTITIONS} = $options{partitions} // 3;
	local $ENV{KAFKA_LISTENERS} = $options{listeners} // '';
	local $ENV{KAFKA_EXTRA} = $options{extra} // $ENV{KAFKA_EXTRA} // '';
	local $ENV{KAFKA_VERSION} = $options{version} // $ENV{KAFKA_VERSION} // '';
	push @running, $self;
	$self->call('start', $options{port} // ());
	return $self;
}

# A verb of test/kafka/kafka; returns what it printed.
sub call
{
	my ($self, $verb, @arguments) = @_;
	my ($status, $stdout, $stderr) =
	  HceTest::hce_run($self->{script}, $verb, $self->{dir}, @arguments);

	BAIL_OUT("kafka $verb: $stderr") if $status != 0;
	return $stdout;
}

sub bootstrap
{
	my ($self, $listener) = @_;
	chomp(my $address = $self->call('bootstrap', $listener // ()));
	return $address;
}

sub stop { $_[0]->call('stop'); return; }
sub kill9 { $_[0]->call('kill'); return; }
sub resume { $_[0]->call('continue'); return; }
sub pause { $_[0]->call('pause'); return; }
sub restart { $_[0]->call('restart'); return; }
sub start_again { $_[0]->call('start'); return; }

sub create_topics
{
	my ($self, $partitions, @topics) = @_;
	$self->call('create-topic', $_, $partitions) foreach @topics;
	return;
}

# Messages in Kafka, of all topics or of those named.
sub count
{
	my ($self, @topics) = @_;
	return 0 + $self->call('count', @topics);
}

# The lines that hcevents-consume prints for these event types or topics,
# from the beginning to the end.
sub lines
{
	my ($self, @topics) = @_;
	my ($status, $stdout, $stderr) = HceTest::hce_run(
		HceTest::hce_program('hcevents-consume'),
		'--bootstrap-servers', $self->bootstrap, '--from-beginning',
		'--until-end', '--timeout', 60, @topics);

	is($status, 0, "consumed @topics") or diag($stderr);
	return split /\n/, $stdout;
}

# The same, decoded.
sub events
{
	my ($self, @topics) = @_;
	return map { decode_json($_) } $self->lines(@topics);
}

# Everything about each message of one topic: hashes with key, value,
# partition, offset, timestamp and headers (a hash of name and value).
sub messages
{
	my ($self, $topic) = @_;
	my $json = $self->call('dump', $topic);
	return map { decode_json($_) } split /\n/, $json;
}

# Three nodes.  bootstrap() and the verifier name all of them, node($n) is one
# of them as an HceTest::Kafka.
package HceTest::Cluster;

use strict;
use warnings;

our @ISA = ('HceTest::Kafka');

sub start
{
	my ($class) = @_;
	my $self = bless {
		dir => PostgreSQL::Test::Utils::tempdir('cluster'),
		script => HceTest::hce_top() . '/test/kafka/cluster'
	}, $class;

	push @running, $self;
	$self->call('start');
	return $self;
}

sub node
{
	my ($self, $number) = @_;
	return bless {
		dir => "$self->{dir}/$number",
		script => HceTest::hce_top() . '/test/kafka/kafka'
	}, 'HceTest::Kafka';
}

package HceTest::Kafka;

END
{
	# The exit status is the test's: keep it over the commands run here.
	my $status = $?;
	foreach my $kafka (@running)
	{
		system($kafka->{script}, 'kill', $kafka->{dir});
	}
	$? = $status;
}

1;
