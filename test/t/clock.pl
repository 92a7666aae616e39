# The server's clock is set back by an hour, as NTP does after a boot with a
# clock in local time: nothing waits for an hour.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node = hce_new_node('main', kafka => $kafka);
my $library = $node->basedir . '/clock.so';
my $clock = $node->basedir . '/clock';

# The file stays the same one, since the server has mapped it.
sub set_clock
{
	my ($seconds) = @_;
	open my $file, -e $clock ? '+<' : '>', $clock or die "$clock: $!";
	syswrite $file, pack 'q', $seconds;
	close $file;
	return;
}

sub ask
{
	my ($sql) = @_;
	return scalar $node->safe_psql('postgres', $sql);
}

my ($status, undef, $stderr) = hce_run('cc', '-shared', '-fPIC', '-O1', '-o', $library,
	"$FindBin::RealBin/../lib/clock.c");
is($status, 0, 'the clock is built') or diag($stderr);
set_clock(3600);
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{HCE_TEST_CLOCK} = $clock;
	$node->start;
}
my $ahead = ask('SELECT extract(epoch FROM clock_timestamp())::bigint') - time;
cmp_ok($ahead, '>', 3000, 'the clock of the server is an hour ahead');
ask('CREATE EXTENSION hcevents');
hce_patients($node);
hce_wait_for_relay($node);
$kafka->stop;
ask(q{INSERT INTO patients (name) VALUES ('before')});
hce_wait_for_relay($node, 'disconnected');
set_clock(0);
ask(q{INSERT INTO patients (name) VALUES ('after')});
$kafka->start_again;
hce_flush($node, 'postgres', '60 s');
is(hce_stats($node, 'delivered'), 2, 'what was written before and after is delivered');
like(slurp_file($node->logfile), qr/the clock was set back by 3\d\d\d s: the relay of database "postgres" starts again/,
	'the log says why the relay started again');
hce_verify($node, $kafka, arguments => ['--allow-duplicates'], name => 'all arrived, in order');

$node->stop;
done_testing();
