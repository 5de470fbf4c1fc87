#!/bin/sh
# Prints a Python >= 3.12 that runs: $PYTHON, then PATH, then pyenv's versions folder.
# A version manager's shim can be on PATH and still refuse to run, so each candidate is executed.
runs() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}
for candidate in ${PYTHON:-} python3.13 python3.12 python3.14 python3 python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python3 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[24]*/bin/python3; do
    if runs "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
echo "parley: no Python >= 3.12 with venv found; install one (Debian/Ubuntu: apt install python3.12-venv or" \
    "python3-venv; macOS: brew install python@3.13) or name it: make PYTHON=/path/to/python3" >&2
exit 1
