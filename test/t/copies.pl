# Copies of a database and of a data directory stay paused, so that no clone
# publishes to the brokers of its original; and what makes them publish.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node(
	'original',
	kafka => $kafka,
	conf => "wal_level = replica\nhcevents.topic = '%p.%r'\n");
$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE clinic;
SQL
$node->safe_psql('clinic', <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('original');
SQL
hce_flush($node, 'clinic');

# Write in a copy, and see that it says why it does not publish.
sub is_paused
{
	my ($copy, $database, $what) = @_;

	ok( $copy->poll_query_until(
			$database,
			"SELECT state = 'paused' AND waiting_for = 'copied database' FROM hcevents.status WHERE datname = '$database'"
		),
		"$what is paused")
	  or diag($copy->safe_psql($database, 'SELECT * FROM hcevents.status'));
	$copy->safe_psql($database,
		q{INSERT INTO things (name) VALUES ('in the copy')});
	is($copy->safe_psql($database, q{SELECT hcevents.flush('1 s')}),
		'f', "$what settles nothing");
	is($kafka->count('healthcore.thing'), 1, "$what publishes nothing");
	like(
		$copy->safe_psql($database,
			q{SELECT hint FROM hcevents.check() WHERE "check" = 'relay'}),
		qr/detect_copies/,
		"$what says what to do");
	return;
}

# CREATE DATABASE ... TEMPLATE, also by a roundabout way

$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE clinic');
is_paused($node, 'copied', 'a copied database');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'),
	'2', 'and has no slot');

# resume() that is rolled back, to a savepoint or as a whole, adopts nothing

my $adopted = q{SELECT EXISTS (SELECT FROM hcevents.gaps)};
$node->safe_psql('copied', 'BEGIN; SELECT hcevents.resume(); ROLLBACK');
$node->safe_psql('copied', <<'SQL');
BEGIN;
SAVEPOINT a;
SELECT hcevents.resume();
SAVEPOINT b;
RELEASE b;
ROLLBACK TO a;
SELECT hcevents.pause('nothing');
COMMIT;
SQL
ok(!hce_wait_until(sub { $node->safe_psql('copied', $adopted) eq 't' }, 3),
	'a rollback of resume() leaves the copy paused');
hce_wait_for_relay($node, 'paused', 'copied');
$node->safe_psql('copied', <<'SQL');
BEGIN;
SAVEPOINT a;
SELECT hcevents.resume();
RELEASE a;
COMMIT;
SQL
ok(hce_wait_until(sub { $node->safe_psql('copied', $adopted) eq 't' }, 20),
	'a released savepoint resumes it');
$node->safe_psql('postgres', 'DROP DATABASE copied');

# A dump restored

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok(
	[ 'pg_dump', '-f', $dump, '-d', $node->connstr('clinic') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok(
	[
		'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d',
		$node->connstr('restored')
	],
	'restored');
hce_wait_for_relay($node, 'streaming', 'restored');
hce_flush($node, 'restored');
is($kafka->count('healthcore.thing'), 1, 'a restored dump republishes nothing');
is( $node->safe_psql('restored',
		'SELECT (SELECT count(*) FROM things), (SELECT count(*) FROM hcevents.gaps)'
	),
	'1|0',
	'and begins with a position of its own');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# A base backup started as a server of its own, beside the original

$node->backup('base');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'base');
$clone->start;
is_paused($clone, 'clinic', 'a base backup');
like(slurp_file($clone->logfile),
	qr/WARNING:  database "clinic" is a copy/, 'with a WARNING');
$clone->restart;
hce_wait_for_relay($clone, 'paused', 'clinic');

# A file copy of the stopped server

$node->stop;
my ($files, $twin) = map { PostgreSQL::Test::Cluster->new($_) } qw(files twin);
foreach my $copy ($files, $twin)
{
	PostgreSQL::Test::RecursiveCopy::copypath($node->data_dir, $copy->data_dir,
		filterfn => sub { return $_[0] ne 'postmaster.pid' });
	chmod 0700, $copy->data_dir;
	$copy->append_conf('postgresql.conf', 'port = ' . $copy->port);
}
$node->start;
hce_wait_for_relay($node, 'streaming', 'clinic');
$files->start;
is_paused($files, 'clinic', 'a file copy');

# Taken for the original by the operator

$node->stop;
$files->safe_psql('postgres',
	'ALTER DATABASE clinic SET hcevents.detect_copies = off');
hce_wait_for_relay($files, 'streaming', 'clinic');
$files->safe_psql('clinic', q{INSERT INTO things (name) VALUES ('moved')});
hce_flush($files, 'clinic');
is($kafka->count('healthcore.thing'), 3, 'a directory taken for the original publishes');
$files->safe_psql('postgres',
	'ALTER DATABASE clinic RESET hcevents.detect_copies');
$files->safe_psql('clinic', q{INSERT INTO things (name) VALUES ('stays')});
hce_flush($files, 'clinic');
is($files->safe_psql('clinic', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'without a gap');
$files->stop;

# resume(): a copy of a server that stopped in order goes on at its position,
# one of a server that ran does not

$twin->start;
hce_wait_for_relay($twin, 'paused', 'clinic');
$twin->safe_psql('clinic', q{INSERT INTO things (name) VALUES ('before')});
$twin->safe_psql('clinic', q{SELECT hcevents.resume()});
hce_wait_for_relay($twin, 'streaming', 'clinic');
hce_flush($twin, 'clinic');
is($kafka->count('healthcore.thing'), 5, 'a resumed copy publishes what it captured');
is($twin->safe_psql('clinic', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'without a gap');
$twin->stop;
$clone->safe_psql('clinic', q{SELECT hcevents.resume()});
hce_wait_for_relay($clone, 'streaming', 'clinic');
is($clone->safe_psql('clinic', q{SELECT string_agg(cause, ' ') FROM hcevents.gaps}),
	'the cluster was upgraded or copied before everything was delivered',
	'the copy of a running server records a gap');
$clone->safe_psql('clinic', q{INSERT INTO things (name) VALUES ('behind')});
hce_flush($clone, 'clinic');
is($kafka->count('healthcore.thing'), 6, 'and publishes what comes after');
$clone->stop;
done_testing();
