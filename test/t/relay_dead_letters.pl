# Events that Kafka can never take: the write succeeds, the event becomes a
# dead letter, its neighbours are delivered in order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $extra = PostgreSQL::Test::Utils::tempdir('extra') . '/properties';
append_to_file($extra, "message.max.bytes=100000\n");
my $kafka;
{
	local $ENV{KAFKA_EXTRA} = $extra;
	$kafka = HceTest::Kafka->start(partitions => 1);
}
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
hcevents.topic = '%p.%r'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text, pad text);
ALTER TABLE things ALTER pad SET STORAGE EXTERNAL;
SELECT hcevents.attach('things', 'thing', columns => '{name,pad}');
SQL

sub names
{
	hce_flush($node);
	return map { decode_json($_->{value})->{data}{name} }
	  $kafka->messages('healthcore.thing');
}

sub is_exact
{
	my ($what) = @_;
	return is(
		$node->safe_psql('postgres',
			'SELECT bool_and(captured = delivered + pending + parked + dead) FROM hcevents.delivery_stats'
		),
		't',
		"captured = delivered + pending + parked + dead: $what");
}

# Random hexadecimal digits, which no compression makes small.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION noise(bytes int) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT string_agg(md5(random()::text), '') FROM generate_series(1, bytes / 32)
$$;
SQL

# Too large to capture

my ($status, undef, $stderr) = $node->psql('postgres', <<'SQL');
SET hcevents.max_event_size = '10kB';
BEGIN;
INSERT INTO things (name) VALUES ('before');
INSERT INTO things (name, pad) VALUES ('too large', repeat('secret', 10000));
INSERT INTO things (name, pad) VALUES ('too large', repeat('secret', 10000));
INSERT INTO things (name) VALUES ('after');
COMMIT;
SQL
is($status, 0, 'a write with a too large event succeeds');
my @warnings = $stderr =~ /(WARNING:.*was not captured)/g;
is(scalar @warnings, 1, 'with one WARNING');
unlike($stderr, qr/secret/, 'that shows no value of the row');
is_deeply([ names() ], [qw(before after)], 'its neighbours are delivered');
is( $node->safe_psql('postgres', <<'SQL'),
SELECT event_type, source_table, reason, count(*) FROM hcevents.dead_letters
 GROUP BY 1, 2, 3
SQL
	'thing.created|public.things|too_large|2',
	'the events are dead letters');
is(hce_stats($node, 'dead'), 2, 'counted as dead');
is($node->safe_psql('postgres', 'SELECT dead FROM hcevents.status'),
	'2', 'in status too');
is_exact('after a capture failure');

# Too large for the broker, whose limit is lower than ours: in the middle of
# a batch, first, last, alone

$node->safe_psql('postgres', <<'SQL');
INSERT INTO things (name, pad)
SELECT 'n' || n, CASE WHEN n IN (1, 50, 51, 100) THEN noise(150000) END
  FROM generate_series(1, 100) n;
INSERT INTO things (name, pad) VALUES ('alone', noise(150000));
INSERT INTO things (name) VALUES ('last');
SQL
is_deeply(
	[ names() ],
	[
		'before', 'after',
		map({ "n$_" } grep { !/^(1|50|51|100)$/ } 1 .. 100), 'last'
	],
	'what the broker refuses is left out, all else comes once and in order');
is( $node->safe_psql('postgres', <<'SQL'),
SELECT reason, count(*), bool_and(error ~* 'too large'), bool_and(size > 150000),
	bool_and(topic = 'healthcore.thing') FROM hcevents.dead_letters
 WHERE reason <> 'too_large' GROUP BY 1
SQL
	'refused|5|t|t|t',
	'and is a dead letter with the error of Kafka');
is(hce_stats($node, 'dead'), 7, 'counted as dead');
is_exact('after refusals');
my $log = slurp_file($node->logfile);
@warnings = $log =~ /(WARNING:.*is a dead letter)/g;
is(scalar @warnings, 7, 'the log has a WARNING for each');

# Over a crash

$node->stop('immediate');
$node->start;
$node->safe_psql('postgres',
	q{INSERT INTO things (name) VALUES ('after crash')});
is((names())[-1], 'after crash', 'after a crash delivery goes on');
is( $node->safe_psql('postgres',
		'SELECT count(*), count(DISTINCT event_id) FROM hcevents.dead_letters'),
	'7|7',
	'each dead letter is there once');
is(hce_stats($node, 'dead'), 7, 'and counted once');
is_exact('after a crash');

# A topic name that Kafka does not accept

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA "odd name";
CREATE TABLE "odd name".things (id int PRIMARY KEY);
SELECT hcevents.attach('"odd name".things', 'odd');
ALTER DATABASE postgres SET hcevents.topic = '%p.%s.%r';
SQL
$node->poll_query_until('postgres',
	q{SELECT start_time > now() - interval '5 s' AND state = 'streaming' FROM hcevents.status}
);
$node->safe_psql('postgres', 'INSERT INTO "odd name".things VALUES (1)');
hce_flush($node);
is( $node->safe_psql('postgres',
		q{SELECT reason FROM hcevents.dead_letters WHERE event_type = 'odd.created'}
	),
	'invalid_topic',
	'an invalid topic name makes a dead letter');

# Nobody sees payloads
is( $node->safe_psql('postgres', <<'SQL'),
SELECT count(*) FROM information_schema.columns
 WHERE table_schema = 'hcevents' AND table_name = 'dead_letters'
   AND column_name IN ('key', 'envelope', 'payload', 'data')
SQL
	'0', 'the view shows neither key nor envelope');

$log = slurp_file($node->logfile);
unlike($log, qr/WARNING.*secret/, 'the log shows no payload');
unlike($log, qr/was terminated by|terminating any other/, 'no crash');
$node->stop;
done_testing();
