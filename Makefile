# Everything a fresh machine needs is python3 (3.11 or newer, with venv) and make.
#
#   make demo     see it work
#   make test     run the tests
#   make stress   run those that take minutes, too
#   make check    what must pass before a change goes in: formatting, linting, types, tests
#   make bench    measure it beside its peers
#   make clean    remove what the others made

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: venv demo test stress lint check bench clean

venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[test,check]"
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(INSTALL) --editable ".[bench]"
	touch $@

demo: venv
	$(BIN)/computicle demo

test: venv
	$(BIN)/python -m pytest

stress: venv
	COMPUTICLE_STRESS=1 $(BIN)/python -m pytest tests/stress

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

check: lint test

bench: $(VENV)/installed-bench
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
