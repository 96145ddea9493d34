# Headwater's commands. `make` alone lists them.
#
# One environment, .venv, holds whichever lock was installed last; test.lock contains run.lock, so the
# environment for tests also serves. Stamps inside .venv keep a second run from installing again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-installed
TEST_STAMP := $(VENV)/.test-installed
LOCK_VENV := .venv-lock
ARGS ?=
# The whole suite runs on every core, but on four at most: each worker has a PostgreSQL of its own.
WORKERS ?= --numprocesses=auto --maxprocesses=4

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve env env-test test check figures format bench soak docs lock clean

help: ## List these commands
	@echo "Headwater: make COMMAND [ARGS='...']"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

serve: env ## Run the server on 127.0.0.1:8484 (creates .venv at first; ARGS go to `headwater serve`)
	$(BIN)/headwater serve $(ARGS)

env: $(RUN_STAMP) ## Create .venv to run Headwater, exactly as locked

env-test: $(TEST_STAMP) ## Create .venv to run, test and check Headwater, exactly as locked

test: $(TEST_STAMP) ## Run every test, on SQLite and on PostgreSQL (ARGS go to pytest)
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(WORKERS))

check: $(TEST_STAMP) ## Check style, formatting, types and the rules of the code base
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/rules

figures: $(TEST_STAMP) ## Print sizes and imports of the code base (ARGS: another checkout)
	@$(BIN)/python -m tests.rules.figures $(ARGS)

format: $(TEST_STAMP) ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TEST_STAMP) ## Measure on this machine (ARGS go to the benchmarks)
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(TEST_STAMP) ## Load every door for 20 minutes and watch the memory (ARGS='--minutes 5' shortens)
	$(BIN)/python -m benchmarks.soak $(ARGS)

docs: $(RUN_STAMP) ## Write the generated pages under docs/ again
	$(BIN)/python -m headwater.base.settings.page
	$(BIN)/python -m headwater.server.docs_generator

lock: ## Resolve pyproject.toml anew into requirements/*.lock (ARGS='--upgrade' takes newer versions)
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet pip-tools
	$(COMPILE) --output-file=requirements/run.lock pyproject.toml
	$(COMPILE) --extra=test --constraint=requirements/run.lock --output-file=requirements/test.lock pyproject.toml

clean: ## Remove .venv and everything that tools left behind
	rm -rf $(VENV) $(LOCK_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# Only files of the public index are hashed, whatever this machine's pip is set to besides.
COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
	CUSTOM_COMPILE_COMMAND='make lock' $(LOCK_VENV)/bin/pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --build-deps-for=editable $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Headwater needs Python 3.11 or newer; '$(PYTHON)' is missing or older." >&2; \
		echo "Name another with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): requirements/run.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@

$(TEST_STAMP): requirements/test.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/test.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@ $(RUN_STAMP)
