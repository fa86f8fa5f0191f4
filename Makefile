# Everything a fresh clone needs: Python 3.11, Node 20 or newer with npm, and make.
# Each target sets up whatever it depends on; stamps make a second run start at once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
CASES ?= 100000
SEED ?=
ARGS ?=

SOLC := .tools/solc-v0.8.37
VENV := .venv/.installed
MODULES := node_modules/.installed
COMPILED := .build/.compiled
SOURCES := $(shell find contracts -name .cache -prune -o \( -type d -o -name '*.sol' \) -print)

# Two workers, each with its chain; files stay whole, since their tests share what they deploy.
WORKERS := -n 2 --dist loadfile
APE := .venv/bin/ape
PIP := .venv/bin/pip install -qq --disable-pip-version-check

.PHONY: help setup compile test lint format fuzz bench demo backtest lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: $(VENV) $(MODULES) ## install the pinned Python and npm packages

compile: $(COMPILED) ## compile the contracts

test: $(COMPILED) ## compare gas with its snapshot and run every test; ARGS="-k name" selects tests
	$(if $(ARGS),,$(APE) run bench --check)
	$(APE) test $(if $(ARGS),$(ARGS),$(WORKERS))

lint: setup ## check style and import rules of Python and Solidity
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	node_modules/.bin/solhint --disc --noPoster --max-warnings 0 'contracts/**/*.sol'

format: setup ## rewrite the Python files in the one format
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

fuzz: $(COMPILED) ## compare contracts and models on random cases; CASES=100000 SEED=1
	$(APE) run fuzz --cases $(CASES) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(COMPILED) ## measure gas, sizes and rates: prints a table, writes bench.json
	$(APE) run bench $(ARGS)

demo: $(COMPILED) ## margin real books, liquidate a crash day, fuzz, write a report
	$(APE) run demo $(ARGS)

backtest: setup ## test margins on real histories, ARGS="--data FOLDER", write a report with plots
	$(APE) run backtest $(ARGS)

lock: $(VENV) ## pin all packages again after an edit of requirements.in or package.json
	.venv/bin/uv pip compile --quiet --system-certs --upgrade --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  requirements.in --output-file requirements.lock
	npm install --package-lock-only

clean: ## remove everything that was installed, compiled or written by a run
	rm -rf .venv node_modules .build .cache contracts/.cache out bench.json
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs in seconds; where it cannot reach the packages (it reads no pip settings) pip does it.
$(VENV): requirements.lock .tools/project.pth
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "make: Python 3.11 is needed, '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install it, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' lacks the venv module (Debian: install python3.11-venv)." >&2; exit 1; }
	@echo "Installing the Python packages into .venv ..."
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@{ $(PIP) --require-hashes --requirement <(awk '/^uv==/, !/\\$$/' requirements.lock) && \
	  .venv/bin/uv pip sync --quiet --system-certs --compile-bytecode --require-hashes \
	    requirements.lock; } || \
	  { echo "... with pip, which takes a minute"; \
	    $(PIP) --require-hashes --requirement requirements.lock; }
	@cp .tools/project.pth .venv/lib/python3.11/site-packages/
	@touch $@

$(MODULES): package-lock.json .npmrc
	@command -v node >/dev/null || { \
	  echo "make: Node 20 or newer is needed and 'node' was not found: install it." >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { \
	  echo "make: Node 20 or newer is needed, found $$(node --version): install it." >&2; exit 1; }
	@command -v npm >/dev/null || { \
	  echo "make: npm was not found: install it, it belongs to Node." >&2; exit 1; }
	@echo "Installing the compiler, Anvil and the Solidity libraries into node_modules ..."
	@npm ci --no-progress --loglevel error
	@touch $@

# A change of compiler or settings makes all earlier output worthless.
.build/.settings: ape-config.yaml package-lock.json $(SOLC) | $(VENV) $(MODULES)
	@rm -rf .build
	@mkdir .build
	@touch $@

$(COMPILED): .build/.settings $(SOURCES)
	@echo "Compiling the contracts ..."
	@.venv/bin/python .tools/forget_stale.py
	@$(APE) compile
	@touch $@
