# make run: everything a newcomer needs, from nothing to a result. make test: what CI runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Stages run as `python -m stages.NAME`: the environment's python must be the first on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help
.PHONY: help run compare test lint bench clean

help:
	@echo "make run      install, run the pipeline on the embedded data set, show the result"
	@echo "make compare  the eight classical experiments over five seeds, and which of them helps"
	@echo "make test     install with the test extras; ruff, mypy, pytest"
	@echo "make bench    benchmarks, as ratios against the named rivals"
	@echo "make clean    remove the environment and all caches of tools (not DVC's cache)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "evenly needs Python 3.11 or newer; set PYTHON, for instance: make run PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing evenly into $(VENV) (the first time takes some minutes) ..."
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

run: $(VENV)/.installed
	$(BIN)/dvc repro
	@$(BIN)/evenly summary

# Eight experiments and five seeds, then reports/comparison.{md,html,csv,json}; what has been run is not run again.
compare: $(VENV)/.installed
	$(BIN)/evenly sweep classical --seeds 1..5 --jobs 2

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

bench: $(VENV)/.installed-test
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
