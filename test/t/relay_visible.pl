# Nothing is published before its transaction is visible, confirmed by the
# synchronous standbys, and flushed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
wal_writer_delay = 10s
hcevents.topic = '%p.%r'
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('first');
SQL
hce_flush($node);

# A commit that waits for a standby that is not there

$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
# the setting is seen by new sessions at once, the checkpointer tells the rest
$node->poll_query_until('postgres',
	q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
my $writer = $node->background_psql('postgres');
$writer->query_until(qr/begun/, <<'SQL');
\echo begun
INSERT INTO things (name) VALUES ('unconfirmed');
SQL
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}),
	'a commit waits for its standby');
ok( $node->poll_query_until('postgres',
		"SELECT read_lsn > '$lsn' FROM hcevents.status"),
	'the relay has read it');
is($node->safe_psql('postgres', 'SELECT count(*) FROM things'), '1', 'nobody sees its row');
is( $node->safe_psql('postgres', q{SET synchronous_commit = local; SELECT hcevents.flush('1 s')}),
	'f', 'nor is it delivered');
is($kafka->count('healthcore.thing'), 1, 'so Kafka does not have it');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
hce_flush($node);
is($kafka->count('healthcore.thing'), 2, 'then it arrives');
$writer->quit;

# An asynchronous commit that is not flushed

my $pid = hce_relay_pid($node);
my $unflushed_seen = 0;
hce_wait_until(
	sub {
		# half a second is ten turns of the relay; a commit may meet the WAL
		# writer's turn: then try another
		my ($unflushed, $rows) = split /\|/, $node->safe_psql('postgres', <<'SQL');
SET synchronous_commit = off;
INSERT INTO things (name) SELECT 'unflushed' WHERE pg_sleep(0.1) IS NOT NULL;
SELECT FROM pg_sleep(0.5);
SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn(), count(*) FROM things;
SQL
		$unflushed_seen = 1
		  if $unflushed =~ /t$/ && $kafka->count('healthcore.thing') < $rows;
		return $unflushed_seen;
	},
	60);
ok($unflushed_seen, 'what is not flushed is not delivered');
hce_flush($node);
is( $kafka->count('healthcore.thing'),
	$node->safe_psql('postgres', 'SELECT count(*) FROM things'),
	'when it is flushed, it is');
is(hce_relay_pid($node), $pid, 'by the same relay');
unlike(slurp_file($node->logfile), qr/could not read WAL/, 'which read nothing that is not there');

$node->stop;
done_testing();
