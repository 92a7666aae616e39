# Brokers that restart, die or hang under load: nothing is missing, nothing
# comes twice, and nobody in the database waits for Kafka.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $kafka = HceTest::Kafka->start;
my $node =
  hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
hce_patients($node);

sub start_load
{
	my ($events, $log) = @_;
	return IPC::Run::start(
		[
			hce_top() . '/test/load/run', '--events', $events,
			'--clients', 4, '--chunk', 3, '--rate', 200,
			'--conninfo', $node->connstr('postgres')
		],
		'<', \undef, '>', $log, '2>', $log, IPC::Run::timeout(120));
}

sub reach
{
	my ($count) = @_;
	return ok(
		$node->poll_query_until(
			'postgres', "SELECT count(*) >= $count FROM ledger"),
		"$count events are written");
}

# Restarts

my $log = '';
my $load = start_load(12000, \$log);
reach(2000);
$kafka->restart;
reach(6000);
$kafka->kill9;
reach(8000);
$kafka->start_again;
$load->finish;
is($load->result(0), 0, 'the load has ended without an error') or diag($log);
hce_flush($node);
my $counts = hce_verify($node, $kafka,
	name => 'restarts of the broker: 0 missing, 0 duplicate');
is(hce_stats($node, 'delivered'), $counts->{events}, 'delivered counts them');
is(hce_stats($node, 'redelivered'), 0, 'none was sent twice');

# A broker that hangs

my $insert = 'INSERT INTO patients (name) VALUES (\'p\')';
my $file = PostgreSQL::Test::Utils::tempdir('script') . '/insert.sql';
append_to_file($file, "$insert;\n");

# Seconds that 4 clients take for 2000 commits; a failed test if one fails.
sub write_rows
{
	my ($what) = @_;
	my $start = time();
	my ($status, undef, $stderr) = hce_run(
		$node->installed_command('pgbench'),
		'-n', '-c', 4, '-t', 500, '-f', $file, $node->connstr('postgres'));
	is($status, 0, "writers fail not: $what") or diag($stderr);
	return time() - $start;
}

my $normal = write_rows('Kafka runs');
hce_flush($node);
$kafka->pause;
my $hanging = write_rows('Kafka hangs');
cmp_ok($hanging, '<', 2 * $normal + 2, 'nor are they slower');
$hanging = write_rows('Kafka still hangs');
cmp_ok($hanging, '<', 2 * $normal + 2, 'nor are they slower later');

my $start = time();
$node->safe_psql('postgres', <<'SQL');
SET statement_timeout = '10 s';
CHECKPOINT;
CREATE DATABASE other;
DROP DATABASE other;
VACUUM patients;
ALTER TABLE patients ADD COLUMN more int;
SQL
cmp_ok(time() - $start, '<', 10,
	'checkpoint, databases, vacuum and DDL do not wait for Kafka');
is($node->safe_psql('postgres', q{SELECT hcevents.flush('200 ms')}),
	'f', 'flush() returns');
$start = time();
$node->restart;
cmp_ok(time() - $start, '<', 8, 'a restart does not wait either');

$kafka->resume;
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'all arrived after the broker went on');

$node->stop;
done_testing();
