# The Python package in clients/python: its pytest suite against a real server
# and a real Kafka, mypy --strict, and what a wheel of it holds.
#
# The suite's own tests are each one assertion here.  One that is skipped is a
# failure: everything that it needs is installed first.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use HceTest;

my $package = hce_top() . '/clients/python';
my $dir = PostgreSQL::Test::Utils::tempdir;

my ($status, $python, $stderr) = hce_run("$package/tests/venv");
BAIL_OUT("no virtual environment: $stderr") if $status != 0;
chomp $python;

my $kafka = HceTest::Kafka->start;
my $node = hce_node('main',
	kafka => $kafka,
	extension => 0,
	conf => 'max_worker_processes = 24');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGUSER} = getpwuid($<);
$ENV{PGDATABASE} = 'postgres';
$ENV{KAFKA_BOOTSTRAP_SERVERS} = $kafka->bootstrap;
$ENV{PYTHONPATH} = "$package/src";
$ENV{PYTHONDONTWRITEBYTECODE} = 1;

my $stdout;
($status, $stdout, $stderr) = hce_run(
	$python, '-m', 'pytest', '-v', '-p', 'no:cacheprovider', '--tb=short',
	'-c', "$package/pyproject.toml", "$package/tests");
my $tests = 0;
while ($stdout =~ /^(\S+\.py::.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b/mg)
{
	my ($name, $result) = ($1, $2);
	$name =~ s/^.*\///;
	is($result, 'PASSED', $name);
	$tests++;
}
is($status, 0, 'pytest found no fault') or diag($stdout, $stderr);
my ($said) = $stdout =~ /\b(\d+) passed/;
is($tests, $said, 'each test is counted');

# Types
($status, $stdout, $stderr) = hce_run(
	$python, '-m', 'mypy', '--strict', '--cache-dir', "$dir/mypy",
	'--config-file', "$package/pyproject.toml", "$package/src");
is($status, 0, 'mypy --strict finds no fault') or diag($stdout, $stderr);
like($stdout, qr/no issues found in \d\d source files/, 'in all of its files');

# The wheel
system('cp', '-r', $package, "$dir/package");
($status, $stdout, $stderr) = hce_run(
	$python, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-index',
	'--no-build-isolation', '--no-cache-dir', '-w', $dir, "$dir/package");
is($status, 0, 'a wheel can be built') or diag($stdout, $stderr);
my ($wheel) = glob "$dir/hcevents-*.whl";
my @content = split /\n/, (hce_run($python, '-c', <<'PY', $wheel // ''))[1];
import sys, zipfile
print('\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))
PY
foreach my $file (
	qw(__init__.py py.typed consumer.py cutover.py compare.py django/apps.py
	django/checks.py django/operations.py django/cutover.py))
{
	ok((grep { $_ eq "hcevents/$file" } @content), "with $file");
}
ok(!(grep { /test/ } @content), 'without the tests');

done_testing();
