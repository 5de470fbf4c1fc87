#!/bin/sh
# The default suite: what `make test` and the CI run.
set -eu
cd "$(dirname "$0")/.."
sh scripts/check.sh
exec .venv/bin/python -m pytest "$@"
