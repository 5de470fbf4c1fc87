#!/bin/sh
# Style, types and import layers.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
ruff format --check -q .
ruff check -q .
mypy --no-error-summary
lint-imports --no-cache >/dev/null || lint-imports --no-cache
