#!/bin/sh
# Makes .venv with Parley, its embedded engine and the development tools at the locked versions.
# uv where it is installed; venv and pip otherwise.
set -eu
cd "$(dirname "$0")/.."
if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
    python=$(sh scripts/find-python.sh 2>/dev/null) || python=">=3.12"
    uv venv --quiet --allow-existing --python "$python" .venv
    VIRTUAL_ENV="$PWD/.venv" uv pip install --quiet --constraint requirements.lock --editable '.[engine,otlp,sagemaker,dev]'
else
    python=$(sh scripts/find-python.sh)
    echo "parley: making .venv with $("$python" --version) (about 20 s with a warm cache, minutes without)"
    [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' ||
        "$python" -m venv --clear .venv
    .venv/bin/python -m pip install -qq --disable-pip-version-check \
        --constraint requirements.lock --editable '.[engine,otlp,sagemaker,dev]'
fi
# AWS's packages for Node are for tests alone, and only where Node is there anyway.
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
    sh tests/node/install.sh >/dev/null || echo "parley: AWS's packages for Node could not be installed; their tests will be skipped" >&2
fi
touch .venv/.ready
