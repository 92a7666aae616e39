# The first events of a topic that Kafka is just creating are not lost.
#
# A broker may answer the first request to a young partition with an error and
# take the second one.  With several requests in flight an idempotent producer
# then sends the first again, is told that its sequence number is old, and
# takes that for success: acknowledged, and nowhere stored.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use HceTest;

my $topics = 100;
my $rows = 20;
my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka, conf => 'log_statement = none');

$node->safe_psql('postgres', <<"SQL");
DO \$\$
BEGIN
    FOR i IN 1..$topics LOOP
        EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i);
        PERFORM hcevents.attach(format('t%s', i)::regclass,
                                format('r%s', i), '{}');
    END LOOP;
END
\$\$;
SQL
hce_wait_for_relay($node);

# A commit a row: many small requests, at the moment the topic appears.
$node->safe_psql('postgres', join '',
	map { my $t = $_; map { "INSERT INTO t$t VALUES ($_);\n" } 1 .. $rows }
	  1 .. $topics);
hce_flush($node);
is(hce_stats($node, 'delivered'), $topics * $rows, 'all are acknowledged');

# A broker shows the end of a young partition a moment late.
hce_wait_until(sub { $kafka->count >= $topics * $rows }, 10);
is($kafka->count, $topics * $rows, 'and all are stored');

done_testing();
