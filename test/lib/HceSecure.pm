# Certificates, options and statuses for the tests of a secured Kafka.
#
#	my $secure = HceSecure->new;			# a folder with an authority
#	$secure->certificate('broker', name => 'localhost');
#	$secure->write('client.properties', "security.protocol=ssl\n...");
#
# Everything is made by openssl when the test runs.
package HceSecure;

use strict;
use warnings;

use HceTest;
use PostgreSQL::Test::Utils;
use Test::More;

sub new
{
	my ($class) = @_;
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir('secure') },
	  $class;

	$self->authority('ca');
	return $self;
}

sub path { return "$_[0]->{dir}/$_[1]"; }

sub openssl
{
	my (@arguments) = @_;
	my ($status, undef, $stderr) = hce_run('openssl', @arguments);

	BAIL_OUT("openssl @arguments: $stderr") if $status != 0;
	return;
}

# NAME.pem and NAME.key of a certificate authority.
sub authority
{
	my ($self, $name) = @_;
	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 10,
		'-subj', "/CN=$name", '-keyout', $self->path("$name.key"),
		'-out', $self->path("$name.pem"));
	return;
}

# FILE.pem and FILE.key, and FILE.both for Kafka, with
#	name => of the host or user; days => how long valid (10, -1 = expired);
#	authority => 'ca'; password => of the key
sub certificate
{
	my ($self, $file, %options) = @_;
	my $authority = $self->path($options{authority} // 'ca');
	my $base = $self->path($file);

	$self->write("$file.ext", "subjectAltName=DNS:$options{name}\n");
	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj',
		"/CN=$options{name}", '-keyout', "$base.key", '-out', "$base.csr");
	openssl('x509', '-req', '-in', "$base.csr", '-CA', "$authority.pem",
		'-CAkey', "$authority.key", '-CAcreateserial', '-days',
		$options{days} // 10, '-extfile', "$base.ext", '-out',
		"$base.new");
	# of a running server's file, a whole one takes the place of a whole one
	$self->write("$file.both",
		slurp_file("$base.key") . slurp_file("$base.new"));
	rename "$base.new", "$base.pem" or BAIL_OUT("rename: $!");
	openssl('rsa', '-aes256', '-in', "$base.key", '-out', "$base.enc",
		'-passout', "pass:$options{password}")
	  if defined $options{password};
	return;
}

# Write a file; mode 0600 unless told.
sub write
{
	my ($self, $file, $text, $mode) = @_;
	my $path = $self->path($file);

	open my $handle, '>', "$path.tmp" or BAIL_OUT("$path: $!");
	print $handle $text;
	close $handle;
	chmod $mode // 0600, "$path.tmp";
	rename "$path.tmp", $path or BAIL_OUT("$path: $!");
	return;
}

# Set settings of a server, and reload.
sub configure
{
	my ($self, $node, %settings) = @_;
	$node->safe_psql('postgres',
		"ALTER SYSTEM SET hcevents.$_ = '$settings{$_}'")
	  foreach sort keys %settings;
	$node->reload;
	return;
}

# Wait until state, waiting_for and last_error of the relay match; one test.
sub status_is
{
	my ($self, $node, $state, $waiting_for, $error, $what) = @_;
	my @row;

	my $found = hce_wait_until(
		sub {
			@row = split /\|/,
			  $node->safe_psql('postgres',
				'SELECT state, waiting_for, last_error FROM hcevents.status'
			  ), 3;
			return $row[0] eq $state
			  && ($row[1] // '') =~ $waiting_for
			  && ($row[2] // '') =~ $error;
		},
		90);
	return ok($found, $what)
	  ? note("$what: @row")
	  : diag("$what: @row");
}

1;
