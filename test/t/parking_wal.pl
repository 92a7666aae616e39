# What counts as WAL that waits for Kafka: not what an open transaction retained
# before its commit.  And a limit of 0 has an end too.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $kafka = HceTest::Kafka->start;
my $node = hce_node(
	'main',
	kafka => $kafka,
	init => [ extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] ],
	conf => 'hcevents.max_retained_wal = 2MB');
hce_patients($node);
hce_wait_for_relay($node);

sub reach
{
	my ($sql, $name) = @_;
	return ok(
		hce_wait_until(
			sub { $node->safe_psql('postgres', $sql) eq 't' }, 60),
		$name)
	  || diag($node->safe_psql('postgres',
			'SELECT s, m FROM hcevents.status s LEFT JOIN hcevents.topic_modes m ON true'));
}

# A transaction with one event stays open while others write much WAL.  Kafka
# takes a second to acknowledge it, so that the relay has a look meanwhile.

my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN});
$open->query_safe(q{INSERT INTO patients (name) VALUES ('waits')});
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE noise AS SELECT repeat('n', 200) AS n FROM generate_series(1, 50000);
SQL
$kafka->pause;
$open->query_safe(q{COMMIT});
sleep(1);
$kafka->resume;
hce_flush($node);
$open->quit;
unlike(slurp_file($node->logfile), qr/parks events/,
	'what waited for its own transaction does not park the others');

# A limit of 0, which is taken for the least, a megabyte.  It has an end too,
# while another writes and something is under way at each moment.

$node->safe_psql('postgres', q{ALTER DATABASE postgres SET hcevents.max_retained_wal = 0});
reach(q{SELECT start_time > now() - interval '10 s' AND state = 'streaming' FROM hcevents.status},
	'the relay has the new limit');
$kafka->stop;
$node->safe_psql('postgres', q{INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 10000) n});
reach('SELECT parked = 10000 FROM hcevents.status', 'all is parked');
my $writer = IPC::Run::start(
	[ $node->installed_command('psql'), '-X', '-q', '-d', $node->connstr('postgres'), '-c', <<'SQL' ],
DO $$
BEGIN
	FOR i IN 1 .. 100000 LOOP
		INSERT INTO patients (name) VALUES (repeat('w', 200));
		COMMIT;
		PERFORM pg_sleep(0.001);
	END LOOP;
END $$
SQL
	'<', \undef, '>', '/dev/null', '2>', '/dev/null');
$kafka->start_again;
reach('SELECT NOT EXISTS (SELECT FROM hcevents.topic_modes)', 'all topics are direct again while another writes');
is($node->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%DO %' AND pid <> pg_backend_pid()}),
	1, 'and writes still');
$writer->finish;
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates'],
	name => 'all arrived, in order');

$node->stop;
done_testing();
