# `make demo` and `make test` need nothing but a Python >= 3.12; everything else is installed into .venv.
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check format sim audit fuzz recovery deploys storms bench bench-http2 test-browser test-node test-vllm lock clean
ARGS ?=
BIN := .venv/bin

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.ready: pyproject.toml requirements.lock scripts/bootstrap.sh
	@sh scripts/bootstrap.sh

setup: .venv/.ready ## make the environment in .venv

demo: .venv/.ready ## stream a recording through the gateway and the embedded engine (ARGS="my.wav")
	@$(BIN)/parley demo $(ARGS)

serve: .venv/.ready ## run the gateway with the embedded engine until Ctrl-C (ARGS="--port 9000")
	@$(BIN)/parley serve $(ARGS)

test: .venv/.ready ## everything that needs no network beyond loopback: style, types, layers, tests, coverage
	@sh scripts/test.sh $(ARGS)

check: .venv/.ready ## style, types and import layers alone
	@sh scripts/check.sh

format: .venv/.ready ## rewrite the code in the house style
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

sim: .venv/.ready ## simulate sessions with faults (ARGS="--seeds 10000", ARGS="--seed 7" shows one)
	@$(BIN)/parley simulate --seeds 1000 $(ARGS)

audit: .venv/.ready ## look the locked releases up for known vulnerabilities (needs PyPI's service)
	@sh scripts/audit.sh $(ARGS)

fuzz: .venv/.ready ## throw broken bytes at the codec, the signatures and the HTTP/2 adapter (ARGS="--minutes 10")
	@$(BIN)/python -m tests.fuzz $(or $(ARGS),--minutes 1)

recovery: .venv/.ready ## cut real connections and kill real model servers, and report (ARGS="--engine tiny-en")
	@$(BIN)/python -m benchmarks.recovery $(ARGS)

deploys: .venv/.ready ## restart model servers and a gateway under live sessions, and report (ARGS="--sessions 60")
	@$(BIN)/python -m benchmarks.deploys $(ARGS)

storms: .venv/.ready ## too many sessions, a herd, deaf clients, a silent model, idle sessions (ARGS="--only herd")
	@$(BIN)/python -m benchmarks.storms $(ARGS)

bench: .venv/.ready ## measure the gateway beside nginx and a FastAPI splice (minutes; Linux, needs nginx and gcc)
	@sh benchmarks/run.sh $(ARGS)

bench-http2: .venv/.ready ## measure the HTTP/2 endpoint beside hypercorn and granian (minutes; Linux, needs gcc)
	@sh benchmarks/http2.sh $(ARGS)

test-browser: .venv/.ready ## drive the pages in the system's Chromium, and picture them in .cache/browser/screenshots
	@sh tests/browser/run.sh $(ARGS)

test-node: .venv/.ready ## install AWS's packages for Node and run their client against the gateway (needs Node 20 and npm)
	@sh tests/node/run.sh $(ARGS)

test-vllm: .venv/.ready ## install and start the real vLLM on this CPU and run the gateway against it (10+ minutes)
	@sh tests/realvllm/run.sh $(ARGS)

lock: .venv/.ready ## refresh requirements.lock (needs uv)
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.12 --upgrade --quiet \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock

clean: ## remove the environment and caches
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist
