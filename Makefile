# Every target makes what it needs by itself: a virtual environment in .venv, from python3 (3.11 or
# newer, with its venv module) and nothing else. `make PYTHON=python3.12 test` takes another one.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.PHONY: help demo test lint coverage bench soak clean

help:
	@echo "make demo      download 300 files from a local origin, with a kill half way"
	@echo "make test      run the tests; those of real servers are skipped where nginx is missing"
	@echo "make lint      check format, style and types"
	@echo "make coverage  run the tests and print the branches that none of them takes"
	@echo "make bench     measure against other clients, with nginx as the server"
	@echo "make soak      run the tests that take minutes, long fuzzing of every parser among them"
	@echo "make clean     remove the environment and whatever the tools left behind"

demo: .venv/installed
	@$(BIN)/python examples/demo.py

test: .venv/dev
	@$(BIN)/pytest -n auto

# The benchmarks are checked too, so their peers must be there for the type checker.
lint: .venv/dev .venv/bench
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

coverage: .venv/dev
	@$(BIN)/pytest --cov --cov-report=term-missing

bench: .venv/bench
	@$(BIN)/python benchmarks/run.py

soak: .venv/dev
	@$(BIN)/pytest -m soak --timeout=1800

clean:
	rm -rf .venv build dist *.egg-info .coverage .coverage.* demo-output
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say which part of pyproject.toml is installed, in the state it had then.
# Dependency groups need pip 25.1; the pip that comes with Debian 12 is older.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fetchd needs Python 3.11 or newer: make PYTHON=...")'
	@echo "Setting up .venv for fetchd ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --editable .
	@touch $@

.venv/dev: .venv/installed
	@echo "Installing what the tests need ..."
	@$(PIP) install --group dev
	@touch $@

.venv/bench: .venv/installed
	@echo "Installing what the benchmarks compare with ..."
	@$(PIP) install --group bench
	@touch $@
