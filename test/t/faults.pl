# Three minutes of the fault suite (test/fault/run), of a seed that is always
# the same: each fault that needs no root comes once at least.
#
# HCE_FAULT_MINUTES and HCE_FAULT_SEED ask for more, or for others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $minutes = $ENV{HCE_FAULT_MINUTES} // 3;
my $seed = $ENV{HCE_FAULT_SEED} // 20;
my $keep = PostgreSQL::Test::Utils::tempdir('faults') . '/kept';

my ($status, $stdout, $stderr) = hce_run(hce_top() . '/test/fault/run',
	'--minutes', $minutes, '--seed', $seed, '--keep', $keep);
diag("seed $seed");
note($stdout);
is($status, 0, "the faults of seed $seed do no harm")
  or diag($stdout, $stderr);
my ($summary) = $stdout =~ /^(faults=.*)$/m;
my %counts = ($summary // '') =~ /(\w+)=(\d+)/g;
cmp_ok($counts{faults} // 0, '>=', 2 * $minutes, 'faults came');
cmp_ok($counts{events} // 0, '>=', 500 * $minutes, 'under load');
is($counts{$_}, 0, "$_=0")
  foreach qw(missing phantom out_of_order malformed lag);
like($stdout, qr/duplicate=\d+/, 'duplicates are counted');
done_testing();
