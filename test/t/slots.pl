# The relay's slot: a name of one's own, changed without a gap; and what is
# seen when the server has no slot, or no worker, to spare.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node(
	'main',
	kafka => $kafka,
	conf => <<'CONF');
wal_level = replica
max_replication_slots = 3
hcevents.topic = '%p.%r'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('one');
CREATE DATABASE other;
SQL
hce_flush($node);

# A name of one's own

my ($status, undef, $stderr) =
  $node->psql('postgres', q{ALTER DATABASE postgres SET hcevents.slot_name = 'No Name'});
like($stderr, qr/lower case letters/, 'a name that no slot may have is refused');
$kafka->pause;
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('waits')});
$node->safe_psql('postgres',
	q{ALTER DATABASE postgres SET hcevents.slot_name = 'clinic_events'});
ok( $node->poll_query_until(
		'postgres',
		q{SELECT string_agg(slot_name, ' ') = 'clinic_events' AND bool_and(active) FROM pg_replication_slots}
	),
	'the new slot takes the place of the old one');
$kafka->resume;
hce_flush($node);
# what was in flight when the relay changed may come twice
my %ids = map { $_->{headers}{event_id} => 1 } $kafka->messages('healthcore.thing');
is(scalar keys %ids, 2, 'nothing is lost by that');
is($node->safe_psql('postgres', 'SELECT count(*) FROM hcevents.gaps'),
	'0', 'and it is no gap');
like(
	$node->safe_psql('postgres',
		q{SELECT hint FROM hcevents.check() WHERE "check" = 'failover_slot'}),
	qr/ignore_slots:\n- name: clinic_events\n  type: physical/,
	'check() prints the lines for Patroni');
is( $node->safe_psql('postgres',
		q{SELECT status FROM hcevents.check() WHERE "check" = 'slot'}),
	'ok', 'and finds the slot');

# A name that another database has

$node->safe_psql('other', q{ALTER DATABASE other SET hcevents.slot_name = 'clinic_events'});
$node->safe_psql('other', 'CREATE EXTENSION hcevents');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT last_error ~ 'belongs to the relay of database' FROM hcevents.status WHERE datname = 'other'}
	),
	'two databases cannot share a slot');
hce_wait_for_relay($node);

# No slot is free

$node->safe_psql('postgres', <<'SQL');
SELECT pg_create_physical_replication_slot('a'), pg_create_physical_replication_slot('b');
ALTER DATABASE other SET hcevents.slot_name = 'other_events';
SQL
ok( $node->poll_query_until(
		'postgres',
		q{SELECT state = 'failed' AND waiting_for = 'a free replication slot (max_replication_slots)' FROM hcevents.status WHERE datname = 'other'}
	),
	'status tells that a slot is missing')
  or diag($node->safe_psql('postgres', 'SELECT * FROM hcevents.status'));
is( $node->safe_psql('other',
		q{SELECT status FROM hcevents.check() WHERE "check" = 'max_replication_slots'}),
	'error', 'and check() does');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('a')});
hce_wait_for_relay($node, 'streaming', 'other');

# A slot with a name of its own goes with its database, and no slot of others,
# whatever its name: Patroni calls that of its member "hcevents-1" so

$node->safe_psql('postgres', <<'SQL');
SELECT pg_drop_replication_slot('b');
SELECT pg_create_physical_replication_slot('hcevents_1');
SQL
$node->safe_psql('postgres', 'DROP DATABASE other');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'other_events'}
	),
	'DROP DATABASE takes it');
$node->restart;
hce_wait_for_relay($node);
is( $node->safe_psql('postgres', 'SELECT string_agg(slot_name, $$ $$ ORDER BY slot_name) FROM pg_replication_slots'),
	'clinic_events hcevents_1', 'and nobody else\'s');

# No worker is free: one for the launcher, one for logical replication

$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
ok( $node->poll_query_until(
		'postgres',
		q{SELECT state = 'failed' AND waiting_for ~ 'max_worker_processes' FROM hcevents.status}
	),
	'status tells that a worker is missing');
like(slurp_file($node->logfile),
	qr/WARNING:  no relay runs for database "postgres": no background worker slot is free/, 'and the log does');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('goes on')});
hce_flush($node);
$node->stop;
done_testing();
