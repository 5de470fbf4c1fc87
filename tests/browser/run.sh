#!/bin/sh
# Installs Playwright and drives the pages in the Chromium that the system has. Without one this fails and says so.
# SCREENSHOTS names the folder for pictures of the pages (.cache/browser/screenshots).
set -eu
cd "$(dirname "$0")/../.."
sh tests/browser/install.sh
PYTHONPATH=.cache/browser/site${PYTHONPATH:+:$PYTHONPATH} BROWSER_TESTS=1 exec .venv/bin/python -m pytest tests/browser "$@"
