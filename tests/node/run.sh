#!/bin/sh
# Installs what is needed and runs the Node client against the gateway.
set -eu
cd "$(dirname "$0")/../.."
sh tests/node/install.sh
exec .venv/bin/python -m pytest tests/node "$@"
