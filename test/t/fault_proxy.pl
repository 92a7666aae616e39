# The proxy of the fault suite goes on after both ends of a connection went at
# the same moment, as they do when a broker is killed: it once took the closed
# socket for its standard input, and waited there for a command.

use strict;
use warnings;

use HceTest;
use IO::Socket::INET;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;

my ($port, $target) =
  map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $server = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1', LocalPort => $target, Listen => 8, ReuseAddr => 1,
	Timeout => 30)
  or die "cannot listen: $!\n";
my ($in, $out, $errors) = ('', '', '');
my $proxy = IPC::Run::start(
	[ hce_top() . '/test/fault/proxy', $port, $target ],
	'<', \$in, '>', \$out, '2>', \$errors, IPC::Run::timeout(120));
$proxy->pump until $out =~ /^ready$/m;

sub connect_both
{
	my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
	  or die "cannot connect: $!\n";
	return ($client, scalar($server->accept) // die "nothing was forwarded\n");
}

sub says
{
	my ($from, $to, $word) = @_;
	my $got = '';

	syswrite $from, $word;
	local $SIG{ALRM} = sub { die "no answer\n" };
	alarm 30;
	my $well = eval { sysread $to, $got, length $word; 1 };
	alarm 0;
	return $well && $got eq $word;
}

my @first = connect_both();
ok(says(@first, 'ping'), 'forwards');
ok(says(@first[ 1, 0 ], 'pong'), 'and back');

# Both ends are reset while the proxy is held, so it meets both at once.
foreach my $round (1 .. 5)
{
	my ($client, $behind) = $round == 1 ? @first : connect_both();
	$proxy->signal('STOP');
	foreach my $socket ($client, $behind)
	{
		setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) or die "setsockopt: $!\n";
		close $socket;
	}
	$proxy->signal('CONT');
	my @next = eval { connect_both() };
	ok(@next && says(@next, 'again'), "forwards a new connection after reset $round")
	  or last;
}

$proxy->kill_kill(grace => 2);
is($errors, '', 'no complaint of its own');
done_testing();
