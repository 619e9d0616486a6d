# make run: everything a newcomer needs, from nothing to a result. make test: what CI runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Stages run as `python -m stages.NAME`: the environment's python must be the first on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help
.PHONY: help run compare test lint bench docs wheel clean check-lock pull base report

help:
	@echo "make run      install, run the pipeline on the embedded data set, show the result"
	@echo "make compare  the eight classical experiments over five seeds, and which of them helps"
	@echo "make test     install with the test extras; ruff, mypy, pytest"
	@echo "make docs     the site of docs/ in site/, every link checked"
	@echo "make wheel    what others install, in dist/"
	@echo "make bench    benchmarks, as ratios against the named rivals"
	@echo "make report BASE=main  what this branch changes: reports/diff.md, as pull requests get it"
	@echo "make check-lock, pull, base BASE=main  what comes before a report: docs/review.md"
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

$(VENV)/.installed-s3: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[s3]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
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

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

bench: $(VENV)/.installed-test
	$(BIN)/python -m bench

# Code reviews: docs/review.md. BASE is the branch, tag or commit that a report compares with.
BASE ?= main

check-lock: $(VENV)/.installed
	@told=$$($(BIN)/dvc repro --allow-missing --dry 2>&1) && ! echo "$$told" | grep '^Running stage' | grep -qv "'source'" || \
	  { echo "$$told"; echo "dvc.lock is not what the code and the settings give: run dvc repro and commit dvc.lock."; exit 1; }

# DVC_REMOTE, where it is set, is used instead of the remote in .dvc/config; DVC_ENDPOINT is its S3 server, if not AWS.
pull: $(VENV)/.installed-s3
	@test -z "$$DVC_REMOTE" || $(BIN)/dvc remote add --quiet --local --force --default shared "$$DVC_REMOTE"
	@test -z "$$DVC_ENDPOINT" || $(BIN)/dvc remote modify --quiet --local shared endpointurl "$$DVC_ENDPOINT"
	$(BIN)/dvc pull --run-cache --allow-missing
	$(BIN)/dvc fetch --run-cache --all-branches

# The base as this machine computes it, as the branch computed-base: for a base whose data are nowhere.
base: $(VENV)/.installed
	@git worktree remove --force .cache/base 2>/dev/null || true
	git worktree add --quiet -B computed-base .cache/base $(BASE)
	cd .cache/base && dvc cache dir --local $(CURDIR)/.dvc/cache && dvc repro
	git -C .cache/base -c user.name=evenly -c user.email=evenly@localhost \
	  commit --quiet --all --allow-empty --no-verify --message "$(BASE), computed here"

report: $(VENV)/.installed
	$(BIN)/evenly diff $(BASE)
	@{ printf '\n<details><summary>dvc metrics diff %s</summary>\n\n' '$(BASE)'; \
	  $(BIN)/dvc metrics diff $(BASE) --md | tr -s ' '; \
	  printf '\n</details>\n'; } >> reports/diff.md

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
