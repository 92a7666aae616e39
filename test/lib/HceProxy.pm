# A Kafka behind a network that can fail (test/fault/proxy).
#
#	my $proxy = HceProxy->new;
#	my $node = hce_node('main', kafka => $proxy->{kafka},
#		conf => $proxy->conf);
#	$proxy->network('hole');
#
# Kafka has two listeners.  $proxy->{kafka} and its tools use one directly;
# the other, which the node is told of, advertises the proxy's address, so
# that who comes that way stays behind the proxy.
package HceProxy;

use strict;
use warnings;

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

# Options are those of HceTest::Kafka->start.
sub new
{
	my ($class, %options) = @_;
	my ($direct, $behind, $port, $controller) =
	  map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 4;
	my $extra = PostgreSQL::Test::Utils::tempdir('extra') . '/properties';
	my $self = bless { port => $port, in => '', out => '', errors => '' }, $class;

	append_to_file($extra, <<"EOT");
listeners=PLAINTEXT://127.0.0.1:$direct,RELAY://127.0.0.1:$behind,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$direct,RELAY://127.0.0.1:$port
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,RELAY:PLAINTEXT
controller.quorum.voters=1\@127.0.0.1:$controller
EOT
	{
		local $ENV{KAFKA_EXTRA} = $extra;
		$self->{kafka} = HceTest::Kafka->start(%options, port => $direct);
	}
	$self->{process} = IPC::Run::start(
		[ hce_top() . '/test/fault/proxy', $port, $behind ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{errors});
	$self->await('ready');
	return $self;
}

# What postgresql.conf needs for a relay behind the proxy.
sub conf
{
	my ($self) = @_;
	return "hcevents.bootstrap_servers = '127.0.0.1:$self->{port}'\n";
}

sub await
{
	my ($self, $answer) = @_;
	my $deadline = time() + 60;

	until ($self->{out} =~ s/^\Q$answer\E\n//)
	{
		die "the proxy does not answer: $self->{errors}\n" if time() > $deadline;
		$self->{process}->pump_nb;
		sleep(0.01);
	}
	return;
}

# "pass", "cut", "hole" or "slow BYTES_A_SECOND", see test/fault/proxy.
sub network
{
	my ($self, $mode) = @_;
	$self->{in} .= "$mode\n";
	return $self->await('ok');
}

sub DESTROY
{
	my ($self) = @_;
	local $?;
	my $process = delete $self->{process};
	$process->kill_kill(grace => 2) if $process;
	return;
}

1;
