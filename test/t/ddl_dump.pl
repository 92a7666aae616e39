# Attachments survive dump and restore, and work on a subscriber of logical
# replication: with renamed columns, conditions, keys and ENABLE ALWAYS.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node(
	'main',
	kafka => $kafka,
	extension => 0,
	conf => "wal_level = logical\nmax_worker_processes = 20\n");
my $backup = PostgreSQL::Test::Utils::tempdir('dump');

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(original jobs cleaned publisher);
$node->safe_psql('original', <<'SQL');
CREATE EXTENSION hcevents;
CREATE SCHEMA clinic;
CREATE TABLE clinic.visits (id int PRIMARY KEY, number text NOT NULL, status text, note text);
SELECT hcevents.attach('clinic.visits', 'visit', '{status,remark:note}',
    transitions => '[{"column":"status","from":"open","to":"closed","event":"closed"}]');
SELECT hcevents.attach('clinic.visits', 'stay', '{note}', on_delete => NULL, key => '{number}');
CREATE TRIGGER by_hand AFTER UPDATE OF status ON clinic.visits FOR EACH ROW
    WHEN (old.status IS DISTINCT FROM new.status)
    EXECUTE FUNCTION hcevents.emit('visit.touched', 'key=number', 'columns=status, note');
ALTER TABLE clinic.visits ENABLE ALWAYS TRIGGER hcevents_visit;
ALTER TABLE clinic.visits ENABLE REPLICA TRIGGER by_hand;
ALTER TABLE clinic.visits RENAME COLUMN status TO state;
ALTER TABLE clinic.visits RENAME COLUMN number TO no;
-- the key is a composite primary key, which a parallel restore may make late
CREATE TABLE logs (id int, region text, text text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_n PARTITION OF logs FOR VALUES IN ('n');
CREATE TABLE logs_s PARTITION OF logs FOR VALUES IN ('s') PARTITION BY LIST (region);
CREATE TABLE logs_s1 PARTITION OF logs_s FOR VALUES IN ('s');
SELECT hcevents.attach('logs', 'log', '{text}');
ALTER TABLE logs_n ENABLE ALWAYS TRIGGER hcevents_log;
ALTER TABLE logs RENAME COLUMN text TO message;
ALTER TABLE logs RENAME COLUMN region TO area;
CREATE TABLE plain (id int PRIMARY KEY, a text);
SELECT hcevents.attach('plain', 'plain', '{*}');
-- an attachment that is not valid, and says so, also after a restore
CREATE TABLE keyless (id int PRIMARY KEY, a text);
SELECT hcevents.attach('keyless', 'keyless', '{a}');
ALTER TABLE keyless DROP CONSTRAINT keyless_pkey;
SQL

# Everything that makes the attachments of a database.
sub attachments
{
	my ($database) = @_;
	return $node->safe_psql($database, <<'SQL');
SELECT target, resource, events, columns, key, enabled, valid, definition
FROM hcevents.attachments ORDER BY target::text, resource, events;
SELECT tgrelid::regclass, tgname, tgenabled, tgisinternal, tgparentid <> 0, pg_get_triggerdef(oid)
FROM pg_trigger WHERE tgfoid = 'hcevents.emit'::regproc ORDER BY tgrelid::regclass::text, tgname;
SQL
}

my $original = attachments('original');
like($original, qr/\{status:state,remark:note\}/, 'there is something to lose');
like($original, qr/\{id,region:area\}/, 'also in the key');

# pg_dump for a restore with several jobs
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$backup/dir", $node->connstr('original') ], 'dumped');
my ($status, $stdout, $stderr) = hce_run(
	$node->installed_command('pg_restore'), '-j', 4, '--exit-on-error',
	'-d', $node->connstr('jobs'), "$backup/dir");
is($status, 0, 'restored by four jobs') or diag($stderr);
is(attachments('jobs'), $original, 'with all attachments');

# each definition makes its attachment again
my $definitions = $node->safe_psql('original', <<'SQL');
SELECT definition || ';' FROM hcevents.attachments WHERE valid ORDER BY resource, events
SQL
$node->safe_psql('jobs', <<'SQL');
SELECT hcevents.detach(target) FROM (SELECT DISTINCT target FROM hcevents.attachments WHERE valid) t;
SQL
$node->safe_psql('jobs', $definitions);
# what they do not say is the firing on single partitions
$node->safe_psql('jobs', 'ALTER TABLE logs_n ENABLE ALWAYS TRIGGER hcevents_log');
is(attachments('jobs'), $original, 'the definitions make all of it again');

# Over what is there: each object is dropped by hand first.  (Without
# partitions: PostgreSQL itself cannot do that with their primary keys.)
$node->safe_psql('original', 'DROP TABLE logs');
$original = attachments('original');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$backup/file", $node->connstr('original') ],
	'dumped without partitions');
foreach my $round (1 .. 2)
{
	($status, $stdout, $stderr) = hce_run(
		$node->installed_command('pg_restore'), '--clean', '--if-exists',
		'--single-transaction', '-d', $node->connstr('cleaned'), "$backup/file");
	is($status, 0, 'pg_restore --clean') or diag($stderr);
	is(attachments('cleaned'), $original, 'with all attachments');
}
$node->command_ok(
	[ 'pg_dump', '--clean', '--if-exists', '-f', "$backup/script", $node->connstr('original') ],
	'dumped as a script');
($status, $stdout, $stderr) = hce_run(
	$node->installed_command('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1',
	'-d', $node->connstr('cleaned'), '-f', "$backup/script");
is($status, 0, 'psql runs a script of --clean') or diag($stderr);
is(attachments('cleaned'), $original, 'with all attachments');

# a subscriber
$node->safe_psql('publisher', <<'SQL');
CREATE TABLE plain (id int PRIMARY KEY, a text);
CREATE PUBLICATION p FOR TABLE plain;
SELECT pg_create_logical_replication_slot('s', 'pgoutput');
SQL
$node->safe_psql('original', 'ALTER TABLE plain ENABLE ALWAYS TRIGGER hcevents_plain');
(my $connection = $node->connstr('publisher')) =~ s{'}{''}g;
$node->safe_psql('original',
	"CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p WITH (create_slot = false, slot_name = 's', copy_data = false)");
$node->safe_psql('publisher', q{INSERT INTO plain VALUES (1, 'one')});
ok($node->poll_query_until('original', 'SELECT count(*) = 1 FROM plain'), 'replicated');
# renamed on both sides, and attached with more columns: still ALWAYS
$node->safe_psql('original', <<'SQL');
ALTER TABLE plain RENAME COLUMN a TO b;
ALTER TABLE plain ADD COLUMN c int DEFAULT 7;
SELECT hcevents.attach('plain', 'plain', '{a:b,c}');
SQL
$node->safe_psql('publisher', <<'SQL');
ALTER TABLE plain RENAME COLUMN a TO b;
INSERT INTO plain VALUES (2, 'two');
SQL
ok($node->poll_query_until('original', 'SELECT count(*) = 2 FROM plain'), 'and again');
is( $node->safe_psql('original', q{SELECT tgenabled FROM pg_trigger WHERE tgname = 'hcevents_plain'}),
	'A', 'the trigger fires always');
hce_flush($node, 'original');
is( join(' ', map { join ',', map { $_ // '' } @{ $_->{data} }{qw(plain_id a c)} }
		  $kafka->events('plain.created')),
	'1,one, 2,two,7', 'the events of the subscriber');
$node->safe_psql('original', 'DROP SUBSCRIPTION s');

done_testing();
