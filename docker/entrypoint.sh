#!/bin/bash
#
# Starts PostgreSQL; at the first start it makes the cluster before.
#
#   POSTGRES_PASSWORD   of the superuser; needed at the first start
#   POSTGRES_USER       the superuser (postgres)
#   POSTGRES_DB         the database (as the user)
#
# Files in /docker-entrypoint-initdb.d/*.sql and *.sh are run once, in the new
# database.  Any other command than "postgres" is run as it is.
#
set -euo pipefail

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

as_postgres()
{
	setpriv --reuid=postgres --regid=postgres --init-groups \
		env HOME=/var/lib/postgresql "$@"
}

run_initdb_files()
{
	local file
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sh) as_postgres env PGHOST=/var/run/postgresql PGUSER="$user" \
			PGDATABASE="$database" bash "$file" ;;
		*.sql) as_postgres psql -X -q -v ON_ERROR_STOP=1 \
			-h /var/run/postgresql -U "$user" -d "$database" -f "$file" ;;
		esac
	done
}

first_start()
{
	local password
	[ -n "${POSTGRES_PASSWORD:-}" ] || {
		echo 'entrypoint: POSTGRES_PASSWORD is needed at the first start' >&2
		exit 1
	}
	password=$(mktemp)
	printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
	chown postgres "$password"
	as_postgres initdb -D "$PGDATA" -U "$user" --pwfile="$password" \
		--auth-local=trust --auth-host=scram-sha-256 \
		--encoding=UTF8 --locale=C.UTF-8
	rm -f "$password"
	{
		echo "listen_addresses = '*'"
		echo "shared_preload_libraries = 'hcevents'"
	} >>"$PGDATA/postgresql.conf"
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"

	# Not reachable from outside until everything is in place.
	as_postgres pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
	[ "$database" = postgres ] ||
		as_postgres createdb -h /var/run/postgresql -U "$user" "$database"
	run_initdb_files
	as_postgres pg_ctl -D "$PGDATA" -m fast -w stop
}

[ "${1:-postgres}" = postgres ] || exec "$@"

chown postgres:postgres "$PGDATA"
chmod 700 "$PGDATA"
[ -s "$PGDATA/PG_VERSION" ] || first_start
shift || true
exec setpriv --reuid=postgres --regid=postgres --init-groups \
	env HOME=/var/lib/postgresql postgres -D "$PGDATA" "$@"
