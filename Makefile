# The same commands for people and for CI. `make up` needs Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
ARGS ?=
# A process for each core and one more, since tests wait a lot; each starts servers of its own.
SHARED_OUT := -n $(shell echo $$(($$(nproc) + 1))) --maxprocesses 4
# How far `make test-crash` looks: states after simulated power cuts, and real cuts of each file system.
STATES ?= 50000
CUTS ?= 30
# How often `make test-timing` asks.
SAMPLES ?= 20000

.DEFAULT_GOAL := help
# The long searches, of which `make test` has a sample.
LONG := test-crash test-tamper test-identity test-tls test-monitoring test-outage

.PHONY: help up down test test-long test-timing $(LONG) check format bench lock ui clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-15s %s\n", $$1, $$2}'

up: $(VENV)/.run  ## start ArtStore here; ARGS=--detach leaves it in the background
	@$(BIN)/artstore up $(ARGS)

down: $(VENV)/.run  ## stop what `make up ARGS=--detach` started
	@$(BIN)/artstore down $(ARGS)

test: $(VENV)/.dev  ## all tests of everyday work, against real servers
	@$(BIN)/pytest $(SHARED_OUT) --durations=25 $(ARGS)

test-long: $(LONG)  ## everything that takes long; -j2 runs two at a time

test-crash: $(VENV)/.dev  ## the long search for states that a crash could leave; STATES=200000 CUTS=300: longer
	@ARTSTORE_CRASH_STATES=$(STATES) ARTSTORE_CRASH_ALL=1 ARTSTORE_POWER_CUTS=$(CUTS) \
	  $(BIN)/pytest -rs tests/crash $(ARGS)

test-tamper: $(VENV)/.dev  ## every manipulation of the audit log, not one in nine
	@ARTSTORE_TAMPER_ALL=1 $(BIN)/pytest -rs tests/security/tamper $(ARGS)

test-identity: $(VENV)/.dev  ## revocation with every combination of outages
	@ARTSTORE_FULL_MATRIX=1 $(BIN)/pytest -rs tests/security/identity $(ARGS)

test-outage: $(VENV)/.dev  ## uploads while admin, PostgreSQL or Valkey is dead or hangs for a minute
	@$(BIN)/pytest -rs -m slow tests/e2e/test_outages.py $(ARGS)

test-tls: $(VENV)/.dev  ## what testssl.sh finds at the edge and at a module
	@$(BIN)/pytest -rs -m slow tests/security/certificates $(ARGS)

test-timing: $(VENV)/.dev  ## whether the time of a refusal tells who exists; some twenty minutes on one core; SAMPLES=20000
	@ARTSTORE_TIMING_SAMPLES=$(SAMPLES) $(BIN)/pytest -rs tests/security/identity/test_refusal_timing.py $(ARGS)

test-monitoring: $(VENV)/.dev  ## every panel and alert against a real Prometheus
	@$(BIN)/pytest -rs -m slow tests/monitoring $(ARGS)

check: $(VENV)/.dev  ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev  ## rewrite the code in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## measure; what it prints belongs into benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(VENV)/.dev  ## choose the newest versions that fit pyproject.toml
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --upgrade --extra local --extra build pyproject.toml \
	  -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --upgrade --all-extras -c requirements.lock \
	  pyproject.toml -o requirements-dev.lock

ui:  ## build the web interface
	@test -d ui || { echo "This version has no web interface: there is nothing to build." >&2; exit 1; }

clean:  ## remove what was built or installed; documents in .artstore stay
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .import_linter_cache

# Stamps: an environment is made anew only when its lock file changed.
$(VENV)/.run: requirements.lock pyproject.toml
	@$(call make_environment,requirements.lock)
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml
	@$(call make_environment,requirements-dev.lock)
	@touch $@ $(VENV)/.run

define make_environment
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ArtStore needs Python 3.11 or newer; choose one: make PYTHON=python3.12 up" >&2; exit 1; }; \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; \
	    rm -rf $(VENV); exit 1; }; \
	echo "Installing $(1) into $(VENV) ..."; \
	$(PIP) install -q --require-hashes -r $(1) && \
	$(PIP) install -q --no-deps --no-build-isolation --no-index -e .
endef
