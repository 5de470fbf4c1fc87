#!/bin/sh
# The default suite: what `make test` and the CI run. Given arguments, they go to pytest, and that alone is run.
set -eu
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
    exec .venv/bin/python -m pytest "$@"
fi
sh scripts/check.sh
# Each module of the pure rooms is held to full branch coverage by its own tests.
.venv/bin/python scripts/module_coverage.py
# They have been run with that; these are all the others, in as many processes as there are cores, up to four.
# shellcheck disable=SC2046
exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 $(.venv/bin/python scripts/module_coverage.py --ignores)
