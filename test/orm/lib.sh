# shellcheck shell=bash disable=SC2154
#
# What the commands of the ORM suite share: the private servers, a database
# for each program, checks that are counted.  Sourced, never run; the caller
# has set "top" and has sourced test/lib/setup.sh.

orm=$top/test/orm
kafka=$top/test/kafka/kafka
bindir=$(pg_config --bindir)
export HCE_ORM_CACHE=${HCE_ORM_CACHE:-/var/tmp/hcevents-orm}
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
checks=0 passed=0 failed=0
pids=()

# An address that no other part of the machine uses: the kernel chose it.
free_port()
{
	/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

stop_world()
{
	local pid
	for pid in "${pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[ -n "${work:-}" ] || return 0
	stop_cluster "$work" >/dev/null 2>&1 || true
	"$kafka" kill "$work/kafka" >/dev/null 2>&1 || true
	if [ "${HCE_TEST_KEEP:-0}" = 1 ]; then
		say "kept $work"
	else
		rm -rf "$work"
	fi
}

# One PostgreSQL with hcevents and one Kafka, both stopped at the exit.
start_world()
{
	work=$(mktemp -d /tmp/hcevents-orm.XXXXXX)
	chmod 755 "$work"
	trap stop_world EXIT
	trap 'exit 1' INT TERM
	! is_root || chown postgres "$work"
	say 'starting Kafka and PostgreSQL'
	"$kafka" start "$work/kafka" >/dev/null
	bootstrap=$("$kafka" bootstrap "$work/kafka")
	start_cluster "$work" "hcevents.bootstrap_servers = '$bootstrap'" \
		'max_worker_processes = 32' 'max_connections = 100' \
		'log_statement = none' || die 'the private server did not start'
	sql postgres -c 'CREATE ROLE clinic LOGIN'
	mkdir -p "$HCE_ORM_CACHE"
}

# sql DATABASE PSQL-ARGUMENT...: as the superuser
sql()
{
	local database=$1
	shift
	"$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$work" -U postgres \
		-d "$database" "$@"
}

# make_database NAME: database orm_NAME of role clinic, and its environment
make_database()
{
	export PGHOST=$work PGPORT=5432 PGUSER=clinic PGDATABASE=orm_$1
	export DATABASE_URL="postgresql://clinic@/orm_$1?host=$work&port=$PGPORT"
	sql postgres -c "CREATE DATABASE orm_$1 OWNER clinic" \
		-c "ALTER DATABASE orm_$1 SET hcevents.topic_prefix = 'orm_$1'"
	sql "orm_$1" -c 'CREATE EXTENSION hcevents' \
		-c "SELECT hcevents.grant_access('clinic', 'attach')" >/dev/null
}

# setup NAME: what the program needs; by one run at a time, since they share
# the cache.  -o: a daemon that a build tool leaves does not keep the lock.
setup()
{
	local packages
	packages=$("$orm/$1/setup" --packages)
	# shellcheck disable=SC2086
	[ -z "$packages" ] || install_packages "$work/apt.log" $packages
	flock -o "$HCE_ORM_CACHE/$1.lock" \
		"$orm/$1/setup" "$HCE_ORM_CACHE/$1" >"$work/$1.setup.log" 2>&1 || {
		tail -n 40 "$work/$1.setup.log" >&2
		die "$1: setup failed"
	}
}

# Lines STEP WHAT COUNT that are due for a program, sorted.
expected()
{
	local files=("$orm/expected")
	[ ! -e "$orm/$1/extra" ] || files+=("$orm/$1/extra")
	sort "${files[@]}"
}

# lay_ledger NAME: the ledger and a sequence for each step
lay_ledger()
{
	local step
	{
		cat "$orm/ledger.sql"
		for step in $(expected "$1" | cut -d ' ' -f 1 | sort -u); do
			echo "CREATE SEQUENCE ledger_tried.\"$step\";"
		done
	} | "$bindir/psql" -X -q -v ON_ERROR_STOP=1 -f -
}

# attach: the tables publish, called by their owner
attach()
{
	"$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "SELECT hcevents.attach_healthcore(
		patient_columns => '{name,email,version}',
		appointment_columns => '{patient_id,status,version}')" >/dev/null
}

# django_migrate SETTINGS NUMBER [OPTION...]: to that migration of the package
# patients.SETTINGS, up or down, as healthcore.settings_SETTINGS has it
django_migrate()
{
	local settings=$1 name
	name=$(basename "$orm/django/patients/$1/$2"_*.py .py)
	shift 2
	DJANGO_SETTINGS_MODULE=healthcore.settings_$settings \
		"$HCE_ORM_CACHE/django/venv/bin/python" -B "$orm/django/manage.py" \
		migrate --no-input "$@" patients "$name"
}

# verify DATABASE [OPTION...]: prints the verifier's line
verify()
{
	local database=$1
	shift
	/usr/bin/python3 -B "$top/test/verify/verify" --wait 30 --psql "$bindir/psql" \
		--conninfo "host=$work user=postgres dbname=$database" \
		--bootstrap-servers "$bootstrap" --topic-prefix "$database" "$@"
}

# check STATUS WHAT [FILE...]: one counted check; files are shown if it failed
check()
{
	local status=$1 what=$2 file
	shift 2
	checks=$((checks + 1))
	if [ "$status" = 0 ]; then
		passed=$((passed + 1))
		echo "ok $checks - $what"
		return 0
	fi
	failed=$((failed + 1))
	echo "not ok $checks - $what"
	for file; do
		sed 's/^/    /' "$file" | tail -n 40
	done
}

# succeeds WHAT FILE COMMAND...: a check that a command succeeds; FILE gets
# what it says
succeeds()
{
	local what=$1 file=$2 status=0
	shift 2
	"$@" >"$file" 2>"$file.err" || status=$?
	check "$status" "$what" "$file" "$file.err"
	return "$status"
}

close_checks()
{
	echo
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
