# What the fault suite breaks: a cluster with a standby, a real Kafka behind
# a proxy of ours, the mixed load; and how it is asked whether all is well.
#
# Nothing here decides what is broken when: that is Faults.pm and run.
package FaultWorld;

use strict;
use warnings;

use File::Path qw(make_path);
use HceProxy;
use HceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX qw(setpgid :signal_h :sys_wait_h);
use Time::HiRes qw(sleep time);

my @types = qw(patient.created patient.updated patient.deleted
  appointment.booked appointment.cancelled appointment.completed);

# Make everything and begin the load.  Options: keep (folder of the evidence),
# rate (transactions a second), wal (a folder on a file system that may be
# filled, for pg_wal), say (how to tell what happens).
sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		%options,
		expected_gaps => 0,
		verified => { map { $_ => 0 } qw(events missing phantom duplicate out_of_order malformed) },
		allowed_duplicates => 0,
		ledger_before => 0,
		begin => {},
		nodes => 0
	}, $class;

	make_path($self->{keep});
	$self->start_kafka;
	$self->start_cluster;
	$self->make_standby;
	$self->start_load;
	return $self;
}

sub say { $_[0]->{say}->($_[1]); return; }

sub types { return @types; }

sub start_kafka
{
	my ($self) = @_;
	$self->{proxy} = HceProxy->new;
	$self->{kafka} = $self->{proxy}{kafka};
	$self->{kafka}->create_topics(3, map { "healthcore.$_" } @types);
	return;
}

# Tell the proxy what kind of network it is, see test/fault/proxy.
sub network { return $_[0]{proxy}->network($_[1]); }

sub start_cluster
{
	my ($self) = @_;
	my $wal = $self->{wal};
	my @init = defined $wal ? (extra => [ '--encoding=UTF8', '--locale=C', "--waldir=$wal" ]) : ();
	my $node = hce_node(
		'primary',
		kafka => $self->{kafka},
		init => \@init,
		conf => $self->{proxy}->conf . <<'CONF');
restart_after_crash = on
log_statement = none
max_connections = 60
shared_buffers = 64MB
max_worker_processes = 16
max_wal_size = 256MB
wal_keep_size = 256MB
checkpoint_timeout = 30s
CONF
	$self->{node} = $node;
	hce_patients($node);
	$node->safe_psql('postgres', <<'SQL');
-- events that the ledger does not list, and rows that are no events
CREATE TABLE unlisted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
SELECT hcevents.attach('unlisted', 'unlisted');
CREATE TABLE pulse (n int);
-- a session of the load that has written in its transaction
CREATE FUNCTION busy_session() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	found_pid int;
BEGIN
	FOR i IN 1..5000 LOOP
		SELECT l.pid INTO found_pid
		  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		 WHERE l.locktype = 'transactionid' AND l.granted
		   AND l.mode = 'ExclusiveLock' AND a.application_name = 'pgbench'
		 LIMIT 1;
		EXIT WHEN FOUND;
		PERFORM pg_stat_clear_snapshot(), pg_sleep(0.001);
	END LOOP;
	RETURN found_pid;
END
$$;
SQL
	return;
}

# A standby of the node, on the port of one that is no more or a new one.
sub make_standby
{
	my ($self, $port) = @_;
	my $name = 'standby' . ++$self->{nodes};

	$self->{node}->backup($name);
	my $standby = PostgreSQL::Test::Cluster->new($name, defined $port ? (port => $port) : ());
	$standby->init_from_backup($self->{node}, $name, has_streaming => 1);
	$standby->start;
	$self->{standby} = $standby;
	return;
}

# Of whichever of the two servers takes writes.
sub conninfo
{
	my ($self) = @_;
	my @both = ($self->{node}, $self->{standby});
	return join ' ', 'dbname=postgres', 'target_session_attrs=read-write',
	  'host=' . join(',', map { $_->host } @both),
	  'port=' . join(',', map { $_->port } @both);
}

sub start_load
{
	my ($self) = @_;
	my @command = (
		hce_top() . '/test/load/run', '--events', 1_000_000_000, '--tolerant',
		'--clients', 6, '--chunk', 5, '--rate', $self->{rate}, '--conninfo',
		$self->conninfo);
	# stop_load() may come before the exec: its signal is to end the child, not
	# to run the handlers of ours that the child has until then
	my $signals = POSIX::SigSet->new(SIGTERM, SIGINT);
	sigprocmask(SIG_BLOCK, $signals) or die "sigprocmask: $!\n";
	my $pid = fork() // die "fork: $!\n";

	if ($pid == 0)
	{
		setpgid(0, 0);
		local @SIG{qw(TERM INT)} = ('DEFAULT', 'DEFAULT');
		sigprocmask(SIG_UNBLOCK, $signals);
		# else that is what the load's sessions are called
		delete $ENV{PGAPPNAME};
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$self->{keep}/load.log";
		open STDERR, '>&', \*STDOUT;
		exec @command or POSIX::_exit(127);
	}
	setpgid($pid, $pid);
	sigprocmask(SIG_UNBLOCK, $signals);
	$self->{load} = $pid;
	return;
}

# Is the load still at work?  It never ends by itself.
sub check_load
{
	my ($self) = @_;
	die "the load has ended, see $self->{keep}/load.log\n"
	  if waitpid($self->{load}, WNOHANG) != 0;
	return;
}

# End the load, with no transaction left open or prepared.
sub stop_load
{
	my ($self) = @_;
	my $pid = delete $self->{load};

	if (defined $pid)
	{
		kill 'TERM', -$pid;
		waitpid $pid, 0;
	}
	$self->wait_until('the sessions of the load end', <<'SQL', 60);
SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name IN ('pgbench', 'psql')
   AND backend_type = 'client backend' AND pid <> pg_backend_pid()
SQL
	my $finish = $self->ask(<<'SQL');
SELECT CASE WHEN hashtext(gid) % 2 = 0 THEN 'COMMIT' ELSE 'ROLLBACK' END ||
	' PREPARED ' || quote_literal(gid)
  FROM pg_prepared_xacts WHERE gid LIKE 'hce-%'
SQL
	$self->ask($_) // die "$_ failed\n" foreach split /\n/, $finish // '';
	return;
}

# The answer to a query; undef when the server cannot be asked now.
sub ask
{
	my ($self, $sql) = @_;
	my $timed_out = 0;
	my ($status, $answer) = $self->{node}->psql('postgres', $sql,
		timeout => 180, timed_out => \$timed_out);

	return $status == 0 && !$timed_out ? $answer : undef;
}

# Wait until a query says "t".
sub wait_until
{
	my ($self, $what, $sql, $timeout) = @_;

	hce_wait_until(
		sub { my $answer = $self->ask($sql); defined $answer && $answer =~ /^t$/m; },
		$timeout // 120)
	  or die "waited in vain: $what\n";
	return;
}

sub relay_pid
{
	my ($self) = @_;
	my $pid;
	hce_wait_until(
		sub { $pid = $self->ask(q{SELECT relay_pid FROM hcevents.status WHERE datname = 'postgres'}) },
		60) or die "there is no relay\n";
	return $pid;
}

# The server is up, its relay is connected, and what was committed before is
# settled: the fault is over.
sub heal
{
	my ($self) = @_;
	$self->wait_until('the relay streams again',
		q{SELECT state = 'streaming' FROM hcevents.status WHERE datname = 'postgres'}, 180);
	$self->wait_until('what was committed is settled',
		q{SELECT hcevents.flush('20 s')}, 300);
	$self->check_load if $self->{load};
	return;
}

sub stop_server
{
	my ($self, $mode) = @_;
	# it may be coming up from a crash just now
	$self->{node}->_update_pid(-1);
	return $self->{node}->stop($mode);
}

sub start_server { return $_[0]->{node}->start; }

# Without load and with all delivered: run the verifier over what came since
# the last epoch, and hold the counters against the ledger.
sub verify
{
	my ($self) = @_;
	$self->stop_load;
	$self->heal;

	my $begin = "$self->{keep}/begin";
	open my $file, '>', $begin or die "$begin: $!\n";
	print $file "$_:$self->{begin}{$_}\n" foreach sort keys %{ $self->{begin} };
	close $file;
	my ($status, $line, $errors) = hce_run(
		'/usr/bin/python3', hce_top() . '/test/verify/verify', '--psql',
		$self->{node}->installed_command('psql'), '--conninfo',
		$self->{node}->connstr('postgres'), '--bootstrap-servers',
		$self->{kafka}->bootstrap, '--begin', $begin, '--wait', 10,
		'--allow-duplicates', '--max-duplicates', $self->{allowed_duplicates});
	my %counts = $line =~ /(\w+)=(\d+)/g;
	append_to_file("$self->{keep}/verifier.log", $errors);
	$self->{epoch_counts} = \%counts;
	chomp $line;
	$self->say("verified: $line");
	die "the verifier found faults: $line\n$errors" if $status != 0;
	$self->verify_counters;
	return;
}

# captured = delivered = what the ledger holds; gaps are those we made.
sub verify_counters
{
	my ($self) = @_;
	my $ledger = $self->{ledger_before} + $self->ask('SELECT count(*) FROM ledger');
	my $counters = $self->ask(<<'SQL');
SELECT coalesce(sum(captured), 0), coalesce(sum(delivered), 0), coalesce(sum(pending + parked + dead), 0)
  FROM hcevents.delivery_stats WHERE event_type NOT LIKE 'unlisted.%'
SQL
	my $gaps = $self->ask('SELECT count(*) FROM hcevents.gaps');

	die "captured, delivered, others are $counters, the ledger has $ledger\n"
	  if $counters ne "$ledger|$ledger|0";
	die "$gaps gaps instead of $self->{expected_gaps}\n"
	  if $gaps != $self->{expected_gaps};
	$self->{ledger} = $ledger;
	foreach my $node ($self->{node}, $self->{standby})
	{
		check_log(slurp_file($node->logfile));
	}
	return;
}

# No process fell by itself, but for those that had no room for their WAL.
sub check_log
{
	my ($log) = @_;
	my %no_room = map { $_ => 1 } $log =~ /\[(\d+)\].*PANIC:.*No space left/g;

	foreach my $line (split /\n/, $log)
	{
		next if $line !~ /was terminated by signal (?!9:)|TRAP:|exited with exit code (?![0123]\b)/;
		my ($pid) = $line =~ /\(PID (\d+)\)/;
		die "a process crashed: $line\n" if !defined $pid || !$no_room{$pid};
	}
	return;
}

# The counts of the whole run: those of epochs that are over, and the last.
sub totals
{
	my ($self) = @_;
	my %totals = %{ $self->{verified} };
	$totals{$_} += $self->{epoch_counts}{$_} // 0 foreach keys %totals;
	$totals{lag} =
	  $self->ask('SELECT sum(pending) FROM hcevents.delivery_stats') // 'unknown';
	return \%totals;
}

# Verify, then forget what was verified, so that a topic may be deleted or get
# more partitions.  The position is on disk, beyond all of it: whatever happens
# from here on, nothing of it may come again.
sub begin_epoch
{
	my ($self) = @_;

	$self->verify;
	my $lsn = $self->ask('SELECT pg_current_wal_insert_lsn()');
	$self->ask('INSERT INTO unlisted DEFAULT VALUES') // die "the server is down\n";
	$self->wait_until('the position is beyond everything',
		"SELECT commit_lsn >= '$lsn' FROM hcevents.position");
	# it was committed asynchronously; this is not, and follows it
	$self->ask('INSERT INTO pulse VALUES (1)');

	$self->{begin} = {};
	my @topics = map { "healthcore.$_" } @types;
	foreach my $line (split /\n/, $self->{kafka}->call('end-offsets', @topics))
	{
		my ($partition, $offset) = $line =~ /^(.*):(\d+)$/;
		$self->{begin}{$partition} = $offset;
	}
	$self->{ledger_before} = $self->{ledger};
	$self->ask('TRUNCATE ledger');
	$self->{verified}{$_} += $self->{epoch_counts}{$_}
	  foreach keys %{ $self->{verified} };
	$self->{epoch_counts} = {};
	$self->{allowed_duplicates} = 0;
	return;
}

# What a failure leaves behind for who looks into it.
sub keep_evidence
{
	my ($self) = @_;
	my $keep = $self->{keep};
	my $node = $self->{node} or return;

	foreach my $server ($node, $self->{standby} // ())
	{
		system 'cp', $server->logfile, "$keep/" . $server->name . '.log';
	}
	system 'cp', "$self->{kafka}{dir}/log", "$keep/kafka.log" if $self->{kafka};
	my %queries = (
		ledger => 'SELECT * FROM ledger ORDER BY seq',
		status => 'SELECT * FROM hcevents.status',
		stats => 'SELECT * FROM hcevents.delivery_stats',
		position => 'SELECT * FROM hcevents.position',
		gaps => 'SELECT * FROM hcevents.gaps',
		slots => 'SELECT * FROM pg_replication_slots');
	foreach my $name (sort keys %queries)
	{
		my $rows = $self->ask("COPY ($queries{$name}) TO STDOUT") // 'the server cannot be asked';
		append_to_file("$keep/$name", "$rows\n");
	}
	foreach my $type (@types)
	{
		my ($status, $dump, $error) = hce_run(
			"$self->{kafka}{script}", 'dump', $self->{kafka}{dir}, "healthcore.$type");
		append_to_file("$keep/topic.$type", $dump . $error);
	}
	return;
}

# Stop what this made; the servers are stopped by their own modules.
sub end
{
	my ($self) = @_;
	my $load = delete $self->{load};
	if (defined $load)
	{
		kill 'KILL', -$load;
		waitpid $load, 0;
	}
	foreach my $pid (grep { defined } delete $self->{stopped})
	{
		kill 'CONT', $pid;
	}
	delete $self->{proxy};
	return;
}

1;
