# Two commands matter: `make up` and `make test`. Everything is installed into .venv from the locked requirements.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help up test state-machine check format lint types layers train lock clean

help: ## show this list
	@echo "AI Platform: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.runtime ## start the whole platform on this machine (options: ARGS="--port 8100 --data-dir DIR")
	@exec $(BIN)/ai-platform up $(ARGS)

test: $(VENV)/.dev ## run the default test suite (one test: ARGS="-k NAME")
	@exec $(BIN)/pytest -n 4 --dist worksteal $(ARGS)

.PHONY: image compose-test
image: ## build the container image
	@docker compose build

compose-test: $(VENV)/.dev ## the stack in containers: up, scaled, killed, restarted, down (needs a Docker Engine; 4 minutes)
	@exec $(BIN)/pytest -x -rA -m compose tests/compose $(ARGS)

BENCH = $(BIN)/python -m benchmarks

.PHONY: bench bench-pages bench-profile bench-jobs bench-job-cost bench-auth bench-gateway
bench: $(VENV)/.dev ## synchronous prediction measured (needs wrk; some parts: NAMES="throughput overload"; ARGS="--rounds 5 --seconds 4 --quick")
	@$(BENCH) $(or $(NAMES),synchronous) $(ARGS)

bench-profile: $(VENV)/.dev ## what each part of a prediction costs (a minute)
	@$(BENCH) profile $(ARGS)

bench-jobs: $(VENV)/.dev ## durable jobs beside the stock design, five rounds (needs wrk; about 15 minutes)
	@$(BENCH) jobs $(ARGS)

bench-job-cost: $(VENV)/.dev ## what a job costs, part by part (a minute)
	@$(BENCH) job-cost $(ARGS)

bench-auth: $(VENV)/.dev ## what authentication costs a prediction (needs wrk; 2 minutes)
	@$(BENCH) auth $(ARGS)

bench-gateway: $(VENV)/.dev ## what the gateway costs, after `docker compose up -d --build --wait` (needs wrk; 2 minutes)
	@$(BENCH) gateway $(ARGS)

.PHONY: bench-memory bench-process-memory bench-model-memory
bench-memory: $(VENV)/.dev ## memory of an API process with 20 models (2 minutes)
	@$(BENCH) api-memory $(ARGS)

bench-process-memory: $(VENV)/.dev ## memory of several API processes (a minute)
	@$(BENCH) process-memory $(ARGS)

bench-model-memory: $(VENV)/.dev ## memory of validating and loading models of 200 MB (two minutes)
	@$(BENCH) model-memory $(ARGS)

.PHONY: bench-zoo
bench-zoo: $(VENV)/.dev ## seventy models as people bring them: compiled or not, right or not, how fast (needs wrk; half an hour)
	@$(BENCH) zoo $(ARGS)

bench-pages: $(VENV)/.dev ## write docs/benchmarks anew from the figures in its data; nothing is measured
	@$(BENCH) pages $(ARGS)

.PHONY: limits
limits: $(VENV)/.dev ## ten times a rate limit for 30 s, to one process and to two
	@LIMIT_SECONDS=30 exec $(BIN)/pytest -s tests/access/test_limits.py -k ten_times $(ARGS)

state-machine: $(VENV)/.dev ## the jobs' state machine on real PostgreSQL, 500 runs of 50 steps
	@STATE_MACHINE_RUNS=500 exec $(BIN)/pytest tests/jobs/test_state_machine.py $(ARGS)

.PHONY: chaos chaos-points chaos-long
chaos: $(VENV)/.dev ## break everything while 1,000 jobs run, and count (docs/chaos.md); one run again: CHAOS_SEED=N
	@CHAOS_REPORT=1 exec $(BIN)/pytest -s -m chaos tests/chaos/test_nemesis.py tests/chaos/test_recovery.py $(ARGS)

COUNT ?= 20
chaos-points: $(VENV)/.dev ## each named crash point COUNT times (20), a zombie 50 times, what takes over 10 s three times
	@CHAOS_REPORT=1 CHAOS_COUNT=$(COUNT) CHAOS_ZOMBIES=50 exec $(BIN)/pytest -m "chaos or not chaos" tests/chaos/test_crash_points.py \
	  tests/chaos/test_models_that_misbehave.py tests/chaos/test_servers_that_fail.py $(ARGS)

chaos-long: $(VENV)/.dev ## recovery at default settings: 50 kills of a worker, 10 wipes of Valkey
	@CHAOS_REPORT=1 CHAOS_KILLS=50 CHAOS_WIPES=10 exec $(BIN)/pytest -s -m chaos tests/chaos/test_recovery.py $(ARGS)

.PHONY: live-change
live-change: $(VENV)/.dev ## promote and roll back 50 times under 32 connections and 20,000 requests
	@LIVE_CHANGES=50 LIVE_REQUESTS=20000 exec $(BIN)/pytest -s -m slow tests/predictions/catalog/test_promotion.py $(ARGS)

.PHONY: restarts
restarts: $(VENV)/.dev ## one of two API processes restarts ten times under load, all restart, one is killed, all end
	@PROCESS_RESTARTS=10 exec $(BIN)/pytest -s -m slow tests/api/server/test_several_processes.py $(ARGS)

.PHONY: audit fuzz
audit: $(VENV)/.dev ## weaknesses: bandit on the code (none of high severity), pip-audit on every locked package
	@$(BIN)/bandit -q -r src deploy requirements train_and_save_model.py test_api.py --severity-level high
	@$(BIN)/python requirements/audit.py

.PHONY: fuzz-coverage
SECONDS ?= 600
fuzz-coverage: $(VENV)/.dev ## SECONDS (600) of a coverage-guided fuzzer on each parser of foreign bytes (one: TARGET=decoder)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@for target in $(or $(TARGET),$$($(BIN)/python tests/fuzz/coverage.py list)); do \
	  echo "fuzz-coverage: $$target, $(SECONDS) s"; \
	  $(BIN)/python tests/fuzz/coverage.py $$target $(SECONDS) >.fuzz.log 2>&1 || { tail -40 .fuzz.log >&2; exit 1; }; \
	  grep -h "number_of_executed_units" .fuzz.log; done; rm -f .fuzz.log

.PHONY: http-differential
http-differential: $(VENV)/.dev ## thousands of connections read by the API, h11 and nginx, each difference explained (a minute; needs nginx)
	@HTTP_CASES=all exec $(BIN)/pytest -s tests/api/server/differential/test_differential.py $(ARGS)

EXAMPLES ?= 200
fuzz: $(VENV)/.dev ## EXAMPLES requests (200) of each kind for every operation of the API, thousands for each parser
	@FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -q -m slow tests/fuzz $(ARGS)
	@FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -q --hypothesis-profile=fuzz tests/api/test_parsers.py tests/inputs/test_decoder.py

.PHONY: scoring
scoring: $(VENV)/.dev ## a million rows through `predict --file`, as CSV and as JSON, with the memory of the command (ten minutes)
	@SCORED_ROWS=1000000 exec $(BIN)/pytest -s -m slow tests/cli $(ARGS)

.PHONY: isolation
isolation: $(VENV)/.dev ## 50 healthy models beside 20 bad ones: the healthy answer, each bad one is named (three minutes)
	@ISOLATION_HEALTHY=50 ISOLATION_BAD=20 $(BIN)/pytest -q -s -m slow tests/predictions/catalog/test_bad_models.py $(ARGS)

MINUTES ?= 30
.PHONY: fuzz-pipelines
fuzz-pipelines: $(VENV)/.dev ## random scikit-learn pipelines for MINUTES (30), each with and without a sample on 10,000 fresh rows
	@PYTHONPATH=tests $(BIN)/python -W ignore -m runtimes.pipelines.fuzz $(MINUTES) $(ARGS)

.PHONY: stories
stories: $(VENV)/.dev ## what takes long, in its short form: `up`, the how-to pages, promotions under load, requests at random, restarts (two minutes)
	@exec $(BIN)/pytest -n 2 --dist loadfile -q -m slow $(ARGS)

check: format-check lint types layers quick-test ## format, lint, types, import rules, and the tests that need no server

.PHONY: quick-test
quick-test: $(VENV)/.dev
	@$(BIN)/pytest -q -m quick

.PHONY: format-check
format-check: $(VENV)/.dev
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev ## bring the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: $(VENV)/.dev ## ruff
	@$(BIN)/ruff check .

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

layers: $(VENV)/.dev ## import-linter: no package imports from a layer above it
	@$(BIN)/lint-imports

train: $(VENV)/.runtime ## train iris, write model.pkl, publish it if the platform runs
	@$(BIN)/python train_and_save_model.py

.PHONY: docs
docs: $(VENV)/.dev ## write docs/reference anew from the code
	@$(BIN)/python docs/generate_reference.py

lock: $(VENV)/.dev ## write the locked requirements anew from pyproject.toml
	@$(call compile,runtime,--extra embedded --extra boosters --extra parquet --extra build)
	@$(call compile,dev,--extra embedded --extra boosters --extra parquet --extra build --extra dev)
	@$(call compile,image,--extra boosters --extra build --constraints requirements/runtime.txt)
	@printf 'atheris~=3.0\n' | $(BIN)/uv pip compile - --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -q -o requirements/fuzz.txt
	@echo "requirements/ written; run make test"

define compile
	$(BIN)/uv pip compile pyproject.toml $(2) --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" -q -o requirements/$(1).txt
endef

clean: ## remove what was installed and cached (the data folder stays)
	@rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed. Install Python 3.11, or name yours: make up PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "make: $(PYTHON) is not Python 3.11, the one version that the platform runs on. Name one: make up PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(VENV) could not be made. On Debian and Ubuntu, install python3.11-venv" >&2; exit 1; }

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@$(call install,requirements/runtime.txt)

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@$(call install,requirements/dev.txt)
	@touch $(VENV)/.runtime

# The lock file holds everything with its hash; then the project itself, with nothing left for pip to resolve.
define install
	echo "Installing $(1) into $(VENV) (about a minute the first time)"; \
	{ $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; } || \
	  { echo "make: the packages could not be installed; the lines above say which one. Is the network up?" >&2; exit 1; }; \
	touch $@
endef
