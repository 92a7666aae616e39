# A restore to an earlier point in time: paused until the operator says that
# it is the original, then recorded as a gap, and delivery goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $node = hce_node(
	'original',
	kafka => $kafka,
	init => [ has_archiving => 1 ],
	conf => "wal_level = replica\nhcevents.topic = '%p.%r'\n");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
SQL
$node->backup('base');
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('kept')});
hce_flush($node);
my $epoch = $node->safe_psql('postgres', 'SELECT epoch FROM hcevents.position');
$node->safe_psql('postgres', q{SELECT pg_create_restore_point('before the accident')});
$node->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('undone')});
hce_flush($node);
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->stop;

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', <<'CONF');
recovery_target_name = 'before the accident'
recovery_target_action = 'promote'
CONF
$restored->start;
ok( $restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'),
	'restored');
is( $restored->safe_psql('postgres', 'SELECT string_agg(name, $$ $$) FROM things'),
	'kept', 'to the earlier point');
hce_wait_for_relay($restored, 'paused');
is( $restored->safe_psql('postgres', 'SELECT waiting_for FROM hcevents.status'),
	'copied database', 'as a copy');
$restored->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('anew')});
is($kafka->count('healthcore.thing'), 2, 'a restored backup publishes nothing');

$restored->safe_psql('postgres',
	'ALTER DATABASE postgres SET hcevents.detect_copies = off');
hce_wait_for_relay($restored);
$restored->safe_psql('postgres',
	'ALTER DATABASE postgres RESET hcevents.detect_copies');
hce_wait_for_relay($restored);
$restored->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('goes on')});
hce_flush($restored);
my (%seen, @names);
foreach my $message ($kafka->messages('healthcore.thing'))
{
	my ($name) = $message->{value} =~ /"name": ?"([^"]*)"/;
	push @names, $name unless $seen{ $message->{headers}{event_id} }++;
}
is_deeply(
	\@names,
	[ 'kept', 'undone', 'anew', 'goes on' ],
	'once it is the original, delivery goes on');
is( $restored->safe_psql('postgres',
		q{SELECT count(*) FROM hcevents.gaps WHERE cause = 'the database was restored to an earlier point'}
	),
	'1', 'the restore is recorded once');
cmp_ok($restored->safe_psql('postgres', 'SELECT epoch FROM hcevents.position'),
	'>', $epoch, 'the epoch has grown');
like(
	slurp_file($restored->logfile),
	qr/WARNING:  database "postgres" was restored to an earlier point/,
	'a WARNING in the log');
$restored->stop;
done_testing();
