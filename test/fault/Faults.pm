# The faults: each breaks one thing of a FaultWorld, mends it, and returns
# when it is mended; that delivery goes on is asked after it.
#
# A fault gets the world and two numbers that the seed has chosen: how many
# seconds it lasts, and one between 0 and 1 for a choice of its own.
# Attributes:
#	run         what it does
#	crash       events that may come twice: those since the last position row
#	            and those in flight (G5; src/relay: STORE_EVENTS, MAX_IN_FLIGHT)
#	fatal       likewise, those in flight: librdkafka may give a producer up
#	quiet       wants all verified before, and no load while it runs
#	default     0: only when it is named by --faults
package Faults;

use strict;
use warnings;

use HceTest;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

my $since_row = 10000;
my $in_flight = 50000;

my %faults = (
	relay_kill => { run => \&relay_kill, crash => 1 },
	relay_stop => { run => \&relay_stop },
	relay_terminate => { run => \&relay_terminate, fatal => 1 },
	backend_kill => { run => \&backend_kill, crash => 1 },
	backend_terminate => { run => \&backend_terminate },
	server_immediate => { run => \&server_immediate, crash => 1 },
	server_crash_twice => { run => \&server_crash_twice, crash => 1 },
	server_fast => { run => \&server_fast, fatal => 1 },
	broker_kill => { run => \&broker_kill, fatal => 1 },
	broker_restart => { run => \&broker_restart, fatal => 1 },
	broker_stop => { run => \&broker_stop, fatal => 1 },
	network_cut => { run => sub { network(@_, 'cut') }, fatal => 1 },
	network_hole => { run => sub { network(@_, 'hole') }, fatal => 1 },
	network_slow => { run => \&network_slow, fatal => 1 },
	config_reload => { run => \&config_reload },
	config_servers => { run => \&config_servers, fatal => 1 },
	slot_drop => { run => \&slot_drop, fatal => 1 },
	slot_gap => { run => \&slot_gap, quiet => 1 },
	standby_restart => { run => \&standby_restart },
	topic_delete => { run => \&topic_delete, quiet => 1, fatal => 1 },
	partitions_add => { run => \&partitions_add, quiet => 1 },
	disk_full => { run => \&disk_full, crash => 1, default => 0 },
	failover => { run => \&failover, crash => 1, default => 0 });

sub names { return sort keys %faults; }

sub default_names { return grep { $faults{$_}{default} // 1 } names(); }

sub wants_quiet { return $faults{ $_[0] }{quiet}; }

# How many events may come twice because of this fault.
sub allowed_duplicates
{
	my $fault = $faults{ $_[0] };
	return $fault->{crash} ? $since_row + $in_flight
	  : $fault->{fatal} ? $in_flight : 0;
}

sub inject
{
	my ($name, $world, $seconds, $choice) = @_;
	$faults{$name}{run}->($world, $seconds, $choice);
	return;
}

# Send a signal to the relay now there; it may be going just then.
sub signal_relay
{
	my ($world, $signal) = @_;
	my $pid;

	hce_wait_until(
		sub { $pid = $world->relay_pid; $pid =~ /^\d+$/ && kill $signal, $pid }, 60)
	  or die "no relay took $signal\n";
	return $pid;
}

# The server restarts itself after one of its processes was killed.
sub wait_for_restart
{
	my ($world, $before) = @_;
	$world->wait_until('the server restarts after a killed process',
		"SELECT pg_postmaster_start_time() IS NOT NULL AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $before)"
	);
	return;
}

sub relay_kill
{
	my ($world) = @_;
	wait_for_restart($world, signal_relay($world, 'KILL'));
	return;
}

sub relay_stop
{
	my ($world, $seconds) = @_;
	my $pid = $world->{stopped} = signal_relay($world, 'STOP');

	sleep($seconds);
	kill 'CONT', $pid;
	delete $world->{stopped};
	return;
}

sub relay_terminate
{
	my ($world) = @_;
	my $pid = signal_relay($world, 'TERM');
	$world->wait_until('the relay ends',
		"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	return;
}

# A session of the load that is in a transaction.
sub busy_backend
{
	my ($world) = @_;
	my $pid;

	hce_wait_until(
		sub {
			$pid = $world->ask('SELECT busy_session()');
			return $pid;
		},
		60) or die "no session of the load is in a transaction\n";
	return $pid;
}

sub backend_kill
{
	my ($world) = @_;
	my $pid = busy_backend($world);
	wait_for_restart($world, $pid) if kill 'KILL', $pid;
	return;
}

sub backend_terminate
{
	my ($world) = @_;
	my $pid = busy_backend($world);
	$world->ask("SELECT pg_terminate_backend($pid)");
	return;
}

sub server_immediate
{
	my ($world) = @_;
	$world->stop_server('immediate');
	$world->start_server;
	return;
}

# The second crash finds the relay at its beginning, or not yet there.
sub server_crash_twice
{
	my ($world, $seconds, $choice) = @_;
	$world->stop_server('immediate');
	$world->start_server;
	sleep($choice);
	$world->stop_server('immediate');
	$world->start_server;
	return;
}

sub server_fast
{
	my ($world) = @_;
	my $start = time();
	$world->stop_server('fast');
	my $took = time() - $start;
	$world->start_server;
	# the standby and the checkpoint take some of it
	die "a fast shutdown took $took s\n" if $took > 30;
	return;
}

sub broker_kill
{
	my ($world, $seconds) = @_;
	$world->{kafka}->kill9;
	sleep($seconds);
	$world->{kafka}->start_again;
	return;
}

sub broker_restart
{
	my ($world) = @_;
	$world->{kafka}->restart;
	return;
}

sub broker_stop
{
	my ($world, $seconds) = @_;
	$world->{kafka}->pause;
	sleep($seconds);
	$world->{kafka}->resume;
	return;
}

sub network
{
	my ($world, $seconds, $choice, $mode) = @_;
	$world->network($mode);
	sleep($seconds);
	$world->network('pass');
	return;
}

sub network_slow
{
	my ($world, $seconds, $choice) = @_;
	return network($world, $seconds, $choice, 'slow ' . int(2000 + 60000 * $choice));
}

# A setting of others, and one of ours that the relay restarts for.
sub config_reload
{
	my ($world, $seconds, $choice) = @_;
	my $setting = $choice < 0.5 ? "work_mem = '5MB'" : "hcevents.relay_memory = '1MB'";
	my ($name) = $setting =~ /^(\S+)/;

	foreach my $sql ("ALTER SYSTEM SET $setting", "ALTER SYSTEM RESET $name")
	{
		$world->ask($sql) // die "$sql failed\n";
		$world->{node}->reload;
		sleep($seconds / 4);
	}
	return;
}

sub config_servers
{
	my ($world, $seconds) = @_;
	$world->ask(q{ALTER SYSTEM SET hcevents.bootstrap_servers = '127.0.0.1:1'})
	  // die "ALTER SYSTEM failed\n";
	$world->{node}->reload;
	$world->wait_until('the relay tries the wrong address',
		q{SELECT state = 'disconnected' FROM hcevents.status});
	sleep($seconds);
	$world->ask('ALTER SYSTEM RESET hcevents.bootstrap_servers') // die "ALTER SYSTEM failed\n";
	$world->{node}->reload;
	$world->wait_until('the relay leaves the wrong address',
		q{SELECT state = 'streaming' FROM hcevents.status});
	return;
}

# Dropped under load, while its WAL is kept: nothing may be lost.
sub slot_drop
{
	my ($world) = @_;
	$world->ask(<<'SQL') // die "the slot could not be dropped\n";
DO $$
DECLARE
	name text := (SELECT slot_name FROM pg_replication_slots
	               WHERE slot_name LIKE 'hcevents%');
BEGIN
	FOR i IN 1..1000 LOOP
		PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots
		  WHERE slot_name = name AND active_pid IS NOT NULL;
		BEGIN
			PERFORM pg_drop_replication_slot(name);
			RETURN;
		EXCEPTION WHEN object_in_use THEN
			PERFORM pg_sleep(0.01);
		END;
	END LOOP;
	RAISE EXCEPTION 'slot % stays in use', name;
END
$$
SQL
	return;
}

# Dropped with its WAL while there is no relay: what was written meanwhile,
# which the ledger does not list, is lost and a gap says so.
sub slot_gap
{
	my ($world, $seconds) = @_;
	my $node = $world->{node};
	my $topic = 'healthcore.unlisted.created';
	my $before = $world->{kafka}->count($topic);

	# ALTER SYSTEM would write a list of one name, which is empty
	append_to_file($node->data_dir . '/postgresql.auto.conf',
		"shared_preload_libraries = ''\nwal_keep_size = 0\n");
	$world->stop_server('fast');
	$world->start_server;
	my $rows = 1 + int $seconds;
	my $lsn = $world->ask('SELECT pg_current_wal_insert_lsn()');
	$world->ask("INSERT INTO unlisted SELECT FROM generate_series(1, $rows)");
	$world->ask(
		q{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'hcevents%'}
	);
	foreach (1 .. 3)
	{
		$world->ask('INSERT INTO pulse VALUES (1)');
		$world->ask('SELECT pg_switch_wal()');
		$node->wait_for_catchup($world->{standby});
		$world->ask('CHECKPOINT');
	}
	$world->ask("ALTER SYSTEM RESET $_") // die "ALTER SYSTEM RESET $_ failed\n"
	  foreach qw(shared_preload_libraries wal_keep_size);
	$world->stop_server('fast');
	$world->start_server;
	$world->{expected_gaps}++;
	$world->wait_until('the gap is recorded', <<"SQL");
SELECT count(*) = $world->{expected_gaps} AND
       bool_or(from_lsn <= '$lsn' AND to_lsn > '$lsn') FROM hcevents.gaps
SQL
	$world->heal;
	my $after = $world->{kafka}->count($topic);
	die "events that a gap has lost were delivered: $before, $after\n" if $after != $before;
	return;
}

sub standby_restart
{
	my ($world) = @_;
	$world->{standby}->stop('immediate');
	$world->{standby}->start;
	return;
}

# A topic goes and comes again while events are on their way to it.
sub topic_delete
{
	my ($world, $seconds, $choice) = @_;
	my @types = $world->types;
	my $topic = 'healthcore.' . $types[ int $choice * @types ];

	delete $world->{begin}{$_}
	  foreach grep { /^\Q$topic\E:/ } keys %{ $world->{begin} };
	$world->{kafka}->call('delete-topic', $topic);
	$world->start_load;
	sleep($seconds);
	# a producer's question for the topic may have made it before us
	my ($status, undef, $error) = hce_run($world->{kafka}{script},
		'create-topic', $world->{kafka}{dir}, $topic, 3);
	die "topic $topic: $error\n" if $status != 0 && $error !~ /already exists/;
	return;
}

# More partitions than before: keys move, so nothing may be under way.
sub partitions_add
{
	my ($world, $seconds, $choice) = @_;
	my @types = $world->types;
	my $topic = 'healthcore.' . $types[ int $choice * @types ];
	my $number = () = $world->{kafka}->call('end-offsets', $topic) =~ /^\Q$topic\E:/gm;

	$world->{kafka}->call('add-partitions', $topic, $number + 1);
	# who sends to the topic learns of it at its next start
	$world->ask('SELECT hcevents.restart_relay()');
	return;
}

# pg_wal's file system is full: the server falls, and comes back with room.
sub disk_full
{
	my ($world, $seconds) = @_;
	my $ballast = "$world->{wal}/../ballast";

	system "cat /dev/zero > '$ballast' 2>/dev/null";
	hce_wait_until(
		sub { !defined $world->ask('INSERT INTO pulse SELECT FROM generate_series(1, 100000)') }, 120)
	  or die "the server does not mind a full disk\n";
	sleep($seconds);
	unlink $ballast or die "$ballast: $!\n";
	hce_wait_until(
		sub {
			return 1 if defined $world->ask('SELECT 1');
			# a postmaster whose recovery failed has ended
			$world->{node}->_update_pid(-1);
			return $world->{node}{_pid} ? 0 : $world->{node}->start(fail_ok => 1);
		},
		180) or die "the server does not come back\n";
	return;
}

# The primary is lost and the standby, which confirmed all, takes over.
sub failover
{
	my ($world, $seconds) = @_;
	my $old = $world->{node};

	$world->ask(q{ALTER SYSTEM SET synchronous_standby_names = '*'}) // die "ALTER SYSTEM failed\n";
	$old->reload;
	$world->wait_until('the standby is synchronous',
		q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'});
	my $lsn = $world->ask('SELECT pg_current_wal_insert_lsn()');
	$world->wait_until('the standby has what was committed before',
		"SELECT flush_lsn >= '$lsn' FROM pg_stat_replication");
	sleep($seconds);
	$world->stop_server('immediate');
	$world->{standby}->promote;
	$world->{node} = $world->{standby};
	$world->wait_until('the promoted server writes',
		'SELECT NOT pg_is_in_recovery()');
	my $port = $old->port;
	$old->clean_node;
	$world->make_standby($port);
	return;
}

1;
