# The commands of this project. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
PORT ?= 4566
UV := .local/uv/bin/uv
PYTHON := .venv/bin/python
export UV_NO_PROGRESS := 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- environments
.PHONY: setup
setup: .local/uv.stamp .local/venv.stamp .local/tools.stamp .local/ministack.stamp ## make everything a fresh machine needs

.local/uv.stamp: requirements/uv.txt
	@mkdir -p .local
	@python3 -m venv .local/uv
	@.local/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.local/venv.stamp: requirements/dev.txt pyproject.toml .local/uv.stamp
	@$(UV) venv --quiet --allow-existing .venv
	@VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes $<
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.local/tools.stamp: requirements/tools.txt .local/uv.stamp
	@$(UV) venv --quiet --allow-existing .local/tools
	@VIRTUAL_ENV=.local/tools $(UV) pip sync --quiet --require-hashes $<
	@touch $@

.local/ministack.stamp: requirements/ministack.txt .local/uv.stamp
	@$(UV) venv --quiet --allow-existing .local/ministack
	@VIRTUAL_ENV=.local/ministack $(UV) pip sync --quiet --require-hashes $<
	@touch $@

.PHONY: lock
lock: .local/uv.stamp ## choose new versions of every dependency
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes --no-header requirements/function.in -o src/requirements.txt
	for name in dev tools ministack uv; do \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes --no-header -c src/requirements.txt requirements/$$name.in -o requirements/$$name.txt || \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes --no-header requirements/$$name.in -o requirements/$$name.txt; done

# ---------------------------------------------------------------- checks
.PHONY: check
check: setup ## lint, types, template lint
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

.PHONY: test
test: setup ## every test
	.venv/bin/pytest

.PHONY: bench
bench: setup ## time and memory of the hot paths
	$(PYTHON) bench/validation.py

.local/fuzz.stamp: requirements/fuzz.txt .local/uv.stamp
	@$(UV) venv --quiet --allow-existing .local/fuzz
	@VIRTUAL_ENV=.local/fuzz $(UV) pip sync --quiet --require-hashes $<
	@touch $@

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: .local/fuzz.stamp ## hostile bytes against the validation, for FUZZ_SECONDS
	@mkdir -p .local/fuzz-corpus
	PYTHONPATH=src .local/fuzz/bin/python tests/fuzz/fuzz_validation.py -max_total_time=$(FUZZ_SECONDS) -dict=tests/fuzz/json.dict -max_len=4096 \
	  -print_final_stats=1 -artifact_prefix=.local/fuzz-corpus/ .local/fuzz-corpus tests/data/spec
