#!/bin/sh
# Installs AWS's Node packages into .cache/node, exactly as locked.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p .cache/node
cp tests/node/package.json tests/node/package-lock.json .cache/node/
exec npm ci --prefix .cache/node --ignore-scripts --no-audit --no-fund --loglevel=error
