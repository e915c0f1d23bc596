# What this project's people run. `make` alone lists it. Needs python 3.11 or newer and make; all else is set up in .venv.

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
EFFORT ?= prove

# Set up twice: the service needs a few packages, the workshop many. Each stamp is older than pyproject.toml when what
# is installed may be, too.
SERVE  := $(VENV)/.serve
DEV    := $(VENV)/.dev

# Compiled once, wherever an environment says otherwise: the tests start some hundred processes. Kept with the packages.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench docs prove

help:
	@echo "make run      start the key-value service (PORT and DATA are honoured)"
	@echo "make setup    set up .venv with all that the following need"
	@echo "make test     run the tests"
	@echo "make check    format, lint and check the types, of the programs in the docs too"
	@echo "make prove    run the tests with every count in full, then bench (EFFORT=nightly: more still)"
	@echo "make bench    measure speed, beside peers, into bench.json"
	@echo "make docs     build the documentation into site/"

setup: $(DEV)

run: $(SERVE)
	@exec $(BIN)/python -m examples.kv_service

test: $(DEV)
	@EFFORT=quick $(BIN)/python -m pytest --numprocesses auto --dist loadfile

prove: $(DEV)
	@EFFORT=$(EFFORT) $(BIN)/python -m pytest
	@$(BIN)/python -m tests.benchmarks

# CI changes no file: it only looks whether the formatter would.
check: $(DEV)
	@echo "format"; $(BIN)/ruff format --quiet $(if $(CI),--diff) .
	@echo "lint"; $(BIN)/ruff check --quiet .
	@echo "types: mypy and basedpyright, side by side"
	@$(BIN)/mypy --no-error-summary & mypy=$$!; $(BIN)/basedpyright; found=$$?; wait $$mypy && exit $$found
	@echo "types: programs in the docs"; $(BIN)/python -m tests.docs_programs

bench: $(DEV)
	@$(BIN)/python -m tests.benchmarks

docs: $(DEV)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

$(SERVE): pyproject.toml | $(BIN)/pip
	@echo "setting up $(VENV) for the service (once)"
	@$(PIP) install --quiet --editable '.[http,cli]'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/pip
	@echo "setting up $(VENV) with all tools (once; a minute or two)"
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@$(PIP) install --quiet --editable '.[http,cli,process,testing]' --group dev
	@touch $(SERVE) $@

# The first Python that is new enough, by these names. PYTHON=... names another.
$(BIN)/pip:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        $$python -m venv $(VENV) && exit 0; \
	        echo "$$python could not make a virtual environment in $(VENV)." >&2; \
	        echo "On Debian and Ubuntu, install the package python3-venv and run make again." >&2; \
	        rm -rf $(VENV); exit 1; \
	    fi; \
	done; \
	echo "Histrio needs Python 3.11 or newer. python3 here is: $$(python3 --version 2>&1)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1
