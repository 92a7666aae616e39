# With and without shared_preload_libraries.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node(
	'main',
	kafka => $kafka,
	extension => 0,
	conf => "wal_level = replica\nshared_preload_libraries = ''");

# Never preloaded

my ($status, undef, $stderr) =
  $node->psql('postgres', 'CREATE EXTENSION hcevents');
isnt($status, 0, 'CREATE EXTENSION fails without shared_preload_libraries');
like(
	$stderr,
	qr/HINT:.*shared_preload_libraries = 'hcevents'/,
	'with a hint that shows the line to add');
is( $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_namespace WHERE nspname = 'hcevents'}),
	'0',
	'and leaves nothing');

# wal_level and slots

$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'hcevents'
wal_level = minimal
max_wal_senders = 0
CONF
$node->restart;
(undef, undef, $stderr) =
  $node->psql('postgres', 'CREATE EXTENSION hcevents');
like($stderr, qr/HINT:.*wal_level = replica/, 'wal_level = minimal: a hint');
$node->append_conf('postgresql.conf',
	"wal_level = replica\nmax_replication_slots = 0");
$node->restart;
(undef, undef, $stderr) =
  $node->psql('postgres', 'CREATE EXTENSION hcevents');
like($stderr, qr/HINT:.*max_replication_slots/, 'no slots: a hint');
$node->append_conf('postgresql.conf', 'max_replication_slots = 10');
$node->restart;

# Preloaded

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('loaded');
SQL
hce_flush($node);

# Removed later

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
(undef, undef, $stderr) = $node->psql('postgres', <<'SQL');
INSERT INTO things (name) VALUES ('unloaded 1');
INSERT INTO things (name) VALUES ('unloaded 2');
BEGIN;
INSERT INTO things (name) VALUES ('unloaded 3');
SAVEPOINT s;
INSERT INTO things (name) VALUES ('gone');
ROLLBACK TO s;
COMMIT;
SQL
my @warnings = $stderr =~ /(WARNING:.*not preloaded)/g;
is(scalar @warnings, 1, 'writes work with one WARNING a session');
unlike($stderr, qr/ERROR/, 'and no error');
(undef, undef, $stderr) = $node->psql('postgres',
	q{INSERT INTO things (name) VALUES ('unloaded 4')});
@warnings = $stderr =~ /(WARNING:.*not preloaded)/g;
is(scalar @warnings, 1, 'the next session has one too');
is($node->safe_psql('postgres', 'SELECT count(*) FROM things'),
	'5', 'the rows are there');
foreach my $sql (
	'SELECT * FROM hcevents.status',
	'SELECT * FROM hcevents.delivery_stats',
	'SELECT hcevents.flush()',
	'SELECT hcevents.reset_stats()',
	'SELECT hcevents.restart_relay()')
{
	(undef, undef, $stderr) = $node->psql('postgres', $sql);
	like(
		$stderr,
		qr/ERROR:.*not loaded when the server started.*HINT:.*shared_preload_libraries/s,
		"an error with a hint: $sql");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.dead_letters'),
	'0', 'what is only a table can be read');

# And back

$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'hcevents'");
$node->restart;
hce_flush($node);
is_deeply(
	[
		map { decode_json($_->{value})->{data}{name} }
		  $kafka->messages('healthcore.thing.created')
	],
	[ 'loaded', map { "unloaded $_" } 1 .. 4 ],
	'what was written meanwhile is delivered once it is preloaded again');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'without a gap');

# Dropped by a session that never loaded the library: nobody is told

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('postgres', 'DROP EXTENSION hcevents CASCADE');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'hcevents%'}),
	'1', 'the slot stays');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'hcevents'");
$node->restart;
ok( $node->poll_query_until(
		'postgres', q{SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'hcevents%'}),
	'until the launcher finds that the extension is gone');
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION hcevents;
SELECT hcevents.attach('things', 'thing', '{name}');
INSERT INTO things (name) VALUES ('created again');
SQL
hce_flush($node);
is( decode_json(($kafka->messages('healthcore.thing.created'))[-1]->{value})->{data}{name},
	'created again', 'a new extension delivers');

$node->stop;
done_testing();
