# hcevents-consume prints what hcevents published: each event once for a
# group, in order, and stops cleanly.

use strict;
use warnings;

use File::Spec;
use PostgreSQL::Test::Utils;
use Test::More;

use HceTest;

my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka);
my $consume = hce_program('hcevents-consume');
my $bootstrap = $kafka->bootstrap;
my $dir = PostgreSQL::Test::Utils::tempdir;

hce_patients($node);

sub slurp
{
	my ($path) = @_;
	return -e $path ? slurp_file($path) : '';
}

# Start a consumer in the background; its lines go to a file.
sub start_consumer
{
	my ($name, @arguments) = @_;
	my $handle = IPC::Run::start(
		[ $consume, '--bootstrap-servers', $bootstrap, @arguments ],
		'<', File::Spec->devnull, '>', "$dir/$name", '2>', "$dir/$name.err");
	return $handle;
}

sub stop_consumer
{
	my ($handle) = @_;
	$handle->signal('TERM');
	$handle->finish;
	return $handle->full_result(0);
}

sub lines_of
{
	my ($name) = @_;
	return split /\n/, slurp("$dir/$name");
}

sub insert_patients
{
	my ($count) = @_;
	$node->safe_psql('postgres',
		"INSERT INTO patients (name) SELECT any_name() FROM generate_series(1, $count)"
	);
	return hce_flush($node);
}

# Topics that do not exist yet are waited for, and read from their beginning.
my $early = start_consumer('early', 'patient.created');
my $early_group =
  start_consumer('early_group', '--group', 'early', 'healthcore.patient.created');
ok(!hce_wait_until(sub { slurp("$dir/early.err") }, 1),
	'an absent topic is no error');
insert_patients(10);
ok( hce_wait_until(sub { lines_of('early') == 10 }),
	'events of a young topic arrive');
ok( hce_wait_until(sub { lines_of('early_group') == 10 }),
	'the same in a group');
is(stop_consumer($early), 0, 'status 0 after SIGTERM');
is(stop_consumer($early_group), 0, 'status 0 after SIGTERM, in a group');

# Everything, with the default topics.
$node->safe_psql('postgres', <<'SQL');
UPDATE patients SET name = E'new\nline' WHERE id <= 2;
INSERT INTO appointments (patient_id) VALUES (1), (1), (2);
UPDATE appointments SET status = 'cancelled' WHERE id = 1;
UPDATE appointments SET status = 'completed' WHERE id = 2;
DELETE FROM patients WHERE id = 10;
SQL
hce_flush($node);
# A broker shows the end of a young partition a moment late.
ok(hce_wait_until(sub { $kafka->count >= 18 }), 'Kafka shows all events');
is(scalar($kafka->events), 18, 'without arguments: all six topics');
my ($updated) = grep { $_->{data}{patient_id} == 1 } $kafka->events('patient.updated');
is($updated->{data}{name}, "new\nline", 'a newline in a value survives');

# Only what is new.
my $new = start_consumer('new', 'patient.created');
$node->safe_psql('postgres', 'SELECT 1');
ok( hce_wait_until(
		sub {
			insert_patients(1);
			return lines_of('new') >= 1;
		}),
	'without --from-beginning new events arrive');
cmp_ok(scalar(lines_of('new')), '<', 10, 'and no old ones');
stop_consumer($new);

# A group goes on where it was, and no event is lost or repeated between.
insert_patients(2000);
my $total = $kafka->count('healthcore.patient.created');
my ($status, $first) = hce_run(
	$consume, '-b', $bootstrap, '-g', 'workers', '-B', '-n', 700, '-t', 60,
	'patient.created');
is($status, 0, '--count ends with status 0');
is(($first =~ tr/\n//), 700, '--count prints so many');
($status, my $rest) = hce_run(
	$consume, '-b', $bootstrap, '-g', 'workers', '-B', '-e', '-t', 60,
	'patient.created');
is($status, 0, '--until-end ends with status 0');
my %seen;
$seen{$_}++ foreach split /\n/, $first . $rest;
is(scalar(keys %seen), $total, 'every event was printed');
is(scalar(grep { $_ > 1 } values %seen), 0, 'none twice');

($status, $rest) = hce_run(
	$consume, '-b', $bootstrap, '-g', 'workers', '-B', '-e', '-t', 60,
	'patient.created');
is($rest, '', 'nothing is left for the group');

# Two members share the partitions; one leaves, the other takes over.
my @members = map { start_consumer("member$_", '-g', 'pair', '-B', 'patient.created') } 1, 2;
ok( hce_wait_until(sub { lines_of('member1') + lines_of('member2') >= $total }),
	'two members read everything');
is(stop_consumer($members[0]), 0, 'a member leaves');
insert_patients(100);
ok( hce_wait_until(sub {
			my %ids = map { $_ => 1 } lines_of('member1'), lines_of('member2');
			return keys %ids == $total + 100;
		}),
	'the other takes over all partitions');
is(stop_consumer($members[1]), 0, 'the other member leaves');

# A reader that goes away is no error.
($status) = hce_run('bash', '-c',
	"'$consume' -b $bootstrap -B patient.created | head -n 1 >'$dir/head'; exit \${PIPESTATUS[0]}");
is($status, 0, 'status 0 when the reader has gone');
like(slurp("$dir/head"), qr/^\{.*\}\n$/, 'which got its line');

# The broker goes away and comes back.
my $steady = start_consumer('steady', '-g', 'steady', '-B', 'patient.created');
ok(hce_wait_until(sub { lines_of('steady') == $total + 100 }), 'caught up');
$kafka->restart;
insert_patients(10);
ok( hce_wait_until(sub {
			my %ids = map { $_ => 1 } lines_of('steady');
			return keys %ids == $total + 110;
		}),
	'goes on after a restart of the broker');
is(stop_consumer($steady), 0, 'stopped');

# The environment and the arguments.
{
	local $ENV{KAFKA_BOOTSTRAP_SERVERS} = $bootstrap;
	local $ENV{KAFKA_TOPIC_PREFIX} = 'elsewhere';
	($status, my $output) = hce_run($consume, '-B', '-e', '-t', 60, 'patient.created');
	is("$status:$output", '0:', 'KAFKA_TOPIC_PREFIX is obeyed');
	($status, $output) = hce_run($consume, '-p', 'healthcore', '-B', '-n', 1,
		'-t', 60, 'patient.created');
	like($output, qr/patient\.created/,
		'KAFKA_BOOTSTRAP_SERVERS is obeyed, and an option wins over the environment');
}
($status) = hce_run($consume, '-b', '127.0.0.1:1', '-e', '-t', 1);
is($status, 3, 'status 3 after --timeout');
foreach my $wrong ([ '--no-such-option' ], [ '-n', 'x' ], [''],
	[ '-X', 'nonsense' ], [ '-X', 'no.such.property=1' ])
{
	($status, undef, my $stderr) = hce_run($consume, @$wrong);
	is($status, 2, "status 2 for @$wrong");
	isnt($stderr, '', "and words for @$wrong");
}
($status, my $help) = hce_run($consume, '--help');
is($status, 0, '--help succeeds');
like($help, qr/Exit status/, '--help documents the exit status');

done_testing();
