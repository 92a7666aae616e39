# shellcheck shell=bash
#
# Where a program of the ORM suite keeps what its setup installs and builds.
# Sourced by test/orm/NAME/setup and test/orm/NAME/program, never run.
#
# The sources are never written to: setup builds a copy of them, and again only
# when a file of the sources has changed.  All runs share the folder; the
# harness lets one setup run at a time.
#
# Sets "here" (the sources) and "cache" (what was built): the folder given as
# setup's argument, else $HCE_ORM_CACHE/NAME.

here=$(cd "$(dirname "$0")" && pwd)
cache=${HCE_ORM_CACHE:-/var/tmp/hcevents-orm}/${here##*/}

# The packages of a tool that the machine has not got already: any later one
# does, and may come from elsewhere.
# packages_for COMMAND PACKAGE...
packages_for()
{
	command -v "$1" >/dev/null || printf '%s\n' "${@:2}"
}

sum_of_sources()
{
	find "$here" -type f -print0 | sort -z | xargs -0 cat | sha256sum
}

# build_once COMMAND...: run it in $cache/src, a copy of the sources, unless
# that was done for these very sources.
build_once()
{
	local sum
	mkdir -p "$cache"
	sum=$(sum_of_sources)
	[ "$(cat "$cache/built" 2>/dev/null)" != "$sum" ] || return 0

	rm -rf "$cache/built" "$cache/src"
	mkdir "$cache/src"
	cp -R "$here/." "$cache/src/"
	chmod -R u+w "$cache/src"
	if ! (cd "$cache/src" && "$@") >"$cache/log" 2>&1; then
		tail -n 40 "$cache/log" >&2
		echo "${0}: failed, see $cache/log" >&2
		return 1
	fi
	# The program may run as another user.
	chmod -R a+rX "$cache"
	echo "$sum" >"$cache/built"
}
