#!/bin/sh
# Installs AWS's Node packages into .cache/node, exactly as locked, and runs the Node client against the gateway.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p .cache/node
cp tests/node/package.json tests/node/package-lock.json .cache/node/
npm ci --prefix .cache/node --ignore-scripts --no-audit --no-fund --loglevel=error
exec .venv/bin/python -m pytest tests/node "$@"
