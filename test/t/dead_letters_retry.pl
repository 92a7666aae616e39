# What a DBA does about dead letters: retry, discard, forget, look; and what
# the counters say of it.  No key or payload gets into the log or a view.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
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
log_statement = none
log_min_messages = debug5
hcevents.topic = '%p.%r'
CONF

# The marker is in each key and payload, and in no name.
my $marker = 'mkr7f3q';
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE things (id text PRIMARY KEY, pad text);
ALTER TABLE things ALTER pad SET STORAGE EXTERNAL;
SELECT hcevents.attach('things', 'thing', columns => '{pad}');
CREATE ROLE operator LOGIN;
GRANT EXECUTE ON FUNCTION hcevents.retry_dead_letters, hcevents.discard_dead_letters,
	hcevents.forget, hcevents.event_payload, hcevents.acknowledge_gap TO operator;
CREATE FUNCTION noise(bytes int) RETURNS text LANGUAGE sql VOLATILE AS \$\$
	SELECT '$marker' || string_agg(md5(random()::text), '') FROM generate_series(1, bytes / 32)
\$\$;
SQL

# captured|delivered|pending|parked|dead in delivery_stats, dead in status;
# waits until they are as expected, since the relay takes them up after the
# commit.
sub counts_become
{
	my ($expected, $name) = @_;
	my $sql = <<'SQL';
SELECT sum(captured), sum(delivered), sum(pending), sum(parked), sum(dead),
	(SELECT dead FROM hcevents.status WHERE datname = current_database())
  FROM hcevents.delivery_stats
SQL
	hce_wait_until(sub { sql($sql) eq $expected }, 20);
	return is(sql($sql), $expected, $name);
}

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub becomes_true
{
	my ($sql, $name) = @_;
	return ok(hce_wait_until(sub { sql($sql) eq 't' }, 30), $name);
}

sub fails_like
{
	my ($sql, $pattern, $name) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', $sql);
	return like($stderr, $pattern, $name);
}

sub log_has
{
	my ($pattern, $name) = @_;
	return like(slurp_file($node->logfile), $pattern, $name);
}

# Five dead letters: three of a table, one by hand, one without envelope

sql(<<"SQL");
INSERT INTO things SELECT '$marker-' || n, noise(150000) FROM generate_series(1, 3) n;
INSERT INTO things VALUES ('$marker-fine', '$marker');
SELECT hcevents.publish('note.made', jsonb_build_object('text', noise(150000)),
	'$marker-note', '{"trace": "$marker-trace", "second": "$marker-header"}');
SQL
$node->psql('postgres',
	"SET hcevents.max_event_size = '10kB'; INSERT INTO things VALUES ('$marker-4', noise(20000))"
);
hce_flush($node);
counts_become('6|1|0|0|5|5', 'five of six are dead letters');
is( sql(<<"SQL"),
SELECT event_type, reason, attempts, retriable, count(*),
	bool_and(first_failed_time = last_failed_time AND commit_time <= first_failed_time)
  FROM hcevents.dead_letters GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
SQL
	"note.made|refused|1|t|1|t\nthing.created|refused|1|t|3|t\nthing.created|too_large|1|f|1|t",
	'the view tells what can be retried');
is( sql(<<"SQL"),
SELECT headers, key, timeline, epoch, source_schema IS NULL FROM hcevents.dead_letter_store
 WHERE event_type = 'note.made'
SQL
	"{trace,$marker-trace,second,$marker-header}|$marker-note|1|1|t",
	'the store has the headers of publish(), and no others');

# Arguments and privileges

foreach my $function (qw(retry_dead_letters discard_dead_letters))
{
	fails_like("SELECT hcevents.$function()",
		qr/all arguments are NULL.*HINT: .*since => '-infinity'/s,
		"$function() wants an argument");
	is(sql("SELECT hcevents.$function('{999}')"), '0', 'no such id: 0');
	is( sql("SELECT hcevents.$function(since => now() + interval '1 h')"),
		'0', 'since');
	is( sql("SELECT hcevents.$function(until => now() - interval '1 h')"),
		'0', 'until');
	is(sql("SELECT hcevents.$function(event_type => 'thing.deleted')"),
		'0', 'event_type');
}

# Rolled back: nothing has happened

sql(q{BEGIN; SELECT hcevents.retry_dead_letters(since => '-infinity'); ROLLBACK});
sql(q{BEGIN; SELECT hcevents.discard_dead_letters(since => '-infinity'); ROLLBACK});
counts_become('6|1|0|0|5|5', 'a rollback changes nothing');

# Retry; paused, so that what is parked stays so

sub pause
{
	sql('SELECT hcevents.pause()');
	return hce_wait_for_relay($node, 'paused');
}

sub resume
{
	sql('SELECT hcevents.resume()');
	return hce_wait_for_relay($node);
}

pause();
my ($status, $stdout, $stderr) = $node->psql('postgres',
	q{SET ROLE operator; SELECT hcevents.retry_dead_letters(since => '-infinity')}
);
is($stdout, '4', 'retry_dead_letters() returns how many') or diag($stderr);
like(
	$stderr,
	qr/NOTICE: .*without an envelope, which cannot be retried: 1/,
	'and says what it leaves');
counts_become('6|1|0|4|1|1', 'retried events are parked');
is( sql(<<"SQL"),
SELECT event_type, topic, cause, source_table, count(*), bool_and(envelope LIKE '%$marker%'),
	bool_and(key LIKE '$marker%'), max(array_length(headers, 1)), min(epoch)
  FROM hcevents.parked_store GROUP BY 1, 2, 3, 4 ORDER BY 1
SQL
	"note.made|healthcore.note|retried||1|t|t|4|1\nthing.created|healthcore.thing|retried|public.things|3|t|t||1",
	'with all that their messages need');
is( sql(
		"SELECT count(*) FROM hcevents.dead_letter_store WHERE retried_time IS NOT NULL AND num_nonnulls(key, headers, envelope) > 0"
	),
	'0',
	'and their payload is in one place only');
is(sql('SELECT count(*) FROM hcevents.dead_letters'),
	'1', 'they are no dead letters any more');
is( sql(q{SELECT hcevents.retry_dead_letters(since => '-infinity')}),
	'0', 'a second retry finds nothing');
log_has(
	qr/LOG:  role operator \(session user \S+\) retries dead letters of hcevents: 4, ids 1 to \d\n/,
	'the log says who');
is(sql('SELECT count(*) FROM hcevents.counter_changes'),
	'0', 'the counters have taken it up');

# Over crashes

$node->stop('immediate');
$node->start;
hce_wait_for_relay($node, 'paused');
counts_become('6|1|0|4|1|1', 'after a crash');
sql('SELECT hcevents.restart_relay()');
counts_become('6|1|0|4|1|1', 'after a restart of the relay');

# A retried event fails again

resume();
hce_flush($node);
is( sql(<<'SQL'),
SELECT reason, attempts, retriable, count(*), bool_and(first_failed_time < last_failed_time)
  FROM hcevents.dead_letters GROUP BY 1, 2, 3 ORDER BY 1, 2
SQL
	"refused|2|t|4|t\ntoo_large|1|f|1|f",
	'who fails again is a dead letter again, with one attempt more');
counts_become('6|1|0|0|5|5', 'the counters have it');
pause();

# A prepared transaction

sql(q{BEGIN; SELECT hcevents.retry_dead_letters('{1}'); PREPARE TRANSACTION 'retry'});
is(sql('SELECT dead FROM hcevents.status'), '5', 'prepared: not yet');
$node->restart;
hce_wait_for_relay($node, 'paused');
is(sql('SELECT dead FROM hcevents.status'), '5', 'prepared, and the server restarts: not yet');
sql(q{COMMIT PREPARED 'retry'});
becomes_true(
	'SELECT dead = 4 FROM hcevents.status',
	'COMMIT PREPARED: the relay is told');

# forget(): one parked, one dead

my $all = sql('SELECT sum(captured) FROM hcevents.delivery_stats');
my $dead = sql('SELECT sum(dead) FROM hcevents.delivery_stats');
fails_like('SELECT hcevents.forget(NULL, NULL)',
	qr/must not be NULL.*HINT/s, 'forget() wants both');
is(sql("SELECT hcevents.forget('note', '$marker-1')"),
	'0', 'forget(): another resource');
is( sql("SET ROLE operator; SELECT hcevents.forget('thing', '$marker-1') + hcevents.forget('thing', '$marker-2')"),
	'2', 'forget() returns how many');
is( sql(<<"SQL"),
SELECT reason, num_nonnulls(key, headers, envelope), retried_time IS NULL, attempts
  FROM hcevents.dead_letter_store WHERE reason = 'forgotten' ORDER BY id
SQL
	"forgotten|0|t|2\nforgotten|0|t|2",
	'the metadata stays');
is( sql(
		"SELECT count(*) FROM hcevents.parked_store WHERE key = '$marker-1' OR envelope LIKE '%$marker-1\"%'"
	),
	'0',
	'nothing of it is parked');
becomes_true(
	"SELECT sum(captured) = $all AND sum(parked) = 0 AND sum(dead) = $dead + 1 AND sum(pending) = 0 FROM hcevents.delivery_stats",
	'a parked event that is forgotten is dead')
  or diag(sql('SELECT captured, delivered, pending, parked, dead FROM hcevents.delivery_stats'));
log_has(
	qr/LOG:  role operator \(session user \S+\) has hcevents forget one resource: dead letters 0, parked events 1\n/,
	'the log says who, not whom');
like(
	($node->psql('postgres', q{SELECT hcevents.retry_dead_letters(since => '-infinity')}))[2],
	qr/cannot be retried: 3/,
	'what is forgotten cannot be retried');

# event_payload()

my $id = sql(q{SELECT event_id FROM hcevents.parked_store WHERE event_type = 'note.made'});
like(sql("SET ROLE operator; SELECT hcevents.event_payload('$id')"),
	qr/^\{"event_id":"$id".*$marker/, 'event_payload() of a parked event');
log_has(
	qr/LOG:  role operator \(session user \S+\) reads the payload of event $id\n/,
	'is in the log');
is( sql(q{SELECT hcevents.event_payload(event_id) IS NULL FROM hcevents.dead_letters WHERE reason = 'forgotten' LIMIT 1}),
	't', 'event_payload() of a forgotten one: NULL');

# Discard, and delete by hand

is( sql(q{SELECT hcevents.discard_dead_letters(ids => ARRAY(SELECT id FROM hcevents.dead_letters WHERE reason = 'too_large'))}),
	'1', 'discard_dead_letters()');
becomes_true(
	'SELECT dead = 2 FROM hcevents.status',
	'status counts it no more');
is( sql('SELECT sum(dead) FROM hcevents.delivery_stats'),
	$dead + 1 - 2,
	'delivery_stats does, but not the two that were retried');
log_has(qr/LOG:  role \S+ discards dead letters of hcevents: 1, ids (\d+) to \1\n/,
	'the log says who');
sql(qq{SELECT hcevents.forget('note', '$marker-note'), hcevents.forget('thing', '$marker-3');
	DELETE FROM hcevents.dead_letter_store});
becomes_true(
	'SELECT dead = 0 FROM hcevents.status',
	'a row deleted by hand is counted no more');
is(sql('SELECT bool_and(captured = delivered + pending + parked + dead) FROM hcevents.delivery_stats'),
	't', 'captured = delivered + pending + parked + dead');

# Retention: old letters lose key and payload

resume();
sql("INSERT INTO things SELECT '$marker-r' || n, noise(150000) FROM generate_series(1, 2) n");
hce_flush($node);
is(sql('SELECT count(*) FROM hcevents.dead_letters WHERE retriable'),
	'2', 'two more');
sql(<<'SQL');
UPDATE hcevents.dead_letter_store SET last_failed_time = now() - interval '29 days 23 hours'
 WHERE id = (SELECT min(id) FROM hcevents.dead_letters);
UPDATE hcevents.dead_letter_store SET last_failed_time = now() - interval '30 days 1 hour'
 WHERE id = (SELECT max(id) FROM hcevents.dead_letters);
SELECT hcevents.restart_relay();
SQL
becomes_true(<<'SQL',
SELECT array_agg(num_nonnulls(key, envelope) ORDER BY id) = '{2,0}' FROM hcevents.dead_letter_store
SQL
	'after 30 days key and payload go, the metadata stays');
is(sql('SELECT count(*) FROM hcevents.dead_letters'), '2', 'both are there');
sql(q{ALTER DATABASE postgres SET hcevents.dead_letter_retention = '2d'});
becomes_true(<<'SQL',
SELECT bool_and(num_nonnulls(key, envelope) = 0) FROM hcevents.dead_letter_store
SQL
	'hcevents.dead_letter_retention says how long');
is(sql('SHOW hcevents.dead_letter_retention'), '2d', 'in days');

# What was retried and is parked no more has been delivered

sql(q{ALTER DATABASE postgres SET hcevents.dead_letter_retention = -1});
hce_wait_for_relay($node);
sql("INSERT INTO things VALUES ('$marker-s', noise(150000))");
hce_flush($node);
pause();
is( sql(q{SELECT hcevents.retry_dead_letters(ids => ARRAY(SELECT id FROM hcevents.dead_letters WHERE retriable))}),
	'1', 'one more is retried');
sql(q{UPDATE hcevents.parked_store SET envelope = '{"small": true}'});
resume();
hce_flush($node);
sql('SELECT hcevents.restart_relay()');
becomes_true(
	'SELECT count(*) = 0 FROM hcevents.dead_letter_store WHERE retried_time IS NOT NULL',
	'the memory of its attempts goes with it');

# A topic name that the settings cannot make: mended before the retry

sql(q{CREATE SCHEMA "odd name"; CREATE TABLE "odd name".x (id text PRIMARY KEY);
	SELECT hcevents.attach('"odd name".x', 'odd');
	ALTER DATABASE postgres SET hcevents.topic = '%p.%s.%r'});
$node->poll_query_until('postgres',
	q{SELECT start_time > now() - interval '30 s' AND state = 'streaming' FROM hcevents.status}
);
hce_wait_until(
	sub {
		sql(qq{INSERT INTO "odd name".x VALUES ('$marker' || clock_timestamp())});
		hce_flush($node);
		sql(q{SELECT count(*) > 0 FROM hcevents.dead_letters WHERE reason = 'invalid_topic'}) eq 't';
	});
like(
	($node->psql('postgres', q{SELECT hcevents.retry_dead_letters(event_type => 'odd.created')}))[2],
	qr/no valid topic name: [1-9]/,
	'a retry needs a topic name');
sql(q{ALTER DATABASE postgres RESET hcevents.topic});
sql("INSERT INTO things VALUES ('$marker-t', noise(150000))");
hce_flush($node);
pause();
cmp_ok(sql(q{SELECT hcevents.retry_dead_letters(event_type => 'odd.created')}),
	'>', 0, 'with other settings it has one');
is(sql(q{SELECT DISTINCT topic FROM hcevents.parked_store WHERE event_type = 'odd.created'}),
	'healthcore.odd', 'the new one');

# No view, and no function that pg_monitor may call, shows a payload or key

sql('CREATE ROLE monitor LOGIN IN ROLE pg_monitor');
is( sql("SELECT count(*) > 0 FROM hcevents.dead_letter_store WHERE envelope LIKE '%$marker%'")
	  . sql("SELECT count(*) > 0 FROM hcevents.parked_store WHERE envelope LIKE '%$marker%'"),
	'tt', 'there are payloads to be seen');
my @sources = split /\n/, sql(<<'SQL');
SELECT c.oid::regclass::text FROM pg_class c
 WHERE relnamespace = 'hcevents'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
   AND has_table_privilege('monitor', c.oid, 'SELECT')
UNION ALL
SELECT p.oid::regproc::text || '()' FROM pg_proc p
 WHERE pronamespace = 'hcevents'::regnamespace AND pronargs = pronargdefaults
   AND prorettype <> 'trigger'::regtype AND has_function_privilege('monitor', p.oid, 'EXECUTE')
SQL
cmp_ok(scalar @sources, '>', 20, 'views and functions are looked at');
foreach my $source (@sources)
{
	my ($failed, $rows, $error) = $node->psql('postgres',
		"SET ROLE monitor; SELECT x::text FROM $source AS x");
	is("$failed$error", '0', "$source can be read");
	unlike($rows, qr/$marker/, "$source shows no payload and no key");
}
foreach my $name ('dead_letter_store', 'parked_store', 'open_records', 'counter_changes', 'position', 'counters', 'gap_log')
{
	fails_like("SET ROLE monitor; TABLE hcevents.$name",
		qr/permission denied/, "$name cannot");
}
fails_like("SET ROLE monitor; SELECT hcevents.event_payload('$id')",
	qr/permission denied/, 'nor event_payload()');

# No payload, no key

my $log = slurp_file($node->logfile);
my @seen = $log =~ /(.*$marker.*)/g;
is_deeply([ map { substr($_, 0, 200) } @seen ],
	[], 'neither key nor payload is in the log, at debug5');
unlike($log, qr/was terminated by|terminating any other/, 'no crash');
$node->stop;
done_testing();
