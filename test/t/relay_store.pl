# A position row that cannot be written, for whatever reason, is found before
# anything is sent: lives that fail one after the other do not send the same
# events again and again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node('main', kafka => $kafka, conf => 'wal_level = replica');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
INSERT INTO things (name) VALUES ('before');
SQL
hce_flush($node);
$node->poll_query_until('postgres',
	'SELECT sum(delivered) = 1 FROM hcevents.counters');

sub restarts
{
	return $node->safe_psql('postgres', 'SELECT restarts FROM hcevents.status');
}

my $restarts = restarts();
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE hcevents.position ADD CONSTRAINT unwritable CHECK (timeline < 0) NOT VALID;
INSERT INTO things (name) SELECT 'waiting ' || n FROM generate_series(1, 10) n;
SQL
ok(hce_wait_until(sub { restarts() >= $restarts + 3 }, 60),
	'the relay ends with an error, and again');
is($kafka->count('healthcore.thing.created'), 11,
	'only the life that found out has sent');
is( $node->safe_psql('postgres',
		q{SELECT state, last_error ~ 'unwritable' FROM hcevents.status}),
	'failed|t', 'status says why it fails');
$node->safe_psql('postgres',
	'ALTER TABLE hcevents.position DROP CONSTRAINT unwritable');
hce_flush($node, 'postgres', '90 s');
is($kafka->count('healthcore.thing.created'), 21,
	'then what was not noted is sent again, once');
is(hce_stats($node, 'captured'), 11, 'captured is exact');
is(hce_stats($node, 'delivered'), 11, 'so is delivered');

$node->stop;
done_testing();
