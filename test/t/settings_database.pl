# Settings of each database: ALTER DATABASE ... SET and RESET, ALTER SYSTEM,
# the environment; they take effect within seconds and lose nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use Test::More;

my $kafka = HceTest::Kafka->start;
my $node;
{
	local $ENV{KAFKA_TOPIC_PREFIX} = 'fromenv';
	$node = hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
}
my $bootstrap = $kafka->bootstrap;

is( $node->safe_psql('postgres',
		q{SELECT setting, source FROM pg_settings WHERE name = 'hcevents.topic_prefix'}
	),
	'fromenv|environment variable',
	'KAFKA_TOPIC_PREFIX gives the boot value');

foreach my $database (qw(alpha beta gamma))
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, <<'SQL');
CREATE EXTENSION hcevents;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
SQL
}
$node->safe_psql('postgres', <<'SQL');
ALTER DATABASE alpha SET hcevents.topic_prefix = 'alpha';
ALTER DATABASE beta SET hcevents.topic_prefix = 'beta';
ALTER DATABASE beta SET hcevents.topic = '%p.%s.%r';
SQL

sub insert
{
	my ($database, $name) = @_;
	return $node->safe_psql($database,
		"INSERT INTO things (name) VALUES ('$name')");
}

# [database of the header, name] of a topic's messages, sorted.
sub content
{
	my ($topic) = @_;
	return [
		sort map {
			"$_->{headers}{db} " . decode_json($_->{value})->{data}{name}
		} $kafka->messages($topic)
	];
}

sub state_is
{
	my ($database, $state) = @_;
	return ok(
		$node->poll_query_until(
			'postgres',
			"SELECT state = '$state' FROM hcevents.status WHERE datname = '$database'"
		),
		"$database is $state");
}

# Until the relay of a database runs that was started after "since".
sub restarted_since
{
	my ($since, $database) = @_;
	return ok(
		hce_wait_until(
			sub {
				$node->safe_psql('postgres',
					"SELECT start_time > '$since' AND state = 'streaming' FROM hcevents.status WHERE datname = '$database'"
				) eq 't';
			},
			10),
		"$database has a relay with the new settings");
}

sub now { return $node->safe_psql('postgres', 'SELECT clock_timestamp()'); }

state_is($_, 'streaming') foreach qw(alpha beta gamma postgres);
insert($_, 'first') foreach qw(alpha beta gamma);
hce_flush($node, $_) foreach qw(alpha beta gamma);
is_deeply(content('alpha.thing.created'), ['alpha first'], 'topic of alpha');
is_deeply(content('beta.public.thing'), ['beta first'], 'topic of beta');
is_deeply(content('fromenv.thing.created'), ['gamma first'], 'topic of gamma');
is( $node->safe_psql('postgres',
		'SELECT count(DISTINCT relay_pid) FROM hcevents.status'),
	'4',
	'each database has a relay of its own, all seen from any database');
is(hce_stats($node, 'captured', 'alpha'), 1, 'counters are of the database');

# A change while the relay runs

my $since = now();
$node->safe_psql('postgres',
	q{ALTER DATABASE alpha SET hcevents.topic_prefix = 'omega'});
restarted_since($since, 'alpha');
insert('alpha', 'second');
hce_flush($node, 'alpha');
is_deeply(content('omega.thing.created'), ['alpha second'],
	'SET takes effect within seconds');
$since = now();
$node->safe_psql('postgres',
	q{ALTER DATABASE alpha RESET hcevents.topic_prefix});
restarted_since($since, 'alpha');
insert('alpha', 'third');
hce_flush($node, 'alpha');
is_deeply(
	content('fromenv.thing.created'),
	[ 'alpha third', 'gamma first' ],
	'RESET takes effect within seconds');

# A rolled-back change

my $restarts = $node->safe_psql('postgres',
	q{SELECT restarts FROM hcevents.status WHERE datname = 'gamma'});
$node->safe_psql('postgres', <<'SQL');
BEGIN; ALTER DATABASE gamma SET hcevents.topic_prefix = 'never'; ROLLBACK;
ALTER DATABASE gamma SET hcevents.topic_prefix = 'gamma';
SQL
ok( hce_wait_until(
		sub {
			$node->safe_psql('postgres',
				q{SELECT restarts FROM hcevents.status WHERE datname = 'gamma'})
			  == $restarts + 1;
		},
		10),
	'each committed change restarts the relay once');

# Another broker

$node->safe_psql('postgres',
	q{ALTER DATABASE beta SET hcevents.bootstrap_servers = '127.0.0.1:1'});
state_is('beta', 'disconnected');
insert('beta', 'away');
insert('alpha', 'near');
hce_flush($node, 'alpha');
is( $node->safe_psql('beta', q{SELECT hcevents.flush('300 ms')}),
	'f', 'beta waits for its broker, alpha delivers');
$node->safe_psql('postgres',
	q{ALTER DATABASE beta RESET hcevents.bootstrap_servers});
state_is('beta', 'streaming');
hce_flush($node, 'beta');
is_deeply(
	content('beta.public.thing'),
	[ 'beta away', 'beta first' ],
	'what was written meanwhile is delivered once');

# The file: ALTER SYSTEM and a reload

$node->safe_psql('postgres',
	q{ALTER SYSTEM SET hcevents.bootstrap_servers = '127.0.0.1:2'});
$node->reload;
state_is('alpha', 'disconnected');
$node->safe_psql('postgres',
	qq{ALTER DATABASE alpha SET hcevents.bootstrap_servers = '$bootstrap'});
state_is('alpha', 'streaming');
state_is('gamma', 'disconnected');
$node->safe_psql('postgres',
	'ALTER SYSTEM RESET hcevents.bootstrap_servers');
$node->reload;
state_is('gamma', 'streaming');

# Headers

$node->safe_psql('postgres',
	q{ALTER DATABASE gamma SET hcevents.headers = 'position, event_type'});
ok( $node->poll_query_until(
		'postgres', q{SELECT state = 'streaming' AND restarts > 1 FROM hcevents.status WHERE datname = 'gamma'}),
	'the relay has restarted');
$node->safe_psql('gamma', q{SELECT hcevents.publish('test.few', '{"test_id": 1}', headers => '{"mine": "x"}')});
hce_flush($node, 'gamma');
my ($few) = $kafka->messages('gamma.test.few');
is_deeply([ sort keys %{ $few->{headers} } ],
	[ 'event_type', 'mine', 'position' ], 'only the headers asked for');
$node->safe_psql('postgres', q{ALTER DATABASE gamma SET hcevents.headers = ''});
ok( hce_wait_until(
		sub {
			$node->safe_psql('gamma', q{SELECT hcevents.publish('test.none', '{"test_id": 1}')});
			hce_flush($node, 'gamma');
			my ($last) = reverse $kafka->messages('gamma.test.none');
			return !%{ $last->{headers} };
		},
		30),
	'none at all');
$node->safe_psql('postgres', 'ALTER DATABASE gamma RESET hcevents.headers');
my ($status, $out, $err) = $node->psql('postgres', q{SET hcevents.headers = 'event_id, color'});
like($err, qr/There is no header "color".*HINT:.*content-type/s, 'an unknown header is refused with a hint');

# Off

insert('alpha', 'before off');
hce_flush($node, 'alpha');
$node->safe_psql('postgres', 'ALTER DATABASE alpha SET hcevents.enabled = off');
state_is('alpha', 'disabled');
my $pid = hce_relay_pid($node, 'alpha');
my @threads = glob "/proc/$pid/task/*";
is(scalar @threads, 1, 'a disabled relay runs no thread of librdkafka');
insert('alpha', 'not captured');
$node->safe_psql('alpha',
	q{SET hcevents.enabled = on; INSERT INTO things (name) VALUES ('captured while off')}
);
$node->safe_psql('postgres', 'ALTER DATABASE alpha RESET hcevents.enabled');
state_is('alpha', 'streaming');
insert('alpha', 'on again');
hce_flush($node, 'alpha');
is_deeply(
	[ grep { /^alpha/ } @{ content('fromenv.thing.created') } ],
	[
		'alpha before off', 'alpha captured while off',
		'alpha near', 'alpha on again', 'alpha third'
	],
	'off captures nothing, and what a session captured waits');
$node->safe_psql('gamma',
	q{SET hcevents.enabled = off; INSERT INTO things (name) VALUES ('session off')}
);
hce_flush($node, 'gamma');
is_deeply(content('gamma.thing.created'), [], 'off in a session captures nothing');

# The relay is nobody else, whatever sessions of its database are

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE app_owner;
ALTER DATABASE gamma SET role = app_owner;
ALTER DATABASE gamma SET statement_timeout = '1ms';
SQL
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(relay_pid) FROM hcevents.status WHERE datname = 'gamma'});
ok( hce_wait_until(
		sub {
			$node->safe_psql('postgres',
				q{SELECT restarts > 0 AND state = 'streaming' AND relay_pid IS NOT NULL FROM hcevents.status WHERE datname = 'gamma'}
			) eq 't';
		},
		60),
	'ALTER DATABASE SET role does not stop the relay');
$node->safe_psql('postgres', "ALTER DATABASE gamma RESET $_") foreach qw(role statement_timeout);

# Who may

$node->safe_psql('postgres', 'CREATE ROLE nobody_special');
my (undef, undef, $stderr) = $node->psql('postgres',
	'SET ROLE nobody_special; SET hcevents.enabled = off');
like($stderr, qr/permission denied/, 'a plain role cannot turn capture off');

$node->stop;
done_testing();
