# Every command of the project; `make` alone lists them. Needs Python 3.11 to 3.13 and make.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check conformance bench lock clean

HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= .data
VENV := .venv
PY := $(VENV)/bin/python
# The first interpreter of a supported version; looked up only when the environment is made.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
# The lock files name every package with its hashes, so pip has nothing to resolve. Byte code is
# made on first use: compiling 150 MB beforehand costs more than it saves.
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input \
	--require-hashes --no-deps --no-compile
UV_COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate

help: ## List the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | tr '|' '\t' | expand -t 16

demo: $(VENV)/.base ## Serve the demo; settings: HOST, PORT, DATA_DIR
	@exec env HOST="$(HOST)" PORT="$(PORT)" DATA_DIR="$(DATA_DIR)" $(PY) manage.py serve --demo

test: $(VENV)/.dev ## Run the suite on SQLite and PostgreSQL; ARGS="-k login" goes to pytest
	@exec $(PY) -m tests.run $(ARGS)

check: $(VENV)/.dev ## Format, lint, types, imports, marks, migrations, deployment settings
	@exec $(PY) -m tests.check

conformance: $(VENV)/.dev ## Print which test proves which requirement; writes docs/conformance.md
	@exec $(PY) -m tests.conformance $(ARGS)

bench: $(VENV)/.dev ## Measure on a durable PostgreSQL and Redis; writes build/bench.json
	@exec $(PY) -m tests.services run --durable -- $(PY) -m tests.bench $(ARGS)

lock: $(VENV)/.dev ## Lock requirements/*.in again; ARGS=--upgrade takes newer versions
	$(UV_COMPILE) $(ARGS) requirements/base.in --output-file requirements/base.txt
	$(UV_COMPILE) $(ARGS) requirements/dev.in --output-file requirements/dev.txt

clean: ## Remove the environment, caches and build files; the demo's data stays
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		command -v apt-get >/dev/null && test "$$(id -u)" = 0 \
		&& apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv; \
	} || { echo "Python's venv is missing: sudo apt-get install -y python3-venv" >&2; exit 1; }
	@echo "Creating $(VENV) and installing the locked packages, once ..."
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.base: requirements/base.txt $(VENV)/pyvenv.cfg
	@$(PIP_INSTALL) -r requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@
