# shellcheck shell=bash disable=SC2154
#
# The Django program under gunicorn.  Sourced after lib.sh, never run.

# By the name of the database, without orm_.
declare -A ports

# serve NAME SETTINGS: gunicorn with the current database
serve()
{
	local name=$1 port pid
	port=$(free_port)
	PGAPPNAME=http DJANGO_SETTINGS_MODULE=$2 PYTHONPATH=$orm/django \
		KAFKA_BOOTSTRAP_SERVERS=$bootstrap KAFKA_TOPIC_PREFIX=orm_$name \
		"$HCE_ORM_CACHE/django/venv/bin/gunicorn" --workers 2 --threads 4 \
		--worker-class gthread --keep-alive 60 --log-level warning \
		--bind "127.0.0.1:$port" healthcore.wsgi >"$work/$name.gunicorn" 2>&1 &
	pid=$!
	pids+=("$pid")
	ports[$name]=$port
	for _ in $(seq 1 100); do
		! curl -s -f -o "$work/$name.ready" "http://127.0.0.1:$port/api/v1/patients/" || return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	cat "$work/$name.gunicorn" >&2
	die "gunicorn does not serve $name"
}
