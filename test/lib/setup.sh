# shellcheck shell=bash disable=SC2034
#
# What test/demo and test/run need of a machine.  Sourced, never run.

export DEBIAN_FRONTEND=noninteractive
export LANG=C.UTF-8
unset LC_ALL LANGUAGE

build_packages='gcc make libc6-dev postgresql-15 postgresql-server-dev-15
	librdkafka-dev uuid-dev'
test_packages='perl libipc-run-perl python3 python3-venv python3-confluent-kafka maven
	openjdk-17-jre-headless valgrind'
image_packages='buildah podman runc debootstrap'

say()
{
	printf '== %s\n' "$*" >&2
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

is_root()
{
	[ "$(id -u)" = 0 ]
}

have_package()
{
	[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = \
		'install ok installed' ]
}

apt_install()
{
	apt-get install -y -q --no-install-recommends \
		-o Dpkg::Options::=--force-confold "$@" </dev/null
}

# PostgreSQL's package would create and start a cluster of its own.
install_postgresql_quietly()
{
	local conf=/etc/postgresql-common/createcluster.conf
	apt_install postgresql-common
	cp -p "$conf" "$conf.hcevents"
	echo 'create_main_cluster = false' >>"$conf"
	local status=0
	apt_install postgresql-15 || status=$?
	mv "$conf.hcevents" "$conf"
	return "$status"
}

# Install what is missing of the packages named; "log" gets apt's talk.
install_packages()
{
	local log=$1 package missing=()
	shift
	command -v dpkg-query >/dev/null || return 0
	for package in "$@"; do
		have_package "$package" || missing+=("$package")
	done
	[ "${#missing[@]}" -gt 0 ] || return 0
	is_root || die "please install as root: ${missing[*]}"
	say "installing ${missing[*]}"
	{
		apt-get update -q </dev/null &&
			case " ${missing[*]} " in
			*' postgresql-15 '*) install_postgresql_quietly ;;
			esac &&
			apt_install "${missing[@]}"
	} >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		die 'apt-get failed'
	}
}

# A server refuses to run as root: run a command as user postgres then.
as_postgres()
{
	if is_root; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# start_cluster DIR [CONF LINE]...: a private server whose only address is a
# socket in DIR.
start_cluster()
{
	local dir=$1 bindir
	shift
	bindir=$(pg_config --bindir)
	as_postgres "$bindir/initdb" -D "$dir/data" -A trust -U postgres -N \
		--encoding=UTF8 --locale=C >"$dir/initdb.log" 2>&1 || {
		cat "$dir/initdb.log" >&2
		return 1
	}
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir'"
		echo "shared_preload_libraries = 'hcevents'"
		printf '%s\n' "$@"
	} >>"$dir/data/postgresql.conf"
	# Without descriptors of ours: who waits for a pipe's end, or for a lock,
	# must not wait for the server.
	as_postgres "$bindir/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -s \
		start </dev/null >/dev/null 2>&1 || {
		tail -n 20 "$dir/server.log" >&2
		return 1
	}
}

stop_cluster()
{
	local dir=$1 bindir
	bindir=$(pg_config --bindir)
	[ -e "$dir/data/postmaster.pid" ] || return 0
	as_postgres "$bindir/pg_ctl" -D "$dir/data" -m fast -w -t 60 -s stop ||
		as_postgres "$bindir/pg_ctl" -D "$dir/data" -m immediate -s stop
}
