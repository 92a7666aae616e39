# A physical standby: it publishes nothing, its own slot follows the position
# that the primary has written, nothing of ours holds up replay, and after a
# promotion delivery goes on from there, on the new timeline.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $kafka = HceTest::Kafka->start(partitions => 1);
my $primary = hce_node(
	'primary',
	kafka => $kafka,
	init => [ extra => ['--wal-segsize=1'] ],
	conf => "wal_level = replica\nhcevents.topic = '%p.%r'\n");
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
CREATE TABLE filler (n int);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('before');
CREATE DATABASE doomed;
SQL
$primary->safe_psql('doomed', 'CREATE EXTENSION hcevents');
my ($oid, $doomed) = split /\|/, $primary->safe_psql('postgres',
	q{SELECT string_agg(oid::text, '|' ORDER BY datname = 'doomed') FROM pg_database WHERE datname IN ('postgres', 'doomed')});
hce_flush($primary);

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub segments
{
	my ($node, $name) = @_;
	return $node->safe_psql('postgres',
		"SELECT (restart_lsn - '0/0') / 1048576, active FROM pg_replication_slots WHERE slot_name = '$name'"
	) =~ s/\..*\|/|/r;
}

ok( $standby->poll_query_until(
		'postgres',
		q{SELECT count(*) = 2 AND bool_and(state = 'standby' AND waiting_for IS NULL AND relay_pid IS NULL) FROM hcevents.status}
	),
	'the standby knows both databases and lacks no WAL')
  or diag($standby->safe_psql('postgres', 'SELECT * FROM hcevents.status'),
	$primary->safe_psql('postgres', 'SELECT * FROM hcevents.position'));
ok( $standby->poll_query_until(
		'postgres',
		"SELECT count(*) = 2 FROM pg_replication_slots WHERE slot_name IN ('hcevents_$oid', 'hcevents_$doomed')"
	),
	'and has a slot for each');
is( $standby->safe_psql('postgres',
		q{SELECT status FROM hcevents.check() WHERE "check" = 'relay'}),
	'ok', 'check() finds nothing wrong with it');

# The slot follows, and is not held

$primary->safe_psql('postgres', <<'SQL') foreach 1 .. 4;
INSERT INTO filler SELECT n FROM generate_series(1, 20000) n;
INSERT INTO things (name) VALUES ('filled');
SELECT pg_switch_wal();
SQL
hce_flush($primary);
ok( $primary->poll_query_until(
		'postgres',
		'SELECT pg_current_wal_lsn() - restart_lsn < 2 * 1048576 FROM hcevents.position'
	),
	'the primary has written its position');
my $segment = segments($primary, "hcevents_$oid") =~ s/\|.*//r;
ok( hce_wait_until(
		sub {
			my ($here, $active) =
			  split /\|/, segments($standby, "hcevents_$oid");
			return $here >= $segment && $active eq 'f';
		},
		60),
	'the slot of the standby follows the position and is not held');

# Replay is not held up

$primary->safe_psql('postgres', 'DROP DATABASE doomed');
my $dropped = time();
ok( $standby->poll_query_until(
		'postgres',
		q{SELECT count(*) = 0 FROM pg_database WHERE datname = 'doomed'}),
	'DROP DATABASE is replayed');
hce_figure('DROP DATABASE is replayed after %.1f s', time() - $dropped);
ok( $standby->poll_query_until(
		'postgres',
		"SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'hcevents_$doomed'"
	),
	'and its slot on the standby goes');

# Promotion: what the old primary could not deliver, the new one does

my $delivered = $kafka->count('healthcore.thing');
is($delivered, 5, 'so far only the primary has published');
my $epoch = $primary->safe_psql('postgres', 'SELECT epoch FROM hcevents.position');
$primary->safe_psql('postgres',
	q{ALTER DATABASE postgres SET hcevents.bootstrap_servers = '127.0.0.1:1'});
hce_wait_for_relay($primary, 'disconnected');
$primary->safe_psql('postgres',
	q{INSERT INTO things (name) SELECT 'waiting ' || n FROM generate_series(1, 100) n}
);
$primary->wait_for_catchup($standby, 'replay');
$primary->stop('immediate');
$standby->promote;
my $promoted = time();
my $address = $kafka->bootstrap;
$standby->safe_psql('postgres',
	"ALTER DATABASE postgres SET hcevents.bootstrap_servers = '$address'");
$standby->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('after')});
hce_flush($standby);
hce_figure('delivered %.1f s after the promotion', time() - $promoted);

my @messages = $kafka->messages('healthcore.thing');
my (%seen, @names);
foreach my $message (@messages)
{
	my ($name) = $message->{value} =~ /"name": ?"([^"]*)"/;
	push @names, $name unless $seen{ $message->{headers}{event_id} }++;
}
is_deeply(
	\@names,
	[ 'before', ('filled') x 4, (map { "waiting $_" } 1 .. 100), 'after' ],
	'nothing is missing, all in order');
my ($new_epoch, $timeline) = split /\|/, $standby->safe_psql('postgres',
	'SELECT epoch, timeline FROM hcevents.position');
is($timeline, 2, 'the row is of the new timeline');
# what another standby, promoted before and lost, has published is below it
cmp_ok($new_epoch, '>', $epoch + 800_000_000, 'the epoch has grown to the clock');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'no gap');
my @positions = map { $_->{headers}{position} } @messages[ -101 .. -1 ];
is_deeply(\@positions, [ sort @positions ], 'positions sort in the order of publication');

$standby->restart;
hce_wait_for_relay($standby);
is($standby->safe_psql('postgres', 'SELECT epoch FROM hcevents.position'),
	$new_epoch, 'and does not grow at a restart');
unlike(
	slurp_file($standby->logfile),
	qr/was terminated by|terminating any other/,
	'no process of the standby crashed');
$standby->stop;
done_testing();
