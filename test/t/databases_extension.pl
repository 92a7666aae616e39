# CREATE and DROP EXTENSION: what they leave, committed or rolled back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node = hce_node(
	'main',
	kafka => $kafka,
	extension => 0,
	conf => 'wal_level = replica');

# Slots, relays and labels of ours, as "slots|relays|labels".
sub remains
{
	return $node->safe_psql('postgres', <<'SQL');
SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'hcevents%'),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'hcevents relay'),
       (SELECT count(*) FROM pg_shseclabel WHERE provider = 'hcevents')
SQL
}

sub remains_is
{
	my ($expected, $what) = @_;
	return ok(hce_wait_until(sub { remains() eq $expected }, 15), $what)
	  || diag(remains());
}

# Until the launcher has looked: it starts a relay for another database.
sub launcher_has_looked
{
	$node->safe_psql('postgres', 'CREATE DATABASE probe');
	$node->safe_psql('probe', 'CREATE EXTENSION hcevents');
	hce_wait_until(sub { remains() =~ /^1\|1\|1$/ }, 15);
	is(remains(), '1|1|1', 'only the probe has slot, relay and label');
	$node->safe_psql('postgres', 'DROP DATABASE probe');
	return remains_is('0|0|0', 'DROP DATABASE takes them all');
}

is(remains(), '0|0|0', 'nothing before CREATE EXTENSION');

# Rolled back

$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION hcevents; ROLLBACK');
$node->safe_psql('postgres',
	'BEGIN; SAVEPOINT s; CREATE EXTENSION hcevents; ROLLBACK TO s; COMMIT');
$node->psql('postgres', 'BEGIN; CREATE EXTENSION hcevents; SELECT 1/0; COMMIT');
launcher_has_looked();

# Committed, dropped in a rolled-back transaction

$node->safe_psql('postgres', 'CREATE EXTENSION hcevents');
remains_is('1|1|1', 'CREATE EXTENSION makes slot, relay and label at once');
hce_wait_for_relay($node);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('one');
SQL
hce_flush($node);
my $pid = hce_relay_pid($node);
$node->safe_psql('postgres',
	'BEGIN; DROP EXTENSION hcevents CASCADE; ROLLBACK');
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('two')});
hce_flush($node);
is(hce_relay_pid($node), $pid, 'a rolled-back DROP EXTENSION changes nothing');

# The label is not for users

$node->safe_psql('postgres', 'CREATE ROLE labeller');
$node->safe_psql('postgres', 'CREATE DATABASE owned OWNER labeller');
my ($status, undef, $stderr) = $node->psql('postgres',
	q{SET ROLE labeller; SECURITY LABEL FOR hcevents ON DATABASE owned IS 'on'});
like($stderr, qr/cannot be set by hand/, 'an owner cannot set the label');
(undef, undef, $stderr) = $node->psql('postgres',
	q{SECURITY LABEL FOR hcevents ON DATABASE owned IS 'nonsense'});
like($stderr, qr/the only security label/, 'nor a superuser an unknown one');

# Dropped with events that were not delivered

($status, undef, $stderr) = $node->psql('postgres',
	'BEGIN; DROP EXTENSION hcevents CASCADE; ROLLBACK');
unlike($stderr, qr/WARNING/, 'no WARNING when all is delivered');
$kafka->pause;
$node->safe_psql('postgres',
	'INSERT INTO things (name) SELECT n FROM generate_series(1, 37) n');
ok( $node->poll_query_until(
		'postgres',
		'SELECT sum(pending) = 37 FROM hcevents.delivery_stats'),
	'37 events are pending');
($status, undef, $stderr) =
  $node->psql('postgres', 'DROP EXTENSION hcevents CASCADE');
is($status, 0, 'DROP EXTENSION succeeds');
like(
	$stderr,
	qr/WARNING:  37 events were not delivered/,
	'with a WARNING that has the number of undelivered events');
remains_is('0|0|0', 'DROP EXTENSION takes slot, relay and label');
$kafka->resume;

# Again

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION hcevents;
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('again');
SQL
hce_flush($node);
is(hce_stats($node, 'captured'), 1, 'the counters begin at zero');
my @names =
  map { decode_json($_->{value})->{data}{name} }
  $kafka->messages('healthcore.thing.created');
is(scalar(grep { $_ eq 'again' } @names), 1,
	'CREATE EXTENSION after DROP EXTENSION delivers');
is(scalar(grep { $_ eq 'one' } @names), 1, 'and nothing old comes again');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'no gap');

# Dropped and made in one transaction

$node->safe_psql('postgres', <<'SQL');
BEGIN;
DROP EXTENSION hcevents CASCADE;
CREATE EXTENSION hcevents;
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('same transaction');
COMMIT;
SQL
hce_flush($node);
@names =
  map { decode_json($_->{value})->{data}{name} }
  $kafka->messages('healthcore.thing.created');
is(scalar(grep { $_ eq 'same transaction' } @names),
	1, 'DROP and CREATE in one transaction: its events are delivered');

# In quick succession, while the relay of the one before still leaves: who
# comes last has a relay, and that one delivers.

$node->safe_psql('postgres',
	"DROP EXTENSION hcevents CASCADE; CREATE EXTENSION hcevents;\n" x 5
	  . "DROP EXTENSION hcevents CASCADE; CREATE EXTENSION hcevents; SELECT pg_sleep(0.03);\n"
	  x 10);
$node->safe_psql('postgres', <<'SQL');
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('quick');
SQL
is($node->safe_psql('postgres', q{SELECT hcevents.flush('10 s')}),
	't', 'DROP and CREATE in quick succession: its events are delivered');
remains_is('1|1|1', 'one slot, one relay, one label');
is(hce_stats($node, 'captured'), 1, 'and the counters are those of the last');

# Made again while the relay of the one before still waits for Kafka, as it
# does for up to a second when it ends with events in flight.

$kafka->pause;
$node->safe_psql('postgres',
	q{INSERT INTO things (name) SELECT 'in flight' FROM generate_series(1, 10)});
ok( $node->poll_query_until('postgres',
		'SELECT in_flight > 0 FROM hcevents.status'),
	'events are in flight');
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
DROP EXTENSION hcevents CASCADE;
SELECT pg_sleep(0.3);
CREATE EXTENSION hcevents;
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('while leaving');
SQL
$kafka->resume;
is($node->safe_psql('postgres', q{SELECT hcevents.flush('15 s')}),
	't', 'made again while the old relay leaves: its events are delivered');
remains_is('1|1|1', 'and it has a slot, a relay and a label');

# DROP EXTENSION and a relay that writes its tables meet at one lock, that of
# the extension: were it the tables', each could hold one that the other wants.

my $holder = IPC::Run::start(
	[ 'psql', '-XqAt', '-d', $node->connstr('postgres') ],
	'<', \my $holder_in, '>', \my $holder_out, '2>', \my $holder_err,
	IPC::Run::timeout(60));
$holder_in = "BEGIN; LOCK TABLE hcevents.position; SELECT 'locked';\n";
$holder->pump until $holder_out =~ /locked/;
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('stored')});
my $waits = q{EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE NOT l.granted AND %s)};
ok( $node->poll_query_until('postgres',
		'SELECT ' . sprintf($waits, q{a.backend_type = 'hcevents relay'})),
	'the relay waits to write its row');
my $dropper = IPC::Run::start(
	[
		'psql', '-Xq', '-d', $node->connstr('postgres'), '-c',
		'DROP EXTENSION hcevents CASCADE'
	],
	'<', \undef, '>', \my $dropper_out, '2>', \my $dropper_err,
	IPC::Run::timeout(60));
ok( $node->poll_query_until('postgres',
		'SELECT ' . sprintf($waits,
			q{a.query LIKE 'DROP EXTENSION%' AND l.locktype = 'object' AND l.classid = 'pg_extension'::regclass})),
	'DROP EXTENSION waits for it at the extension, not in the tables');
$holder_in .= "ROLLBACK;\n\\q\n";
$holder->finish;
$dropper->finish;
is($dropper->result(0), 0, 'then it drops the extension') or diag($dropper_err);
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION hcevents;
SELECT hcevents.attach('things', 'thing', columns => '{name}');
SQL
remains_is('1|1|1', 'which can be made again');

# A crash right after each

$node->safe_psql('postgres', 'DROP EXTENSION hcevents CASCADE');
$node->stop('immediate');
$node->start;
remains_is('0|0|0', 'a crash after DROP EXTENSION leaves no slot');
$node->safe_psql('postgres', 'CREATE EXTENSION hcevents');
$node->stop('immediate');
$node->start;
remains_is('1|1|1', 'after CREATE EXTENSION and a crash a relay runs');
hce_wait_for_relay($node);

unlike(
	slurp_file($node->logfile),
	qr/was terminated by|terminating any other/,
	'no process of the server crashed');
$node->stop;
done_testing();
