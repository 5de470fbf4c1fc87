#!/bin/sh
# Builds the HTTP/2 load generator, makes the peers' environment and runs http2.py with the given options.
set -eu
cd "$(dirname "$0")/.."
cache=.cache/bench

fail() {
    echo "bench: $*" >&2
    exit 1
}

[ "$(uname -s)" = Linux ] || fail "Linux is needed (epoll, taskset, /proc)"
for program in gcc taskset; do
    command -v "$program" >/dev/null 2>&1 || fail "not installed: $program; on Debian or Ubuntu: apt-get install gcc libc6-dev util-linux"
done
[ -f /usr/include/zlib.h ] && [ -f /usr/include/openssl/evp.h ] || fail "no headers of zlib and OpenSSL: apt-get install zlib1g-dev libssl-dev"
[ -x .venv/bin/python ] || fail "no environment yet: make setup"

mkdir -p "$cache"
sources="benchmarks/http2_load.c benchmarks/http2_sign.c benchmarks/wire.c"
upstream="benchmarks/load.c benchmarks/upstream.c benchmarks/wire.c"
# shellcheck disable=SC2086
gcc -std=gnu11 -O2 -Wall -Wextra -o "$cache/http2-load" $sources -lcrypto -lz
# shellcheck disable=SC2086
gcc -std=gnu11 -O2 -Wall -Wextra -o "$cache/load" $upstream

if ! cmp -s benchmarks/peers/http2-requirements.txt "$cache/http2-venv/requirements.txt"; then
    echo "bench: installing the peers into $cache/http2-venv"
    .venv/bin/python -m venv --clear "$cache/http2-venv"
    "$cache/http2-venv/bin/python" -m pip install -qq --disable-pip-version-check -r benchmarks/peers/http2-requirements.txt
    cp benchmarks/peers/http2-requirements.txt "$cache/http2-venv/requirements.txt"
fi

ulimit -n "$(ulimit -Hn)"
exec .venv/bin/python -m benchmarks.http2 "$@"
