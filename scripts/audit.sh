#!/bin/sh
# Looks the locked releases up for known vulnerabilities: `make audit`. Needs a vulnerability service, PyPI's by default.
set -eu
cd "$(dirname "$0")/.."
if [ ! -x .cache/audit/bin/pip-audit ]; then
    .venv/bin/python -m venv --clear .cache/audit
    .cache/audit/bin/python -m pip install -qq --disable-pip-version-check 'pip-audit>=2.7'
fi
status=0
.cache/audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip --strict --progress-spinner off "$@" \
    2>.cache/audit/errors || status=$?
if [ "$status" -ne 0 ] && grep -qiE 'could not be audited|connection|resolve|timed out|service|403|503' .cache/audit/errors; then
    echo "audit: the vulnerability service can't be reached from here; nothing was looked up." >&2
    echo "audit: run this where https://pypi.org can be asked, or give another one: make audit ARGS='-s osv'" >&2
    exit 2
fi
cat .cache/audit/errors >&2
exit "$status"
