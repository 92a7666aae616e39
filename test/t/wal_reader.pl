# The relay's WAL reader passes by records that hold nothing of ours without
# decoding them.  Whatever the WAL holds, it must give each record that is
# wanted, as the server's own reader does: records of all sizes, on page and
# segment boundaries, after switches of segments, restarts and a promotion, and
# while WAL is being written.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{HCE_SEED} // time;
srand($seed);
note "seed $seed";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(
	allows_streaming => 1,
	extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ]);
$node->append_conf('postgresql.conf', <<'CONF');
max_wal_size = 32MB
max_prepared_transactions = 5
wal_keep_size = 1GB
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
CREATE EXTENSION hcevents_test;
CREATE TABLE small (id serial PRIMARY KEY, n int);
CREATE TABLE large (id serial PRIMARY KEY, pad text);
ALTER TABLE large ALTER pad SET STORAGE PLAIN;
SQL

# Pieces of WAL of one kind, each some statements.
my %pieces = (
	rows => sub { "INSERT INTO small (n) SELECT generate_series(1, " . int(rand(800)) . ")" },
	wide => sub { "INSERT INTO large (pad) SELECT repeat('x', (random() * 7000)::int) FROM generate_series(1, " . int(rand(60)) . ")" },
	update => sub { "UPDATE small SET n = n + 1 WHERE id % 50 = " . int(rand(50)) },
	delete => sub { "DELETE FROM small WHERE id % 7 = " . int(rand(7)) },
	message => sub { "SELECT pg_logical_emit_message(" . (rand() < 0.5) . "::int::bool, 'test', repeat('m', " . int(10**rand(5.3)) . "))" },
	savepoint => sub { "BEGIN; SAVEPOINT a; INSERT INTO small (n) VALUES (1); ROLLBACK TO a; INSERT INTO small (n) VALUES (2); COMMIT" },
	aborted => sub { "BEGIN; INSERT INTO small (n) VALUES (3); ROLLBACK" },
	prepared => sub { "BEGIN; INSERT INTO small (n) VALUES (4); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'" },
	table => sub { my $n = int(rand(1e9)); "CREATE TABLE t$n (a int); DROP TABLE t$n" },
	index => sub { 'REINDEX TABLE small' },
	vacuum => sub { 'VACUUM small' },
	truncate => sub { 'TRUNCATE large' },
	checkpoint => sub { 'CHECKPOINT' },
	switch => sub { 'SELECT pg_switch_wal()' });
my @kinds = sort keys %pieces;

sub write_wal
{
	my ($count) = @_;
	for (1 .. $count)
	{
		my $kind = $kinds[ int(rand(@kinds)) ];
		$node->psql('postgres', $pieces{$kind}->());
	}
	return;
}

sub compare
{
	my ($from, $places, $milliseconds, $name) = @_;
	my ($status, $answer, $error) = $node->psql('postgres',
		"SELECT hce_test_wal_reader('$from', $places, $milliseconds)");
	is($error, '', $name);
	my ($records, $passed) = split ' ', $answer // '';
	note "$name: $records records, $passed of them passed by" if $passed;
	ok(($passed // 0) > 0.2 * ($records // 1), "$name: most are passed by where they may be");
	return;
}

my $start = sql('SELECT pg_current_wal_lsn()');
for my $round (1 .. 3)
{
	my $from = sql('SELECT pg_current_wal_lsn()');
	write_wal(60);
	compare($from, 10, 0, "round $round");
	$node->restart($round == 2 ? 'immediate' : 'fast');
}
compare($start, 30, 0, 'all rounds');

# while WAL is written
my $loop = PostgreSQL::Test::Utils::tempdir('script') . '/loop.sql';
append_to_file($loop, <<'SQL');
INSERT INTO small (n) VALUES (1);
INSERT INTO large (pad) SELECT repeat('x', (random() * 3000)::int);
SQL
my $load = IPC::Run::start(
	[
		$node->installed_command('pgbench'),
		'-n', '-c', 4, '-T', 60, '-f', $loop, $node->connstr('postgres')
	],
	'<', \undef, '>', \my $stdout, '2>', \my $stderr, IPC::Run::timeout(120));
my $rows = sql('SELECT count(*) FROM small');
ok($node->poll_query_until('postgres', "SELECT count(*) > $rows + 100 FROM small"),
	'clients write');
compare(sql('SELECT pg_current_wal_lsn()'), 3, 4000, 'while WAL is written');
$load->kill_kill;

# behind a switch of timelines
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
write_wal(20);
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
$start = sql("SELECT redo_lsn FROM pg_control_checkpoint()");
$node->stop;
$standby->promote;
$node = $standby;
write_wal(20);
compare($start, 10, 0, 'over a promotion');
$standby->stop;

done_testing();
