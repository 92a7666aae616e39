# pg_upgrade, really run: when all was settled at the old server's clean
# shutdown, hcevents.resume() on the new one goes on without a gap; otherwise
# with one, and never with an event missing that no gap tells of.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $topic = 'healthcore.thing';
my $kafka = HceTest::Kafka->start(partitions => 1);
my $conf = <<'CONF';
wal_level = logical
hcevents.topic = '%p.%r'
CONF
my $node = hce_node('first', kafka => $kafka, conf => $conf);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
SQL

sub ask { return scalar $node->safe_psql('postgres', $_[0]); }

sub insert
{
	ask("INSERT INTO things (name) VALUES ('$_')") foreach @_;
	return;
}

# The names of all things in Kafka, in order.
sub names
{
	return
	  map { decode_json($_->{value})->{data}{name} } $kafka->messages($topic);
}

sub gaps { return ask('SELECT count(*) FROM hcevents.gaps'); }
sub complete { return ask('SELECT complete FROM hcevents.position'); }
sub epoch { return ask('SELECT epoch FROM hcevents.position'); }

# Stop in order, in less than five seconds.
sub stop
{
	my ($what) = @_;
	my $start = time();

	$node->stop('fast');
	my $took = time() - $start;
	return cmp_ok($took, '<', 5, sprintf '%s: stopped in %.2f s', $what, $took);
}

# Make a cluster of a stopped one by pg_upgrade, and start it.
sub upgrade
{
	my ($name) = @_;
	my $old = $node;
	my $bin = $old->config_data('--bindir');
	my $sockets = PostgreSQL::Test::Utils::tempdir_short();

	$node = hce_new_node($name, kafka => $kafka, conf => $conf);
	my $here = Cwd::getcwd();
	chdir $node->basedir or die;
	my ($status, $stdout, $stderr) = hce_run(
		"$bin/pg_upgrade", '-b', $bin, '-B', $bin,
		'-d', $old->data_dir, '-D', $node->data_dir, '-s', $sockets,
		'-p', $old->port, '-P', $node->port);
	chdir $here or die;
	is($status, 0, "pg_upgrade makes \"$name\"") or BAIL_OUT("$stdout$stderr");
	$node->start;
	ok( $node->poll_query_until('postgres',
			q{SELECT state = 'paused' AND waiting_for = 'copied database' FROM hcevents.status}),
		"\"$name\" is paused as a copy");
	return;
}

sub resume
{
	ask('SELECT hcevents.resume()');
	return hce_wait_for_relay($node);
}

# All was delivered

insert('one', 'two');
hce_flush($node);
my $epoch = epoch();
my $attachments = ask('SELECT definition FROM hcevents.attachments');
is(complete(), 'f', 'a running relay leaves no complete position');
stop('all delivered');
upgrade('second');
is(complete(), 't', 'the position is complete');
like(slurp_file($node->logfile), qr/DETAIL:  Its original had delivered all/,
	'and the log says so');
insert('before resume()');
is($kafka->count($topic), 2, 'nothing is published before resume()');
resume();
insert('after');
ask(q{UPDATE things SET name = 'changed' WHERE name = 'one'});
hce_flush($node);
my @expected = ('one', 'two', 'before resume()', 'after', 'changed');
is_deeply([ names() ], \@expected, 'each event arrives once');
is(gaps(), 0, 'without a gap');
cmp_ok(epoch(), '>', $epoch, 'the epoch has grown');
is(ask('SELECT definition FROM hcevents.attachments'), $attachments,
	'attachments are there');
is( ask('SELECT sum(captured), sum(delivered), sum(pending) FROM hcevents.delivery_stats'),
	'5|5|0', 'the counters go on');
is(ask('SELECT timeline FROM hcevents.position'), 1, 'on timeline 1');
is( ask('SELECT count(*) FROM pg_replication_slots WHERE active'), 1, 'with a slot');
$node->restart;
hce_wait_for_relay($node);
is(gaps(), 0, 'nor is there one after a restart');

# pg_terminate_backend() of the relay alone

insert('terminated');
hce_flush($node);
my $pid = hce_relay_pid($node);
ask("SELECT pg_terminate_backend($pid)");
ok(hce_wait_until(sub { !kill(0, $pid) }, 10), 'the relay has ended');
is(complete(), 'f', 'its position is not complete');
hce_wait_for_relay($node);
push @expected, 'terminated';

# A crash, recovery and a clean shutdown

insert('crashed');
$node->stop('immediate');
$node->start;
hce_wait_for_relay($node);
hce_flush($node);
stop('recovered');
upgrade('third');
is(complete(), 't', 'the position is complete after crash, recovery and shutdown');
resume();
insert('recovered');
hce_flush($node);
push @expected, 'crashed', 'recovered';
my %seen;
is_deeply([ grep { !$seen{$_}++ } names() ], \@expected,
	'all arrive after a crash and recovery');
is(gaps(), 0, 'without a gap');

# Parked events and dead letters

# Another setting for topics, obeyed by a new relay.
sub set_topic
{
	my ($topics) = @_;
	my $former = hce_relay_pid($node);

	ask("ALTER DATABASE postgres SET hcevents.topic = '$topics'");
	ok(hce_wait_until(sub { !kill(0, $former) }, 20), "hcevents.topic = '$topics'");
	return hce_wait_for_relay($node);
}

ask(q{CREATE SCHEMA "odd name"});
ask(q{CREATE TABLE "odd name".odds (id int PRIMARY KEY)});
ask(q{SELECT hcevents.attach('"odd name".odds', 'odd')});
ask(q{SELECT hcevents.pause('thing.created')});
insert('parked', 'parked too');
ok( $node->poll_query_until('postgres', 'SELECT count(*) = 2 FROM hcevents.parked_events'),
	'two events are parked');
set_topic('%p.%s.%r');
ask('INSERT INTO "odd name".odds VALUES (1)');
ok( $node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM hcevents.dead_letters'),
	'one is a dead letter');
set_topic('%p.%r');
stop('parked');
my $delivered = names();
upgrade('fourth');
is(complete(), 't', 'parked events and dead letters are no gap');
is( ask('SELECT (SELECT count(*) FROM hcevents.parked_events), (SELECT count(*) FROM hcevents.dead_letters)'),
	'2|1', 'they are in the new cluster');
is(0 + names(), $delivered, 'none is delivered yet');
resume();
ask(q{SELECT hcevents.retry_dead_letters(event_type => 'odd.created')});
insert('unparked');
hce_flush($node);
is_deeply([ (names())[ -3 .. -1 ] ], [ 'parked', 'parked too', 'unparked' ],
	'parked events arrive after resume()');
is($kafka->count('healthcore.odd'), 1, 'and the dead letter when it is retried');
is(gaps(), 0, 'without a gap');
is( ask('SELECT bool_and(captured = delivered) FROM hcevents.delivery_stats'),
	't', 'the counters know');

# A prepared transaction, which pg_upgrade refuses, but a copy may have

# What a server says that starts no relay, since it lacks the library.
sub without_library
{
	my (@sql) = @_;
	my @said;

	$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
	$node->start;
	@said = map { ask($_) } @sql;
	$node->stop;
	$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'hcevents'});
	return @said;
}

my $is_complete = 'SELECT complete FROM hcevents.position';
ask(q{BEGIN; INSERT INTO things (name) VALUES ('prepared'); PREPARE TRANSACTION 'p'});
stop('prepared');
is_deeply([ without_library($is_complete) ], ['f'],
	'a prepared transaction is not settled');
$node->start;
ask(q{COMMIT PREPARED 'p'});
hce_flush($node);

# A subscriber, whose walsender stays longer than the relay

ask(q{SELECT pg_create_logical_replication_slot('subscriber', 'test_decoding')});
my $subscriber = IPC::Run::start(
	[ 'pg_recvlogical', '-d', $node->connstr('postgres'), '-S', 'subscriber',
		'--start', '-n', '-f', '/dev/null' ],
	'<', \undef, '>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
ok( $node->poll_query_until('postgres',
		q{SELECT active FROM pg_replication_slots WHERE slot_name = 'subscriber'}),
	'a subscriber');
insert('subscribed');
hce_flush($node);
stop('a subscriber');
$subscriber->finish;
is_deeply([ without_library($is_complete, q{SELECT pg_drop_replication_slot('subscriber')}) ],
	[ 'f', '' ], 'what its walsender may have captured is not known');

# A session that stays longer than the relay and holds a lock on its table

$node->start;
my $lock = $node->background_psql('postgres', replication => 'database');
$lock->query_safe('BEGIN; LOCK TABLE hcevents.position IN SHARE MODE;');
ok(hce_wait_until(sub { ask('SELECT count(*) FROM pg_stat_activity WHERE backend_type = $$walsender$$') eq '1' }, 30),
	'a walsender holds a lock');
stop('a lock');
eval { $lock->quit };
is_deeply([ without_library($is_complete) ], ['f'], 'and nothing is claimed');

# Clients that write at full speed while the server stops

$node->start;
ask(q{CREATE TABLE loads (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)});
ask(q{SELECT hcevents.attach('loads', 'load')});
my $loop = $node->basedir . '/loop.sql';
append_to_file($loop, <<'SQL');
INSERT INTO loads (name) VALUES ('load');
BEGIN;
INSERT INTO loads (name) VALUES ('load'), ('load');
END;
SQL

# Start it, stop the server in between, and return what is committed.
sub write_and_stop
{
	my ($round) = @_;
	my $rows = ask('SELECT count(*) FROM loads');
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 4, '-T', 60, '-f', $loop, $node->connstr('postgres') ],
		'<', \undef, '>', \my $stdout, '2>', \my $stderr, IPC::Run::timeout(120));
	ok( $node->poll_query_until('postgres', "SELECT count(*) > $rows + 500 FROM loads"),
		"round $round: clients write");
	stop("round $round");
	$load->finish;
	return;
}

# The loads whose creation is not in Kafka, of a list of ids.
sub missing
{
	my (@ids) = @_;
	my %there = map { decode_json($_->{value})->{data}{load_id} => 1 }
	  $kafka->messages('healthcore.load');
	return grep { !$there{$_} } @ids;
}

my $rounds = $ENV{HCE_UPGRADE_ROUNDS} // 5;
my $completed = 0;
foreach my $round (1 .. $rounds)
{
	$node->start if $round > 1;
	write_and_stop($round);
	my ($complete, $ids) = without_library($is_complete,
		q{SELECT string_agg(id::text, ' ') FROM loads});
	my @missing = missing(split / /, $ids);
	$completed++ if $complete eq 't';
	note("round $round: complete $complete, missing " . @missing);
	ok($complete eq 'f' || @missing == 0,
		"round $round: nothing is missing when the position says so");
}
cmp_ok($completed, '>', 0, "it says so in $completed of $rounds rounds");

# A session that commits although, and after, it was told to end

# Returns whether the position is complete, and what is missing then.
sub commit_late
{
	my ($milliseconds) = @_;
	$node->start;
	hce_wait_for_relay($node);
	ask(qq{CREATE EXTENSION hcevents_test;
		CREATE CONSTRAINT TRIGGER late AFTER INSERT ON loads
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
			EXECUTE FUNCTION hce_test_sleep('$milliseconds')});
	my $late = IPC::Run::start(
		[ 'psql', '-X', '-d', $node->connstr('postgres'), '-c',
			q{INSERT INTO loads (name) VALUES ('late')} ],
		'<', \undef, '>', \my $stdout, '2>', \my $stderr, IPC::Run::timeout(120));
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND state = 'active'}),
		'a session commits');
	stop("a commit that takes $milliseconds ms");
	eval { $late->finish };
	my ($complete, undef, $ids) = without_library($is_complete,
		'DROP TRIGGER late ON loads; DROP EXTENSION hcevents_test',
		q{SELECT string_agg(id::text, ' ') FROM loads WHERE name = 'late'});
	return ($complete, missing(split / /, $ids));
}

is_deeply([ commit_late(600) ], ['t'], 'a late commit is waited for');
my ($late_complete, @late) = commit_late(2500);
is("$late_complete " . @late, 'f 1', 'but not for ever, and the position says so');
$node->start;
hce_flush($node);
write_and_stop('pg_upgrade');
upgrade('fifth');
my $was_complete = complete();
resume();
insert('after the load');
hce_flush($node);
is(gaps(), $was_complete eq 't' ? 0 : 1, "a gap unless the position was complete ($was_complete)");
is(scalar missing(split / /, ask(q{SELECT string_agg(id::text, ' ') FROM loads})),
	0, 'all that was committed is in Kafka') if $was_complete eq 't';

# Kafka is away, and events are not settled

my $before = gaps();
$kafka->stop;
insert('lost', 'lost too');
ok( $node->poll_query_until('postgres', 'SELECT sum(pending) = 2 FROM hcevents.delivery_stats'),
	'two events wait');
hce_wait_for_relay($node, 'disconnected');
stop('Kafka is away');
$kafka->start_again;
upgrade('sixth');
is(complete(), 'f', 'the position is not complete');
my $log = slurp_file($node->logfile);
like($log, qr/DETAIL:  Its original may not have delivered all/, 'and the log says so');
resume();
insert('behind the gap');
hce_flush($node);
is(gaps(), $before + 1, 'one gap');
is( ask('SELECT cause FROM hcevents.gaps ORDER BY id DESC LIMIT 1'),
	'the cluster was upgraded or copied before everything was delivered',
	'with its cause');
like(
	slurp_file($node->logfile),
	qr/WARNING:  journal of database "postgres" between .* is lost: the cluster was upgraded.*\n.*HINT:  If the old server can still be started/,
	'and what to do');
is((names())[-1], 'behind the gap', 'new events arrive');
ok(!grep({ /^lost/ } names()), 'those of the gap do not');

# The WAL of the new cluster is gone before resume() is called

stop('complete again');
upgrade('seventh');
insert('too late');
ask('SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT');
resume();
insert('in time');
hce_flush($node);
is((names())[-1], 'in time', 'new events arrive');
ok(gaps() == $before + 2 || grep({ $_ eq 'too late' } names()),
	'what was captured before arrived, or is in a gap');

# All was delivered when a relay last stopped, but not what was captured since,
# while the database was excluded

$before = gaps();
stop('complete once more');
$node->append_conf('postgresql.conf', "hcevents.excluded_databases = 'postgres'");
$node->start;
ok( $node->poll_query_until('postgres', <<'SQL'), 'the label of an excluded database says so');
SELECT (SELECT state = 'excluded' FROM hcevents.status)
  AND EXISTS (SELECT FROM pg_shseclabel WHERE provider = 'hcevents' AND label = 'excluded')
SQL
is(complete(), 't', 'while the position is that of the last relay');
insert('excluded');
stop('excluded');
upgrade('eighth');
resume();
insert('excluded no more');
hce_flush($node);
is((names())[-1], 'excluded no more', 'new events arrive');
is(gaps(), $before + 1, 'what was captured without a relay is a gap');
is(ask(q{SELECT label FROM pg_shseclabel WHERE provider = 'hcevents'}), 'on',
	'the label says that it delivers');
$node->stop;
done_testing();
