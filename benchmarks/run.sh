#!/bin/sh
# `make bench`: builds the load generator, makes the peers' environment and runs hotpath.py with the given options.
set -eu
cd "$(dirname "$0")/.."
cache=.cache/bench
PATH="$PATH:/usr/sbin"

fail() {
    echo "bench: $*" >&2
    exit 1
}

[ "$(uname -s)" = Linux ] || fail "Linux is needed (epoll, taskset, /proc)"
missing=
for program in gcc nginx taskset; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -z "$missing" ] || fail "not installed:$missing; on Debian or Ubuntu: apt-get install gcc libc6-dev nginx util-linux"
[ -x .venv/bin/python ] || fail "no environment yet: make setup"

mkdir -p "$cache"
sources="benchmarks/load.c benchmarks/upstream.c benchmarks/wire.c"
# shellcheck disable=SC2086
gcc -std=gnu11 -O2 -Wall -Wextra -o "$cache/load" $sources

if ! cmp -s benchmarks/peers/requirements.txt "$cache/venv/requirements.txt"; then
    echo "bench: installing the peers into $cache/venv"
    .venv/bin/python -m venv --clear "$cache/venv"
    "$cache/venv/bin/python" -m pip install -qq --disable-pip-version-check -r benchmarks/peers/requirements.txt
    cp benchmarks/peers/requirements.txt "$cache/venv/requirements.txt"
fi

# Two sockets a session; the hard limit is all that a server may be given.
ulimit -n "$(ulimit -Hn)"
exec .venv/bin/python -m benchmarks.hotpath "$@"
