# `make` alone prints the targets. Every target first makes sure that what it needs is installed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
MIGRATIONS = $(filter-out %.rollback.sql,$(wildcard sql/migrations/*.sql))
# Seats and versions are counted up to 2^31-1, by design; shards fit a smallint.
SQUAWK := --assume-in-transaction --pg-version 15 --exclude prefer-bigint-over-int,prefer-bigint-over-smallint
ARGS ?=
SCENARIO ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

##@ a running system
.PHONY: run up down status
run: runtime ## start everything and follow it; Ctrl-C stops everything (data stays in .run/); PAYMENTS=demo: a provider too
	@exec $(PYTHON) -m dev run
up: runtime ## the same in the background; starts only what is missing
	@exec $(PYTHON) -m dev up
down: ## stop what `make up` started
	@if [ -x $(PYTHON) ]; then exec $(PYTHON) -m dev down; else echo "Nothing was ever started here."; fi
status: ## what is running, where, with which log
	@if [ -x $(PYTHON) ]; then exec $(PYTHON) -m dev status; else echo "Nothing was ever started here."; fi

.PHONY: test faults model test-extra load check
test: tools ## every test but `faults` and `test-extra`, against real servers of its own, two files at a time; ARGS="-k name -x" goes to pytest
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)
	@$(if $(ARGS),true,$(PYTHON) -m pytest tests/alone)    # an event loop that no other test has used
faults: tools ## kills, pauses, storms under load: minutes each; SEED=1 repeats a storm; ARGS=tests/faults/test_storm.py runs one file
	@exec $(PYTHON) -m pytest -s $(if $(filter tests/%,$(ARGS)),,tests/faults) $(ARGS)
model: tools ## the seam of the two stores: thousands of schedules on the model, hundreds on the real ones, some minutes; SEED=1 begins there
	@SCHEDULES=$${SCHEDULES:-10000} REAL_SCHEDULES=$${REAL_SCHEDULES:-200} exec $(PYTHON) -m pytest -s -o timeout=3600 tests/model $(ARGS)
test-extra: ## schemathesis over the API, SEED=2 for other requests; our calls to Stripe, by stripe-mock; some minutes
	@dev/bootstrap.sh extra
	@exec $(PYTHON) -m pytest -s tests/extra/contract.py tests/extra/stripe_calls.py $(ARGS)
load: tools ## the dirty scenarios under k6; SCENARIO=last_seat for one; BASE_URL=... for a system that is not ours
	@exec $(PYTHON) -m dev.load $(SCENARIO)
check: lint types walls lua-lint sql-lint test ## what CI runs: all of the checks below and the tests

.PHONY: bench
bench: ## side-by-side measurements, written to docs/performance.md; ARGS="reserve --quick" shows some, writes nothing
	@dev/bootstrap.sh bench
	@exec $(PYTHON) -m bench $(if $(ARGS),$(ARGS),--write)

.PHONY: fmt lint types walls lua-lint sql-lint
fmt: tools ## format the Python sources
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix-only .
lint: tools ## Python: ruff, and the format
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
types: tools ## Python: mypy, strict
	@$(PYTHON) -m mypy
walls: tools ## who may import whom
	@.venv/bin/lint-imports
lua-lint: tools ## luacheck over every script, with its includes
	@$(PYTHON) -m dev.luacheck
sql-lint: tools ## squawk over the migrations (functions: plpgsql_check, in the tests)
	@.venv/bin/squawk $(SQUAWK) $(MIGRATIONS)

.PHONY: docs
docs: tools ## write docs/errors.md anew from the table of refusals
	@$(PYTHON) -m dev.docs

.PHONY: runtime tools
runtime:
	@dev/bootstrap.sh runtime
tools:
	@dev/bootstrap.sh tools
