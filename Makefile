# Everything here needs python3 (3.11 or newer) and make, nothing else; the environment is made in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS_ENV := .venv-peers
PEERS := $(PEERS_ENV)/.installed
PEERS_LIST := quant_platform_tests/benchmarks/requirements-peers.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint bench bench-peers parity evidence mutants doors cluster-test up docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "quant_platform needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m quant_platform.cli.warm
	@touch $@

demo: $(STAMP) ## materialise the whole graph on the simulated market and say where to look
	$(BIN)/quant demo

test: $(STAMP) ## format, lint, types, and every test but the long ones
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not long" --durations=25 --durations-min=5

test-long: $(STAMP) ## the long tests: servers, daemons over weeks, killed writers, simulated worlds
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m long --durations=25 --durations-min=5

lint: $(STAMP) ## format and lint in place, then check types
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

$(PEERS): $(PEERS_LIST)
	$(PYTHON) -m venv $(PEERS_ENV)
	$(PEERS_ENV)/bin/pip install --quiet --disable-pip-version-check -r $(PEERS_LIST)
	@touch $@

bench: $(STAMP) $(PEERS) ## time the kernels and the lake, beside a peer; writes docs/benchmarks/
	$(BIN)/python -m quant_platform_tests.benchmarks

bench-peers: $(STAMP) ## time the engine beside Backtrader, VectorBT and Zipline in one run; writes docs/benchmarks/peers.md
	$(BIN)/quant parity install
	$(BIN)/python -m quant_platform_tests.benchmarks.peers

parity: $(STAMP) ## the same decisions through Backtrader, VectorBT and Zipline; writes docs/evidence/parity.json
	$(BIN)/quant parity install
	$(BIN)/python -m quant_platform_tests.evidence.parity
	$(BIN)/python -m quant_platform_tests.evidence.parity --defaults

evidence: $(STAMP) ## the slow simulations; writes docs/evidence/
	$(BIN)/python -m quant_platform_tests.evidence
	$(BIN)/python -m quant_platform_tests.evidence.persistence
	$(BIN)/python -m quant_platform_tests.evidence.replay
	$(BIN)/python -m quant_platform_tests.evidence.discovery
	$(BIN)/python -m quant_platform_tests.evidence.live_market
	$(BIN)/python -m quant_platform_tests.evidence.survivors
	$(BIN)/python -m quant_platform_tests.evidence.operations
	$(BIN)/python -m quant_platform_tests.evidence.operations_weeks
	$(BIN)/python -m quant_platform_tests.evidence.kills

doors: $(STAMP) ## try every broken input at every door and count the clear answers
	$(BIN)/python -W ignore -m quant_platform_tests.doors

mutants: $(STAMP) ## single mutants of the rooms that compute, against their own tests; writes docs/evidence/mutants.md
	$(BIN)/python -m quant_platform_tests.mutants

cluster-test: $(STAMP) ## Postgres, Ray workers and a worker that is killed, for real on this machine
	$(BIN)/python -m quant_platform_tests.cluster

up: $(STAMP) ## Dagster's web server and daemon on this home
	$(BIN)/quant up

docs: $(STAMP) ## regenerate the reference pages from schemas and specs
	$(BIN)/quant docs

lock: $(STAMP) ## pin every dependency again, with hashes
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --no-strip-extras \
	  --no-emit-options --extra dev --extra yahoo --output-file requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --no-strip-extras \
	  --no-emit-options --extra cluster --constraint requirements.lock --output-file requirements-cluster.lock pyproject.toml
	# The extra names others of this package; the package itself has no hash, and is there already where this is installed.
	grep -vE '^(quant-platform\[|# WARNING: pip install will|# Consider using a hashable)' requirements-cluster.lock > requirements-cluster.lock.new
	mv requirements-cluster.lock.new requirements-cluster.lock

clean: ## remove the demo's home and the caches, keep the environment
	rm -rf data .mypy_cache .ruff_cache .pytest_cache .hypothesis
