#!/bin/sh
# Installs the real vLLM, makes its model, and runs this folder's tests with Parley's own Python. README.md says more.
set -eu
cd "$(dirname "$0")/../.."
sh tests/realvllm/install.sh
.cache/vllm/venv/bin/python -m tests.realvllm.tiny_model .cache/vllm/tiny
REALVLLM=1 exec .venv/bin/python -m pytest tests/realvllm "$@"
