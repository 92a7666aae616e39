# shellcheck shell=bash
#
# make_venv CACHE REQUIREMENTS: a virtual environment with exactly these
# packages, made anew when the file has changed, else left alone.  Sourced by
# the setup of each program in Python.

make_venv()
{
	local cache=$1 requirements=$2
	if [ -x "$cache/venv/bin/python" ] &&
		cmp -s "$requirements" "$cache/requirements.txt"; then
		return 0
	fi
	rm -rf "$cache/venv" "$cache/requirements.txt"
	mkdir -p "$cache"
	/usr/bin/python3 -m venv "$cache/venv"
	"$cache/venv/bin/pip" install --quiet --no-input \
		--disable-pip-version-check -r "$requirements"
	# The mark that it is whole comes last.
	cp "$requirements" "$cache/requirements.txt"
}
