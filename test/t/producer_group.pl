# The relay hands the messages of a turn over to librdkafka in one go.  Where it
# does not take one of them, all else of the group comes once and in order; and
# the lists of headers, which are used again, always have what is due.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use JSON::PP qw(decode_json);
use Test::More;

my $topic = 'healthcore.thing';
my $kafka = HceTest::Kafka->start(auto_create => 0);
$kafka->create_topics(4, $topic);
my $node = hce_node('main', kafka => $kafka, conf => <<'CONF');
wal_level = replica
hcevents.topic = '%p.%r'
hcevents.max_event_size = '1MB'
CONF

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub delivered
{
	hce_flush($node);
	return $kafka->messages($topic);
}

# Names in the order of a key's partition.
sub names_by_key
{
	my %names;
	push @{ $names{ $_->{key} } }, decode_json($_->{value})->{data}{name} foreach @_;
	return \%names;
}

sub is_exact
{
	my ($what) = @_;
	return is(
		sql('SELECT bool_and(captured = delivered + pending + parked + dead) FROM hcevents.delivery_stats'),
		't', "captured = delivered + pending + parked + dead: $what");
}

sql(<<'SQL');
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kind text, name text, pad text);
SELECT hcevents.attach('things', 'thing', columns => '{name,pad}', key => '{kind}');
SQL

# Headers: lists that fit, and lists that do not

sql(<<'SQL');
DO $$
BEGIN
	FOR round IN 1 .. 40 LOOP
		FOR i IN 1 .. 50 LOOP
			INSERT INTO things (kind, name) VALUES ('k' || i % 7, 'n' || round || '.' || i);
			PERFORM hcevents.publish('thing.created', jsonb_build_object('name', 'p' || round || '.' || i),
				key => 'k' || i % 7, headers => CASE i % 5
					WHEN 0 THEN NULL
					WHEN 1 THEN jsonb_build_object('trace', repeat('t', i))
					WHEN 2 THEN jsonb_build_object('trace', 'fixed', 'n', to_char(i, '00'))
					WHEN 3 THEN jsonb_build_object('other', 'fixed', 'n', to_char(i, '00'))
					ELSE jsonb_build_object('trace', '') END);
		END LOOP;
		COMMIT;
	END LOOP;
END $$;
SQL
my @messages = delivered();
is(scalar @messages, 4000, 'all is delivered');
my $source = sql('SHOW hcevents.source');
my $wrong = 0;
foreach my $message (@messages)
{
	my $envelope = decode_json($message->{value});
	my %headers = %{ $message->{headers} };
	my ($kind, undef, $i) = $envelope->{data}{name} =~ /^(.)(\d+)\.(\d+)$/;
	my %more = $kind eq 'n' ? () :
	  $i % 5 == 0 ? () :
	  $i % 5 == 1 ? (trace => 't' x $i) :
	  $i % 5 == 2 ? (trace => 'fixed', n => sprintf(' %02d', $i)) :
	  $i % 5 == 3 ? (other => 'fixed', n => sprintf(' %02d', $i)) :
	  (trace => '');
	my %due = (
		'event_id' => $envelope->{event_id},
		'event_type' => 'thing.created',
		'content-type' => 'application/json',
		'source' => $source,
		'db' => 'postgres',
		'table' => $kind eq 'n' ? 'public.things' : '',
		'position' => $headers{position},
		%more);
	my $same = join("\0", map { "$_=$headers{$_}" } sort keys %headers) eq
	  join("\0", map { "$_=$due{$_}" } sort keys %due);
	diag(explain({ got => \%headers, due => \%due })) if !$same && $wrong < 3;
	$wrong++ if !$same;
}
is($wrong, 0, 'each message has the headers of its own event');
my %positions = map { $_->{headers}{position} => 1 } @messages;
is(scalar keys %positions, 4000, 'and a position of its own');

# one shape after the other, each delivered before the next
my @shapes = ('ttttt', 'ttttttttt', 'ttt', '', 't' x 300, '', 'last');
foreach my $shape (@shapes)
{
	sql("SET hcevents.source = 's$shape';
		SELECT count(hcevents.publish('thing.created', jsonb_build_object('name', 's'), key => 'shape',
			headers => h)) FROM generate_series(1, 50), (VALUES (NULL), (jsonb_build_object('trace', '$shape'))) v(h)");
	hce_flush($node);
}
is_deeply(
	[ map { $_->{headers}{source} . '.' . ($_->{headers}{trace} // '') }
		  grep { $_->{key} eq 'shape' } delivered() ],
	[ map { ("s$_.", "s$_.$_") x 50 } @shapes ],
	'headers of other lengths than those before');

# Too large for librdkafka: what is in the WAL is larger than the limit that
# was set after it was written

$kafka->stop;
sql(<<'SQL');
CREATE FUNCTION noise(bytes int) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT string_agg(md5(random()::text), '') FROM generate_series(1, bytes / 32)
$$;
INSERT INTO things (kind, name, pad)
SELECT 'large', 'n' || n, CASE WHEN n IN (1, 50, 51, 100) THEN noise(300000) END
  FROM generate_series(1, 100) n;
INSERT INTO things (kind, name) VALUES ('large', 'last');
ALTER SYSTEM SET hcevents.max_event_size = '100kB';
SQL
my $relay = hce_relay_pid($node);
sql('SELECT pg_reload_conf()');
ok(hce_wait_until(sub { my $pid = hce_relay_pid($node); $pid && $pid != $relay }, 60),
	'a relay has the new limit');
$kafka->start_again;
is_deeply(
	names_by_key(grep { $_->{key} eq 'large' } delivered())->{large},
	[ map({ "n$_" } grep { !/^(1|50|51|100)$/ } 1 .. 100), 'last' ],
	'what librdkafka refuses is left out, all else comes once and in order');
is(sql('SELECT reason, count(*) FROM hcevents.dead_letters GROUP BY 1'),
	'refused|4', 'and is a dead letter');
is_exact('after refusals');

# The topic comes back with fewer partitions

$kafka->call('delete-topic', $topic);
$kafka->create_topics(1, $topic);
my @due;
for my $round (1 .. 5)
{
	sql(qq{INSERT INTO things (kind, name)
		SELECT 'f' || n % 20, '$round.' || n FROM generate_series(1, 200) n});
	push @due, map { "$round.$_" } 1 .. 200;
}
my %names = %{ names_by_key(delivered()) };
my %latest;
foreach my $key (keys %names)
{
	my %seen;
	$latest{$_} = 1 foreach @{ $names{$key} };
	my @first = grep { !$seen{$_}++ } @{ $names{$key} };
	my ($n) = $key =~ /^f(\d+)$/ or next;
	my @own = grep { my ($i) = /\.(\d+)$/; $i % 20 == $n } @due;
	is_deeply(\@first, \@own, "$key: nothing is missing, all in order") if "@first" ne "@own";
}
is(scalar(grep { !$latest{$_} } @due), 0, 'all comes with fewer partitions');
is_exact('with fewer partitions');
unlike($node->safe_psql('postgres', 'SELECT reason FROM hcevents.dead_letters'),
	qr/partition/, 'and nothing of it is a dead letter');

done_testing();
