# What the relay leaves alone: messages that others forged, a server at rest,
# a database where nothing happens beside a busy one, and the reverse.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kafka = HceTest::Kafka->start;
my $node = hce_node(
	'main',
	kafka => $kafka,
	init => [ extra => ['--wal-segsize=1'] ],
	conf => <<'CONF');
wal_level = replica
min_wal_size = 2MB
max_wal_size = 4MB
autovacuum = off
CONF
hce_patients($node);
$node->safe_psql('postgres', 'CREATE DATABASE busy');
$node->safe_psql('busy', 'CREATE EXTENSION hcevents; CREATE TABLE filler (n int)');
hce_wait_for_relay($node, 'streaming', 'busy');

# Forged messages

my $foreign = 'SELECT foreign_messages FROM hcevents.relay_status() r WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database())';
my $forged_before = $node->safe_psql('postgres', $foreign);
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE forger LOGIN;
SET ROLE forger;
SELECT pg_logical_emit_message(true, 'hcevents', 'x');
SELECT pg_logical_emit_message(true, 'hcevents', decode(repeat('00', 200), 'hex'));
SELECT pg_logical_emit_message(false, 'hcevents', 'x');
SELECT pg_logical_emit_message(true, 'hcevents' || chr(1) || '1', 'x');
SELECT pg_logical_emit_message(true, '', '');
SELECT pg_logical_emit_message(true, repeat('hcevents', 100), 'x');
RESET ROLE;
INSERT INTO patients (name) VALUES ('genuine');
SQL
hce_flush($node);
is($kafka->count, 1, 'forged messages are not delivered');
is($node->safe_psql('postgres', $foreign) - $forged_before,
	6, 'but counted');
my $forger = $node->background_psql('postgres');
$forger->query_safe(
	q{BEGIN; SELECT count(pg_logical_emit_message(true, 'hcevents', repeat('x', 1000))) FROM generate_series(1, 2000);}
);
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');

# A busy database beside an idle one; a forged message in an open transaction
# pins nothing.

sub slots_beyond
{
	my ($beyond, $what) = @_;
	my $moved = hce_wait_until(
		sub {
			$node->safe_psql('busy', 'INSERT INTO filler SELECT n FROM generate_series(1, 15000) n');
			$node->safe_psql('postgres',
				"SELECT bool_and(restart_lsn > '$beyond') FROM pg_replication_slots"
			) eq 't';
		},
		30);
	return ok($moved, $what)
	  || diag($node->safe_psql('postgres',
			'SELECT slot_name, restart_lsn, pg_current_wal_lsn() FROM pg_replication_slots'
		));
}
slots_beyond($lsn, 'a busy database makes no WAL pile up for an idle one');
$node->safe_psql('busy', 'CHECKPOINT');
cmp_ok(
	$node->safe_psql('postgres',
		'SELECT max(pg_current_wal_lsn() - restart_lsn) FROM pg_replication_slots'
	),
	'<',
	16 * 1024 * 1024,
	'the slots keep a few segments only');
$forger->query_safe('ROLLBACK;');
$forger->quit;

# The reverse: events flow in one database, the other one has none
$lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$node->safe_psql('postgres',
	q{INSERT INTO patients (name) SELECT repeat('x', 100) FROM generate_series(1, 40000)}
);
hce_flush($node);
slots_beyond($lsn, 'nor does one with events for one without');

# At rest, also with archive_timeout: what we write must not make the server
# switch segments, which would make us write again.

foreach my $archive_timeout (0, 1)
{
	$node->safe_psql('postgres',
		"ALTER SYSTEM SET archive_timeout = $archive_timeout");
	$node->reload;
	$node->safe_psql('postgres', q{INSERT INTO patients (name) VALUES ('again')});
	hce_flush($node, $_) foreach qw(postgres busy);
	$node->safe_psql('postgres', 'CHECKPOINT');
	# the last position is written within a second or two
	my $quiet_since = time();
	my $position = '';
	hce_wait_until(
		sub {
			my $now = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
			if ($now ne $position)
			{
				$position = $now;
				$quiet_since = time();
			}
			return time() - $quiet_since > 2;
		},
		20);
	my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	sleep(6);
	my $to = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	my ($status, $records) = hce_run(
		$node->installed_command('pg_waldump'),
		'-p', $node->data_dir . '/pg_wal',
		'-s', $from, '-e', $to);
	my @records = grep { /rmgr:/ && !/rmgr: Standby/ } split /\n/, $records // '';
	is_deeply(\@records, [],
		"a server at rest writes no WAL of ours, archive_timeout = $archive_timeout");
}

my $pid = hce_relay_pid($node);
my ($used) = slurp_file("/proc/$pid/stat") =~ /\) (?:\S+ ){11}(\d+) /;
sleep(2);
my ($used_later) = slurp_file("/proc/$pid/stat") =~ /\) (?:\S+ ){11}(\d+) /;
cmp_ok($used_later - $used, '<', 10, 'and its relay next to no CPU');

$node->stop;
done_testing();
