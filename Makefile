# Two commands do everything on a fresh machine with Python 3.11+, pip and make:
#   make demo    sets up and runs the main job on the embedded phantom
#   make test    sets up and passes the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo test test-all lint format clean

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## make the environment (done by the others when it is missing)

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; needs the package registry) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "fedlung needs Python 3.11 or newer; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)  ## four synthetic sites, one held out, a report at the end
	@$(BIN)/fedlung demo

test: $(READY)  ## the quick tests
	$(BIN)/python -m pytest --durations=15

test-all: $(READY)  ## the slow tests as well
	$(BIN)/python -m pytest -m 'slow or not slow' --durations=25

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff write the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and what runs left in the checkout
	rm -rf $(VENV) runs data .pytest_cache .ruff_cache .mypy_cache .hypothesis
