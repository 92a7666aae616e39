# scripts/kafka_consumer.py hands each event to a function, once for a group.

use strict;
use warnings;

use File::Spec;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

use HceTest;

my $kafka = HceTest::Kafka->start;
my $node = hce_node('main', kafka => $kafka);
my $script = hce_top() . '/scripts/kafka_consumer.py';
my $dir = PostgreSQL::Test::Utils::tempdir;

$ENV{KAFKA_BOOTSTRAP_SERVERS} = $kafka->bootstrap;
$ENV{PYTHONPATH} = hce_top() . '/scripts';
hce_patients($node);

# Starts before the topics exist, as on a new system.
my $handle = IPC::Run::start(
	[ '/usr/bin/python3', $script, 'patient.created', 'appointment.booked' ],
	'<', File::Spec->devnull, '>', "$dir/out", '2>', "$dir/err");
$node->safe_psql('postgres', <<'SQL');
INSERT INTO patients (name, email) VALUES ('John Doe', 'john@example.com');
INSERT INTO appointments (patient_id) VALUES (1);
UPDATE patients SET name = 'somebody else';
SQL
hce_flush($node);
ok(hce_wait_until(sub { -e "$dir/out" && (slurp_file("$dir/out") =~ tr/\n//) >= 2 }),
	'both events arrived');
$handle->signal('TERM');
$handle->finish;
is($handle->full_result(0), 0, 'status 0 after SIGTERM');
my %events = map { $_->{event_type} => $_ }
  map { decode_json($_) } split /\n/, slurp_file("$dir/out");
is_deeply([ sort keys %events ], [ 'appointment.booked', 'patient.created' ],
	'only the events asked for');
is($events{'patient.created'}{data}{name}, 'John Doe', 'with their data');
unlike(slurp_file("$dir/err"), qr/John/, 'the log names no patient');

# The class of the guide, and a group that goes on where it was.
my ($status, $stdout, $stderr) = hce_run('/usr/bin/python3', '-c', <<'PY');
from kafka_consumer import KafkaConsumer
seen = []
handled = KafkaConsumer(['patient.updated'], handler=seen.append).consume(limit=1)
print(handled, seen[0]['data']['name'])
PY
is($stdout, "1 somebody else\n", 'KafkaConsumer(...).consume()')
  or diag($stderr);

# A handler that fails keeps its event for the next start.
($status, $stdout, $stderr) = hce_run('/usr/bin/python3', '-c', <<'PY');
from kafka_consumer import KafkaConsumer
def fail(event):
    raise RuntimeError('not today')
try:
    KafkaConsumer(['patient.created'], handler=fail, group_id='fragile').consume()
except RuntimeError:
    print('failed')
seen = []
KafkaConsumer(['patient.created'], handler=seen.append, group_id='fragile').consume(limit=1)
print(len(seen))
PY
is($stdout, "failed\n1\n", 'an event whose handler failed comes again')
  or diag($stderr);

# Manual publishing from Python is SQL.
$node->safe_psql('postgres',
	q{SELECT hcevents.publish('patient.merged', '{"patient_id": 123}', '123')});
hce_flush($node);
ok(hce_wait_until(sub { $kafka->count('healthcore.patient.merged') }),
	'hcevents.publish() is delivered');
my ($merged) = $kafka->messages('healthcore.patient.merged');
is($merged->{key}, '123', 'hcevents.publish() sets the key');
is(decode_json($merged->{value})->{data}{patient_id}, 123, 'and the data');

done_testing();
