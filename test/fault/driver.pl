# The driver of the fault suite, started by run, which says what it does.
#
#	driver.pl EVIDENCE LIST MINUTES SEED RATE FAULTS VERIFY_EVERY

use strict;
use warnings;

# Before the test modules send it to their log.
my $out;
BEGIN { open $out, '>&', \*STDOUT or die; $out->autoflush(1); }

use Faults;
use FaultWorld;
use HceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($keep, $list, $minutes, $seed, $rate, $wanted, $verify_every) = @ARGV;
my $disk = $ENV{HCE_FAULT_DISK};
my $started = time();
my %done;
my $world;

sub report
{
	my ($line) = @_;
	printf $out "%7.1f %s\n", time() - $started, $line;
	return;
}

# Random numbers of our own: the test modules take from Perl's.
my $state = $seed % 2147483648;

sub random
{
	use integer;
	$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	no integer;
	return ($state >> 8) / (1 << 23);
}

# The faults to choose from.
sub chosen_faults
{
	my @names = map { $_ eq 'all' ? Faults::names() : $_ eq 'default' ? Faults::default_names() : $_ }
	  split /,/, $wanted;
	push @names, 'disk_full' if defined $disk && $wanted eq 'default';
	my %known = map { $_ => 1 } Faults::names();
	my @unknown = grep { !$known{$_} } @names;
	die "unknown faults: @unknown\n" if @unknown;
	if (!defined $disk && grep { $_ eq 'disk_full' } @names)
	{
		report('disk_full is left out: it needs root and a mount');
		@names = grep { $_ ne 'disk_full' } @names;
	}
	return sort @names;
}

# Each fault once in some order, then each again in another.
my @deck;

sub next_fault
{
	my @names = @_;
	if (!@deck)
	{
		while (@names)
		{
			push @deck, splice @names, int(random() * @names), 1;
		}
	}
	my $name = shift @deck;
	return {
		name => $name,
		pause => 1 + 2 * random(),
		seconds => 1 + 5 * random(),
		choice => random()
	};
}

sub run_fault
{
	my ($fault) = @_;
	my $name = $fault->{name};

	if (Faults::wants_quiet($name))
	{
		$world->begin_epoch;
	}
	else
	{
		sleep($fault->{pause});
	}
	report(sprintf 'fault %d: %s, %.1f s, %.3f', 1 + $done{all}++, $name, @{$fault}{qw(seconds choice)});
	$done{$name}++;
	$world->{allowed_duplicates} += Faults::allowed_duplicates($name);
	Faults::inject($name, $world, $fault->{seconds}, $fault->{choice});
	$world->start_load if !$world->{load};
	$world->heal;
	return;
}

sub run
{
	my @names = chosen_faults();
	$done{all} = 0;
	$world = FaultWorld->new(keep => $keep, rate => $rate,
		wal => defined $disk ? "$disk/wal" : undef, say => \&report);
	report("seed $seed, faults @names");
	my $end = time() + $minutes * 60;
	my $verified = time();
	while (time() < $end)
	{
		run_fault(next_fault(@names));
		if (time() - $verified > $verify_every)
		{
			$world->verify;
			$world->start_load;
			$verified = time();
		}
	}
	$world->verify;
	return;
}

sub summary
{
	my $totals = $world->totals;
	my @kinds = map { "$_=$done{$_}" } grep { $_ ne 'all' } sort keys %done;

	print $out "seed=$seed minutes=$minutes @kinds\n";
	print $out join(' ', "faults=$done{all}", map { "$_=$totals->{$_}" }
		  qw(events missing phantom duplicate out_of_order malformed lag)), "\n";
	return;
}

if ($list)
{
	my %default = map { $_ => 1 } Faults::default_names();
	print $out $_, $default{$_} ? '' : ' *', "\n" foreach Faults::names();
	exit 0;
}

$SIG{INT} = $SIG{TERM} = sub { die "interrupted\n" };
my $well = eval { run(); 1 };
my $why = $@;
if (!$well)
{
	report("FAILED: $why");
	print $out "to see it again: test/fault/run --seed $seed --minutes $minutes --rate $rate --faults $wanted\n";
	eval { $world->keep_evidence; 1 } or report("no evidence: $@") if $world;
}
eval { summary(); 1 } or report("no summary: $@") if $world && $done{all};
ok($well, 'nothing is lost');
$world->end if $world;
done_testing();
exit($well ? 0 : 1);

END
{
	my $status = $?;
	$world->end if $world;
	$? = $status;
}
