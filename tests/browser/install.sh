#!/bin/sh
# Installs Playwright beside the environment, in .cache/browser/site, exactly as listed.
set -eu
cd "$(dirname "$0")/../.."
listed=tests/browser/requirements.txt
site=.cache/browser/site
if cmp -s "$listed" "$site/requirements.txt"; then
    exit 0
fi
rm -rf "$site"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$site" \
    --requirement "$listed"
cp "$listed" "$site/requirements.txt"
