# topics(), create_topics() and check(): what the admin worker finds out, who
# may ask, and that whatever becomes of Kafka, the requester or the worker,
# the server goes on.

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
  hce_node('admin', kafka => $kafka, conf => 'wal_level = replica');

# Rows of a query, columns joined by "|".
sub rows
{
	my ($sql) = @_;
	return [ split /\n/, $node->safe_psql('postgres', $sql) ];
}

# "SQLSTATE message" and hint of a statement that fails.
sub failure
{
	my ($sql) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres',
		"\\set VERBOSITY verbose\n$sql");
	my ($error) = $stderr =~ /ERROR:\s+(.*)/;
	my ($hint) = $stderr =~ /HINT:\s+(.*)/;
	return ($error // '', $hint // '');
}

# Status of one check.
sub check
{
	my ($name) = @_;
	return $node->safe_psql('postgres',
		qq{SELECT status FROM hcevents.check() WHERE "check" = '$name'});
}

# Process ids of this server's admin workers.
sub workers
{
	my $postmaster = $node->safe_psql('postgres',
		"SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)");
	my @found;
	foreach my $dir (glob '/proc/[0-9]*')
	{
		open my $stat, '<', "$dir/stat" or next;
		my ($parent) = (<$stat> // '') =~ /\) \S (\d+)/;
		next unless ($parent // 0) == $postmaster;
		open my $cmdline, '<', "$dir/cmdline" or next;
		push @found, $dir =~ /(\d+)/
		  if (<$cmdline> // '') =~ /hcevents admin worker/;
	}
	return @found;
}

# Nothing is attached

is_deeply(rows('SELECT * FROM hcevents.topics()'),
	[], 'no topics without attachments');
is_deeply(rows('SELECT * FROM hcevents.create_topics()'),
	[], 'and none are created');
is(check('attachments'), 'warning', 'check() says that no table publishes');

# Topics

hce_patients($node);
my @types = qw(appointment.booked appointment.cancelled appointment.completed
  patient.created patient.deleted patient.updated);
my @topics = map { "healthcore.$_" } @types;

is_deeply(
	rows('SELECT topic, event_types, "exists" FROM hcevents.topics()'),
	[ map { "healthcore.$_|{$_}|f" } @types ],
	'topics() has the six topics, which do not exist');
is($kafka->call('list-topics'), '',
	'asking for a topic does not make the broker create it');
is(check('topics'), 'warning', 'check() says that topics are missing');

is_deeply(
	rows(q{SELECT * FROM hcevents.create_topics(2, config => '{"nonsense": 1}')}
	),
	[ map { "$_|Unknown topic config name: nonsense" } @topics ],
	'the options reach Kafka, and its error the caller');
like($node->safe_psql('postgres',
		'SELECT result FROM hcevents.create_topics(1, 5) LIMIT 1'),
	qr/replication factor/, 'more replicas than brokers are an error of Kafka');
is_deeply(
	rows(q{SELECT * FROM hcevents.create_topics(2,
		config => '{"retention.ms": 3600000, "preallocate": false,
			"cleanup.policy": "delete"}')}),
	[ map { "$_|created" } @topics ],
	'create_topics() creates them');
is_deeply(
	rows('SELECT * FROM hcevents.create_topics()'),
	[ map { "$_|exists" } @topics ],
	'and leaves those alone that exist');
is_deeply(
	rows('SELECT topic, "exists", partitions, replication_factor, error FROM hcevents.topics()'
	),
	[ map { "$_|t|2|1|" } @topics ],
	'topics() shows what was created');
is_deeply(
	rows(q{SET hcevents.topic = '%p_%s_%r'; SELECT topic, event_types FROM hcevents.topics()}
	),
	[
		'healthcore_public_appointment|{appointment.booked,appointment.cancelled,appointment.completed}',
		'healthcore_public_patient|{patient.created,patient.deleted,patient.updated}'
	],
	'topics() follows the settings, events that share a topic together');

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA "odd name";
CREATE TABLE "odd name".labs (id int PRIMARY KEY);
SELECT hcevents.attach('"odd name".labs', 'lab', on_update => NULL, on_delete => NULL);
SQL
is_deeply(
	rows(q{SET hcevents.topic = '%s.%r'; SELECT event_types, error IS NOT NULL FROM hcevents.topics() WHERE topic IS NULL}
	),
	['{lab.created}|t'],
	'an event type whose topic has no valid name is reported');
is( $node->safe_psql('postgres',
		q{SET hcevents.topic = '%s.%r'; SELECT status FROM hcevents.check() WHERE "check" = 'topic_names'}
	),
	'error',
	'check() reports it too');
$node->safe_psql('postgres', 'DROP SCHEMA "odd name" CASCADE');

# Arguments

my @wrong = (
	[ 'partitions => 0', '22023' ],
	[ 'partitions => -1', '22023' ],
	[ 'partitions => 100001', '22023' ],
	[ 'partitions => NULL', '22004' ],
	[ 'replication_factor => 0', '22023' ],
	[ 'replication_factor => NULL', '22004' ],
	[ 'config => NULL', '22004' ],
	[ q{config => '[]'}, '22023' ],
	[ q{config => '"x"'}, '22023' ],
	[ q{config => '{"a": null}'}, '22023' ],
	[ q{config => '{"a": {"b": 1}}'}, '22023' ],
	[ q{config => '{"": 1}'}, '22023' ]);
foreach my $case (@wrong)
{
	my ($arguments, $state) = @$case;
	my ($error) = failure("SELECT * FROM hcevents.create_topics($arguments)");
	like($error, qr/^$state:/, "$arguments is refused");
}

# A healthy system

hce_wait_for_relay($node);
is_deeply(
	rows(q{SELECT "check", detail FROM hcevents.check() WHERE status = 'error'}
	),
	[],
	'check() finds no error in a healthy system');
is_deeply(
	rows(q{SELECT "check" FROM hcevents.check() WHERE status = 'warning' AND hint IS NULL}
	),
	[],
	'every warning has a hint');
is(check('max_slot_wal_keep_size'),
	'warning', 'check() warns that retained WAL is not bounded');

# Privileges

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody_special;
CREATE ROLE monitor IN ROLE pg_monitor;
SQL
foreach my $call ('topics()', 'create_topics()', 'check()',
	'describe_topics(ARRAY[]::text[])', q{make_topics('{x}', 1, 1, '{}')})
{
	my ($error) = failure(
		"SET ROLE nobody_special; SELECT * FROM hcevents.$call");
	like($error, qr/^42501:/, "$call needs a privilege");
}
is_deeply(
	rows('SET ROLE monitor; SELECT count(*) FROM hcevents.topics()'),
	['6'], 'pg_monitor may call topics()');
is_deeply(
	rows(q{SET ROLE monitor; SELECT "check", detail FROM hcevents.check() WHERE status = 'error'}
	),
	[],
	'and check(), without a check that fails for want of a privilege');
my ($denied) =
  failure('SET ROLE monitor; SELECT * FROM hcevents.create_topics()');
like($denied, qr/^42501:/, 'but not create_topics()');

# A broker that says nothing

$kafka->pause;
my $start = time();
my ($cancelled) =
  failure("SET statement_timeout = '1s'; SELECT * FROM hcevents.topics()");
like($cancelled, qr/^57014:/, 'topics() can be cancelled');
cmp_ok(time() - $start, '<', 5, 'at once');
ok(hce_wait_until(sub { !workers() }, 5),
	'the worker ends when nobody waits for it');

my ($out, $err) = ('', '');
my $waiting = IPC::Run::start(
	[
		$node->installed_command('psql'), '-X', '-d',
		$node->connstr('postgres'), '-c', 'SELECT * FROM hcevents.topics()'
	],
	'<', \undef, '>', \$out, '2>', \$err);
my @pids;
ok(hce_wait_until(sub { @pids = workers(); @pids == 1 }, 10),
	'an admin worker runs');
kill 'TERM', @pids;
$waiting->finish;
like($err, qr/ended without an answer/, 'a worker that is terminated');
ok(hce_wait_until(sub { !workers() }, 5), 'is gone');

$start = time();
my ($silent) = failure('SELECT * FROM hcevents.topics()');
like($silent, qr/^08001:/, 'a broker that does not answer is an error');
cmp_ok(time() - $start, '<', 12, 'after ten seconds');
$kafka->resume;

# No broker

$kafka->stop;
my ($refused, $refused_hint) = failure('SELECT * FROM hcevents.topics()');
like($refused, qr/^08001:/, 'no broker is an error');
like($refused_hint, qr/bootstrap_servers/, 'with a hint');
is(check('brokers'), 'error', 'and a row of check()');
$kafka->start_again;
# a broker that has just started may not lead its partitions yet
ok(hce_wait_until(sub { check('brokers') eq 'ok' }, 60), 'until it is back');

# Parts that are missing

$node->safe_psql('postgres',
	'ALTER VIEW hcevents.attachments RENAME TO gone');
is_deeply(
	rows(q{SELECT "check", status FROM hcevents.check() WHERE "check" IN ('attachments', 'preloaded')}
	),
	[ 'preloaded|ok', 'attachments|error' ],
	'check() goes on where a part of the extension is broken');
$node->safe_psql('postgres', 'ALTER VIEW hcevents.gone RENAME TO attachments');

# The server has seen all that without a crash

unlike(slurp_file($node->logfile),
	qr/terminating any other active server processes|was terminated by signal/,
	'no process of the server crashed');

# No worker slot: the launchers of PostgreSQL and of hcevents, and the relay

$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
hce_wait_for_relay($node);
my ($full, $full_hint) = failure('SELECT * FROM hcevents.topics()');
like($full, qr/^53000:/, 'no free worker slot is an error');
like($full_hint, qr/max_worker_processes/, 'with a hint');
is(check('max_worker_processes'), 'warning', 'and a row of check()');
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$node->restart;
hce_wait_for_relay($node);
is($node->safe_psql('postgres',
		'SELECT count(*) FROM generate_series(1, 20) AS i, LATERAL (SELECT count(*) + i FROM hcevents.topics()) AS t'
	),
	'20',
	'one slot is enough for calls one after the other');

# Not preloaded

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my ($unloaded, $unloaded_hint) = failure('SELECT * FROM hcevents.topics()');
like($unloaded, qr/^55000:/, 'without the library preloaded it is an error');
like($unloaded_hint, qr/shared_preload_libraries = 'hcevents'/,
	'with the line to add');
is(check('preloaded'), 'error', 'and a row of check()');

$node->stop;
done_testing();
