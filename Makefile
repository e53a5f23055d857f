# nightloop: `make demo` and `make test` do all their own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Without bytecode the set-up takes half as long; Python writes it at the first import, unless it was told not to.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)
INSTALL := $(BIN)/python -m pip install --quiet $(COMPILE) --disable-pip-version-check -c infra/constraints.txt
export PREFECT_LOGGING_LEVEL ?= ERROR
export DO_NOT_TRACK ?= 1
# Threads of torch that wait by spinning stop each other on a busy machine: 2 s of scoring became 20 s.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test up bench soak lint docs real-logs clean help

help:  ## Say what there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nightloop needs Python 3.11 or newer; this is %s. Say which: make PYTHON=python3.11" % sys.version.split()[0])'
	@echo "setting up $(VENV) (once, a few minutes)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml infra/constraints.txt | $(VENV)/bin/python
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml infra/constraints.txt | $(VENV)/bin/python
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.run $@

demo: $(VENV)/.run  ## Run the whole loop on a simulated world; DATA=file for your own ratings or clicks.
	@$(BIN)/nightloop demo $(if $(DATA),--data "$(DATA)")

# Three workers for CI's two cores: tests of flows wait for servers and processes. The longest files begin first.
test: $(VENV)/.dev  ## Run every test that CI runs.
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

up: $(VENV)/.run  ## Start a Prefect server with its UI and all deployments.
	@$(BIN)/nightloop up

bench: $(VENV)/.dev  ## Measure every figure into bench.json; ONLY=name for one.
	@$(BIN)/python -m tests.benchmarks $(ONLY)

real-logs: $(VENV)/.dev  ## Print the results table of docs/results.md (MovieTweetings; DATA=file).
	@$(BIN)/python -m tests.benchmarks.real_logs $(DATA)

# Two workers: one begins with the faults, the other with the matrix of models and strategies; who is done takes from the other.
soak: $(VENV)/.dev  ## Inject faults for a long time.
	@$(BIN)/python -m pytest -q -m soak -n 2 --dist worksteal --timeout 7200 tests

lint: $(VENV)/.dev  ## Check style and types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: $(VENV)/.dev  ## Build the documentation into site/; a warning fails.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:  ## Forget what tools made; pipelines in .nightloop/ stay.
	rm -rf .pytest_cache .mypy_cache .ruff_cache build
