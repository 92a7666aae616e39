# Commands that need a database without connections succeed while relays run,
# also for owners who are no superusers; a copied database publishes nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node =
  hce_node('main', kafka => $kafka, conf => 'wal_level = replica');

sub make_database
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database OWNER owner");
	$node->safe_psql($database, <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
SQL
	return hce_wait_for_relay($node, 'streaming', $database);
}

sub insert
{
	my ($database, $name) = @_;
	$node->safe_psql($database,
		"INSERT INTO things (name) VALUES ('$name')");
	return;
}

# "db name" of all messages, sorted.
sub content
{
	return [
		sort map {
			"$_->{headers}{db} " . decode_json($_->{value})->{data}{name}
		} $kafka->messages('healthcore.thing.created')
	];
}

# A command run as the owner, five times out of five.
sub runs
{
	my ($what, $sql) = @_;
	my ($status, undef, $stderr) =
	  $node->psql('postgres', $sql, extra_params => [ '-U', 'owner' ]);
	return is($status, 0, $what) || diag($stderr);
}

$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN CREATEDB');

# DROP DATABASE, again and again, since it is a race

foreach my $try (1 .. 3)
{
	make_database("gone$try");
	insert("gone$try", 'x');
	hce_flush($node, "gone$try");
	runs("DROP DATABASE while the relay runs, $try",
		"DROP DATABASE gone$try" . ($try == 3 ? ' WITH (FORCE)' : ''));
}
ok( $node->poll_query_until(
		'postgres', <<'SQL'), 'their slots are dropped');
SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name LIKE 'hcevents%'
SQL
is( $node->safe_psql('postgres', 'SELECT datname FROM hcevents.status'),
	'postgres', 'and status has them no more');

# A DROP DATABASE that fails, because of another connection, and one not
# allowed

make_database('kept');
my $session = $node->background_psql('kept');
my ($status, undef, $stderr) =
  $node->psql('postgres', 'DROP DATABASE kept');
like($stderr, qr/is being accessed by other users/, 'DROP DATABASE fails');
like($stderr, qr/There is 1 other session/,
	'because of a session, not of the relay');
$session->quit;
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
my $pid = hce_relay_pid($node, 'kept');
hce_wait_for_relay($node, 'streaming', 'kept');
$pid = hce_relay_pid($node, 'kept');
foreach my $sql (
	'DROP DATABASE kept',
	'ALTER DATABASE kept RENAME TO other',
	'CREATE DATABASE copy TEMPLATE kept')
{
	($status, undef, $stderr) = $node->psql('postgres', $sql,
		extra_params => [ '-U', 'stranger' ]);
	isnt($status, 0, "not allowed: $sql");
}
is(hce_relay_pid($node, 'kept'), $pid,
	'who may not run the command cannot send the relay away');
insert('kept', 'before');
hce_flush($node, 'kept');

# RENAME

runs('ALTER DATABASE RENAME while the relay runs',
	'ALTER DATABASE kept RENAME TO renamed');
hce_wait_for_relay($node, 'streaming', 'renamed');
insert('renamed', 'after');
hce_flush($node, 'renamed');
is_deeply(
	content(),
	[
		'gone1 x', 'gone2 x', 'gone3 x', 'kept before', 'renamed after'
	],
	'delivery goes on under the new name')
  or diag(explain(content()));
$node->safe_psql('postgres',
	'BEGIN; ALTER DATABASE renamed RENAME TO never; ROLLBACK');
hce_wait_for_relay($node, 'streaming', 'renamed');

# A copy

runs('CREATE DATABASE ... TEMPLATE while the relay runs',
	'CREATE DATABASE copy TEMPLATE renamed');
hce_wait_for_relay($node, 'streaming', 'renamed');
insert('copy', 'copied');
insert('renamed', 'original');
hce_flush($node, 'renamed');
is(scalar(grep { /copied/ } @{ content() }),
	0, 'a copied database publishes nothing');
is(scalar(grep { $_ eq 'renamed original' } @{ content() }),
	1, 'the original goes on');
hce_wait_for_relay($node, 'paused', 'copy');
insert('copy', 'copied again');
is( $node->safe_psql('postgres',
		q{SELECT waiting_for FROM hcevents.status WHERE datname = 'copy'}),
	'copied database',
	'status tells why');
$node->restart;
hce_wait_for_relay($node, 'paused', 'copy');
is(scalar(grep { /copied/ } @{ content() }),
	0, 'it stays paused over a restart');
is( $node->safe_psql('copy', q{SELECT hcevents.flush('300 ms')}),
	'f', 'flush() of a copy returns false');
runs('a copy can be dropped', 'DROP DATABASE copy');
is( $node->safe_psql('postgres',
		q{SELECT count(*) FROM hcevents.status WHERE datname = 'copy'}),
	'0',
	'and is gone');

# template1 with the extension: each new database is a copy

$node->safe_psql('template1', 'CREATE EXTENSION hcevents');
hce_wait_for_relay($node, 'streaming', 'postgres');
$node->poll_query_until('postgres', <<'SQL');
SELECT state = 'streaming' FROM hcevents.status WHERE datname = 'template1'
SQL
runs('CREATE DATABASE from a template1 with a relay', 'CREATE DATABASE born');
runs('and drop it', 'DROP DATABASE born');
$node->safe_psql('template1', 'DROP EXTENSION hcevents');

unlike(
	slurp_file($node->logfile),
	qr/was terminated by|terminating any other/,
	'no process of the server crashed');
$node->stop;
done_testing();
