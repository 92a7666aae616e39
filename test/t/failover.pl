# Failover under load: the primary dies, the standby is promoted, the old
# primary is rewound and comes back as the standby, and so on in turn.
#
# HCE_PROMOTIONS (2), HCE_SYNC (both: 0 and 1; or one of them), HCE_EVENTS (of
# the load in each round) and HCE_RATE set the size; test/failover sets them.
#
# Synchronous: what Kafka holds is exactly what was committed.  Asynchronous:
# nothing of what the new primary has is missing; what only the dead one had
# may be in Kafka.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use File::Copy qw(copy);
use HceTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $promotions = $ENV{HCE_PROMOTIONS} // 2;
my $events = $ENV{HCE_EVENTS} // 1500;
my $rate = $ENV{HCE_RATE} // 100;

my ($kafka, $primary, $standby);

sub ask
{
	my ($node, $sql) = @_;
	my ($status, $answer) = $node->psql('postgres', $sql);
	return $status == 0 ? $answer : '';
}

sub set_synchronous
{
	my ($names) = @_;
	$primary->safe_psql('postgres',
		"ALTER SYSTEM SET synchronous_standby_names = '$names'");
	$primary->reload;
	return;
}

# The standby streams, is synchronous when it shall be, and keeps its slot.
sub standby_ready
{
	my ($sync) = @_;
	set_synchronous($sync ? '*' : '');
	my $state = $sync ? 'sync' : 'async';
	return ok(
		hce_wait_until(
			sub {
				ask($primary,
					"SELECT state = 'streaming' AND sync_state = '$state' AND replay_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication"
				) eq 't'
				  && ask($standby,
					q{SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name ~ '^hcevents_'}
				  ) eq 't';
			},
			90),
		"the standby is $state and keeps its slot");
}

# The dead primary becomes the standby of the new one.
sub rewind
{
	my ($old) = @_;
	my $dir = $old->data_dir;

	copy("$dir/postgresql.conf", "$dir/../kept.conf");
	# pg_rewind reads the timeline from the control file: else it does nothing
	$primary->safe_psql('postgres', 'CHECKPOINT');
	$old->command_ok(
		[
			'pg_rewind', '--target-pgdata', $dir, '--source-server',
			$primary->connstr('postgres'), '--no-sync'
		],
		'the old primary is rewound');
	copy("$dir/../kept.conf", "$dir/postgresql.conf");
	my $connection = $primary->connstr . ' application_name=other';
	$old->append_conf('postgresql.conf', "primary_conninfo = '$connection'");
	$old->set_standby_mode;
	$old->start;
	return;
}

sub fail_over
{
	my ($sync) = @_;
	my ($host, $port, $other) = ($primary->host, $primary->port, $standby->port);
	my ($out, $err) = ('', '');
	my $before = ask($primary, 'SELECT count(*) FROM ledger');
	my $load = IPC::Run::start(
		[
			hce_top() . '/test/load/run', '--events', $before + $events,
			'--tolerant', '--clients', 4, '--chunk', 3, '--rate', $rate,
			'--conninfo',
			"host=$host,$host port=$port,$other dbname=postgres target_session_attrs=read-write"
		],
		'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(240));

	ok( hce_wait_until(
			sub {
				my $count = ask($primary, 'SELECT count(*) FROM ledger');
				return $count ne '' && $count > $before + $events / 2;
			},
			120),
		'the load is half done');
	my $epoch = ask($primary, 'SELECT epoch FROM hcevents.position');
	$primary->stop('immediate');
	($primary, $standby) = ($standby, $primary);

	my $promoted = time();
	$primary->promote;
	set_synchronous('');
	my $first = '';
	ok( hce_wait_until(
			sub {
				$first = ask($primary,
					"SELECT extract(epoch FROM max(last_delivered_time)) - $promoted FROM hcevents.delivery_stats WHERE last_delivered_time > to_timestamp($promoted)"
				);
				return $first ne '';
			},
			60),
		'the new primary delivers');
	hce_figure('synchronous=%d first event %.2f s after the promotion',
		$sync, $first || -1);
	$load->finish;
	is($load->result(0), 0, 'the load goes on there') or diag($err);
	hce_flush($primary);
	cmp_ok(ask($primary, 'SELECT epoch FROM hcevents.position'),
		'>', $epoch, 'the epoch has grown');
	is(ask($primary, 'SELECT count(*) FROM hcevents.gaps'), '0', 'no gap');
	rewind($standby);
	return;
}

sub verify
{
	my ($sync) = @_;
	my ($status, $out, $err) = hce_run(
		'/usr/bin/python3', hce_top() . '/test/verify/verify',
		'--psql', $primary->installed_command('psql'),
		'--conninfo', $primary->connstr('postgres'),
		'--bootstrap-servers', $kafka->bootstrap, '--allow-duplicates');
	hce_figure('synchronous=%d %s', $sync, $out =~ s/\s+$//r);
	like($out, qr/\bmissing=0\b/, 'nothing is missing') or diag($err);
	is($status, 0, 'nothing is there that was not committed, all in order')
	  or diag($err)
	  if $sync;
	return;
}

foreach my $sync (defined $ENV{HCE_SYNC} ? $ENV{HCE_SYNC} : (0, 1))
{
	$kafka = HceTest::Kafka->start;
	$primary = hce_node("one$sync", kafka => $kafka, conf => <<'CONF');
wal_level = replica
wal_log_hints = on
wal_keep_size = 256MB
full_page_writes = on
CONF
	hce_patients($primary);
	$primary->backup('base');
	$standby = PostgreSQL::Test::Cluster->new("two$sync");
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	for (1 .. $promotions)
	{
		standby_ready($sync);
		fail_over($sync);
	}
	standby_ready($sync);
	verify($sync);
	foreach my $node ($primary, $standby)
	{
		unlike(
			slurp_file($node->logfile),
			qr/was terminated by|terminating any other/,
			'no process crashed');
		$node->stop('immediate');
	}
	$kafka->kill9;
}
done_testing();
