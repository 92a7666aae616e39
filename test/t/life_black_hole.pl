# A Kafka whose packets are dropped, and one that is dead, hold up no other
# process of the server: shutdown, CHECKPOINT, VACUUM FULL and the commands
# that need a database alone are done in time.  The times are printed.
#
# "never answers": connections are made and nothing ever comes.  "drops": not
# even connections are made, since the listener's backlog is full.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceProxy;
use HceTest;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $proxy = HceProxy->new;
my $kafka = $proxy->{kafka};
my $node = hce_node('main', kafka => $kafka, conf => $proxy->conf . <<'CONF');
wal_level = replica
max_worker_processes = 16
CONF
hce_patients($node);
mkdir $node->basedir . '/space' or die;
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE owner LOGIN CREATEDB;
CREATE TABLESPACE space OWNER owner LOCATION '@{[ $node->basedir ]}/space';
SQL

# How long an action takes; it is to be less than "limit" seconds.
sub within
{
	my ($limit, $what, $action) = @_;
	my $start = time();
	my $well = $action->();
	my $took = time() - $start;

	hce_figure('%-60s %.2f s', $what, $took);
	ok($well, $what);
	return cmp_ok($took, '<', $limit, sprintf '%s in %.2f s', $what, $took);
}

sub sql_as
{
	my ($user, $sql) = @_;
	return sub {
		my ($status, undef, $stderr) =
		  $node->psql('postgres', $sql, extra_params => [ '-U', $user ]);
		diag($stderr) if $status != 0;
		return $status == 0;
	};
}
my $me = $node->safe_psql('postgres', 'SELECT current_user');

# Enough for a full queue of the producer.
sub backlog
{
	$node->safe_psql('postgres',
		q{INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 60000) n});
	return;
}

# Make this database's Kafka bad, with events in flight.
sub prepare
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database OWNER owner");
	$node->safe_psql($database, <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id int PRIMARY KEY);
SELECT hcevents.attach('things', 'thing');
INSERT INTO things SELECT generate_series(1, 1000);
SQL
	$node->poll_query_until('postgres',
		"SELECT relay_pid IS NOT NULL AND read_lsn IS NOT NULL FROM hcevents.status WHERE datname = '$database'")
	  or die "no relay in $database";
	return;
}

# The commands that need a database without connections, and others that
# could meet the relay.
sub commands
{
	my ($case) = @_;
	prepare('d1');
	within(5, "$case: CREATE DATABASE TEMPLATE",
		sql_as('owner', 'CREATE DATABASE d2 TEMPLATE d1'));
	within(5, "$case: ALTER DATABASE RENAME",
		sql_as('owner', 'ALTER DATABASE d1 RENAME TO d3'));
	within(5, "$case: ALTER DATABASE SET TABLESPACE",
		sql_as('owner', 'ALTER DATABASE d3 SET TABLESPACE space'));
	within(5, "$case: DROP DATABASE", sql_as('owner', 'DROP DATABASE d3'));
	within(5, "$case: DROP DATABASE of the copy", sql_as('owner', 'DROP DATABASE d2'));
	prepare('d4');
	within(5, "$case: DROP DATABASE WITH (FORCE)",
		sql_as('owner', 'DROP DATABASE d4 WITH (FORCE)'));
	within(2, "$case: CHECKPOINT", sql_as($me, 'CHECKPOINT'));
	return;
}

sub shutdowns
{
	my ($case) = @_;
	foreach my $mode (qw(fast smart))
	{
		within(5, "$case: $mode shutdown", sub { $node->stop($mode) });
		$node->start;
		$node->poll_query_until('postgres',
			q{SELECT relay_pid IS NOT NULL FROM hcevents.status WHERE datname = 'postgres'});
	}
	return;
}

hce_flush($node);
$proxy->network('hole');
backlog();
commands('never answers');
shutdowns('never answers');

# The relay connects anew to a listener that takes no connection
my $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
  or die "no listener: $!";
my @waiting;
foreach (1 .. 8)
{
	push @waiting, IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $deaf->sockport,
		Blocking => 0);
}
$node->safe_psql('postgres',
	"ALTER SYSTEM SET hcevents.bootstrap_servers = '127.0.0.1:" . $deaf->sockport . q{'});
$node->reload;
hce_wait_for_relay($node, 'disconnected');
commands('drops');
shutdowns('drops');
$node->safe_psql('postgres', q{ALTER SYSTEM SET hcevents.bootstrap_servers = '127.0.0.1:1'});
$node->reload;
hce_wait_for_relay($node, 'disconnected');
shutdowns('dead');
hce_wait_for_relay($node, 'disconnected');

# A stopped relay: nobody waits for it but who must

my $pid = hce_relay_pid($node);
kill 'STOP', $pid;
within(2, 'relay stopped: CHECKPOINT', sql_as($me, 'CHECKPOINT'));
within(2, 'relay stopped: a commit', sql_as($me, q{INSERT INTO patients (name) VALUES ('x')}));
kill 'CONT', $pid;

# All is there in the end

$node->safe_psql('postgres', 'ALTER SYSTEM RESET hcevents.bootstrap_servers');
$node->reload;
$proxy->network('pass');
hce_wait_for_relay($node, 'streaming');
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates']);

# Tables of ours are rewritten, owners come and go, while events flow

foreach my $table (qw(position counters gap_log dead_letter_store))
{
	$node->safe_psql('postgres',
		q{INSERT INTO patients (name) SELECT 'v' FROM generate_series(1, 500)});
	within(5, "VACUUM FULL hcevents.$table", sql_as($me, "VACUUM FULL hcevents.$table"));
}
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE leaving;
CREATE TABLE leaving_table (id int PRIMARY KEY);
SELECT hcevents.attach('leaving_table', 'leaving');
ALTER TABLE leaving_table OWNER TO leaving;
CREATE TABLE staying_table (id int PRIMARY KEY);
SELECT hcevents.attach('staying_table', 'staying');
ALTER TABLE staying_table OWNER TO leaving;
INSERT INTO leaving_table VALUES (1);
INSERT INTO staying_table VALUES (1);
ALTER TABLE staying_table OWNER TO owner;
DROP OWNED BY leaving;
REASSIGN OWNED BY owner TO leaving;
INSERT INTO staying_table VALUES (2);
SQL
hce_flush($node);
hce_verify($node, $kafka, arguments => ['--allow-duplicates']);
is($kafka->count('healthcore.leaving.created'), 1,
	'what a dropped table captured is delivered');
is($kafka->count('healthcore.staying.created'), 2,
	'REASSIGN OWNED changes nothing for a table');
unlike(
	slurp_file($node->logfile),
	qr/was terminated by|terminating any other|exited with exit code [^01]/,
	'no process of the server crashed');

$node->stop;
done_testing();
