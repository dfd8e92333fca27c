# Everything is done by `make`; `make help` lists the targets. Needed: Python 3.11 or newer, a C compiler, Rust.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# rustup does not always reach the PATH of a non-interactive shell.
export PATH := $(PATH):$(HOME)/.cargo/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
WORKERS ?= 2

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -path rust/fuzz -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all
all: lint test ## everything that has to pass

# Stamp files say what is done already; each depends on what would undo it.
$(VENV)/.deps: constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	env -u PIP_CONSTRAINT $(BIN)/python -m pip install --quiet --requirement constraints.txt
	touch $@

$(VENV)/.built: $(VENV)/.deps pyproject.toml $(RUST_SOURCES)
	PIP_QUIET=1 $(BIN)/maturin develop --quiet --locked --profile ci
	touch $@

.PHONY: venv
venv: $(VENV)/.deps ## a virtual environment with the pinned packages

.PHONY: build
build: $(VENV)/.built ## the extension, fast to build, into the virtual environment

.PHONY: demo
demo: build ## compose a song, make a level of it, check it, and say where it is
	$(BIN)/python -m beatweaver demo

.PHONY: build-release
build-release: $(VENV)/.deps ## a wheel for people, in target/wheels
	$(BIN)/maturin build --locked --release

.PHONY: stubs
stubs: $(VENV)/.deps ## write python/beatweaver/_native.pyi anew from the Rust sources
	$(BIN)/python rust/native/stubs.py

.PHONY: constraints
constraints: $(VENV)/.deps ## write constraints.txt anew from what is installed in the virtual environment
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude beatweaver \
		| grep -Eiv '^(nvidia|cuda|triton|orjson)' | LC_ALL=C sort -f; } > constraints.new
	mv constraints.new constraints.txt

.PHONY: format
format: $(VENV)/.deps ## bring all sources into the house form
	cargo fmt
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: lint
lint: build ## style, types, warnings, and whether the stub tells the truth
	cargo fmt --check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python rust/native/stubs.py --check
	$(BIN)/python -m mypy.stubtest beatweaver._native
	cargo clippy --locked --all-targets -- -D warnings

# The bindings' own tests run Python inside the test program, so they need Python as a shared library.
.PHONY: test-rust
test-rust: $(VENV)/.deps ## Rust tests, documentation examples included
	@library=$$($(BIN)/python -c 'import sysconfig; from pathlib import Path; \
		file = Path(*(sysconfig.get_config_var(name) or "" for name in ("LIBDIR", "LDLIBRARY"))); \
		print(file.parent if file.suffix != ".a" and file.is_file() else "")'); \
	if test -n "$$library"; then \
		LD_LIBRARY_PATH=$$library$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH} cargo test --locked --workspace; \
	else \
		echo "skipped: the tests of rust/native, which need a Python with a shared library"; \
		cargo test --locked --workspace --exclude beatweaver-native; \
	fi

.PHONY: test-python
test-python: build ## Python tests
	$(BIN)/python -m pytest -n $(WORKERS)

.PHONY: test-node
test-node: ## agreement with the npm package bsmap, object by object (skipped without Node)
	sh tests/node/run.sh

.PHONY: fuzz
fuzz: ## every fuzz target for SECONDS (default 60); needs cargo-fuzz
	sh rust/fuzz/run.sh $(or $(SECONDS_EACH),60)

.PHONY: test
test: build test-rust test-python ## all tests; on a fresh machine this installs and builds what they need

.PHONY: bench
bench: build ## measure what has a budget, beside the peers that are here
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/maps.py
	$(BIN)/python benchmarks/play.py
	cargo bench --locked --package beatweaver-core

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(VENV) target python/beatweaver/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
