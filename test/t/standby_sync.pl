# Synchronous replication: nothing is published that the standby has not
# confirmed, also when a crash has made a commit visible that its writer was
# still waiting with.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $kafka = HceTest::Kafka->start(partitions => 1);
my $primary = hce_node(
	'primary',
	kafka => $kafka,
	conf => "wal_level = replica\nhcevents.topic = '%p.%r'\n");
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
SELECT hcevents.attach('things', 'thing', columns => '{name}');
SQL
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->append_conf('postgresql.conf',
	"synchronous_standby_names = 'standby'");
$primary->reload;
ok( $primary->poll_query_until(
		'postgres',
		q{SELECT sync_state = 'sync' FROM pg_stat_replication}),
	'the standby is synchronous');
$primary->safe_psql('postgres', q{INSERT INTO things (name) VALUES ('confirmed')});
hce_flush($primary);

# Events in Kafka; a crash may send one again.
sub published
{
	my %ids = map { $_->{headers}{event_id} => 1 } $kafka->messages('healthcore.thing');
	return scalar keys %ids;
}

# A commit that waits

$standby->stop;
my ($out, $err) = ('', '');
my $writer = IPC::Run::start(
	[
		'psql', '-X', '-d', $primary->connstr('postgres'),
		'-c', q{INSERT INTO things (name) VALUES ('unconfirmed')}
	],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
ok( $primary->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}
	),
	'a commit waits for the standby');
$primary->stop('immediate');
eval { $writer->finish };
$primary->start;
is( $primary->safe_psql('postgres',
		q{SELECT count(*) FROM things WHERE name = 'unconfirmed'}),
	'1', 'after a crash it is visible');
ok( $primary->poll_query_until(
		'postgres',
		q{SELECT waiting_for LIKE 'a synchronous standby%' FROM hcevents.status}
	),
	'status tells what the relay waits for')
  or diag($primary->safe_psql('postgres', 'SELECT * FROM hcevents.status'));
is($primary->safe_psql('postgres', q{SELECT hcevents.flush('2 s')}),
	'f', 'and it is not settled');
is(published(), 1, 'nor is it in Kafka');

# The standby is back

$standby->start;
hce_flush($primary);
is(published(), 2, 'once confirmed it is published');

# Without synchronous standbys nothing is held back

$standby->stop;
$writer = IPC::Run::start(
	[
		'psql', '-X', '-d', $primary->connstr('postgres'),
		'-c', q{INSERT INTO things (name) VALUES ('released')}
	],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
ok( $primary->poll_query_until(
		'postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}
	),
	'another commit waits');
$primary->stop('immediate');
eval { $writer->finish };
$primary->start;
ok( $primary->poll_query_until(
		'postgres',
		q{SELECT waiting_for LIKE 'a synchronous standby%' FROM hcevents.status}
	),
	'and is held back');
$primary->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$primary->reload;
hce_flush($primary);
is(published(), 3, 'until no standby is asked for');
$primary->stop;
done_testing();
