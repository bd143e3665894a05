# The commands of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
FUZZ_SECONDS ?= 60
ON_PORT = $(if $(PORT),--port '$(PORT)')
UV := .local/uv/bin/uv
PYTHON := .venv/bin/python
COMPILE := $(UV) pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes --no-header
export UV_NO_PROGRESS := 1
export SAM_CLI_TELEMETRY := 0
# In the clone, unless the environment names another: HOME stays as it is, and may be read-only.
export UV_CACHE_DIR ?= $(CURDIR)/.local/cache/uv
export UV_PYTHON_INSTALL_DIR ?= $(CURDIR)/.local/cache/python
export PIP_CACHE_DIR ?= $(CURDIR)/.local/cache/pip
export MPLCONFIGDIR ?= $(CURDIR)/.local/cache/matplotlib
export __SAM_CLI_APP_DIR ?= $(CURDIR)/.local/cache/sam

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- environments
# Each environment is made of its requirements file and nothing else; a stamp says which one it was made of.
LOCAL_STACK := .local/uv.stamp .local/venv.stamp .local/tools.stamp .local/ministack.stamp .local/porch.stamp
STEP_tools := 3/7
STEP_ministack := 4/7
STEP_schemathesis := 6/7

.PHONY: setup
setup: $(LOCAL_STACK) .local/schemathesis.stamp .local/promtool/promtool ## make everything a fresh machine needs

.local/uv.stamp: requirements/uv.txt
	@dev/preflight.sh
	@touch $@

.local/venv.stamp: requirements/dev.txt pyproject.toml .local/uv.stamp
	@echo "setup 2/7: the program, its tests and checks" >&2
	@$(UV) venv --quiet --allow-existing .venv
	@VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes $<
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.local/%.stamp: requirements/%.txt .local/uv.stamp
	@echo "setup $(STEP_$*): $*" >&2
	@$(UV) venv --quiet --allow-existing .local/$*
	@VIRTUAL_ENV=.local/$* $(UV) pip sync --quiet --require-hashes $<
	@touch $@

.local/porch.stamp: layers/porch/requirements.txt .local/tools.stamp
	@echo "setup 5/7: porch" >&2
	@$(MAKE) --silent -C layers/porch vendor PYTHON="$$PWD/.local/tools/bin/python"
	@touch $@

# Where it is not to be had, setup says so and goes on.
.local/promtool/promtool:
	@echo "setup 7/7: promtool" >&2
	@dev/promtool.sh

.PHONY: lock
lock: .local/uv.stamp ## choose new versions of every dependency
	$(COMPILE) requirements/function.in -o layers/library/requirements.txt
	$(COMPILE) -c layers/library/requirements.txt layers/porch/requirements.in -o layers/porch/requirements.txt
	$(COMPILE) -c layers/library/requirements.txt requirements/dev.in -o requirements/dev.txt
	for name in uv tools ministack fuzz checkov schemathesis; do \
	  $(COMPILE) requirements/$$name.in -o requirements/$$name.txt || exit 1; done

# ---------------------------------------------------------------- checks
.PHONY: check
check: setup .local/checkov.stamp ## lint, types, template lint and policies
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy --no-error-summary
	@.local/tools/bin/sam validate --lint --region us-east-1 >/dev/null
	@.local/tools/bin/cfn-lint
	@.local/tools/bin/cfn-lint --config-file /dev/null --regions us-east-1 -- examples/outcome-events/template.yaml
	@.local/checkov/bin/checkov >.local/checkov.log \
	  || { cat .local/checkov.log; exit 1; }
	@echo "check: no findings"

# In the order of the folders: what runs on stacks begins, and the rest fills the time that it waits.
IN_PARALLEL := --numprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: test
test: setup ## every test that guards a commit
	@.venv/bin/pytest $(IN_PARALLEL)

.PHONY: test-long
test-long: setup ## what is too long for every commit: pages, permissions, floods, all of moto, and mutations (WORDS="target: name:" chooses); an hour
	@.venv/bin/pytest $(IN_PARALLEL) -m long
	@AUDITED_INTENTS=1000 .venv/bin/pytest --quiet tests/unit/test_auditor.py
	@$(PYTHON) -m tests.mutations $(WORDS)

.PHONY: bench
bench: setup ## speed, cost and scale against their targets; PEER=PATH
	@$(PYTHON) -m bench $(if $(PEER),--peer $(PEER))

.PHONY: bench-hostile
bench-hostile: setup ## time and memory of the validation, against hostile files; some minutes
	@$(PYTHON) -m bench.validation

.PHONY: explore
explore: setup ## interleavings of two workers over small scenes, at most 15,000 points of each, and 5,000 random histories; twenty minutes
	@$(PYTHON) -m tests.explorer --points 15000
	@SCHEDULES=5000 .venv/bin/pytest --quiet --numprocesses 3 tests/unit/test_schedules.py

.PHONY: fuzz
fuzz: .local/fuzz.stamp ## hostile bytes against the validation, for FUZZ_SECONDS
	@mkdir -p .local/fuzz-corpus
	@PYTHONPATH=src .local/fuzz/bin/python tests/fuzz/fuzz_validation.py -max_total_time=$(FUZZ_SECONDS) \
	  -dict=tests/fuzz/json.dict -max_len=4096 -print_final_stats=1 -artifact_prefix=.local/fuzz-corpus/ \
	  .local/fuzz-corpus tests/data/spec

# ---------------------------------------------------------------- local stack
.PHONY: demo
demo: $(LOCAL_STACK) ## from intents to packages on an embedded AWS, in one command (PORT: a free one)
	@$(PYTHON) -m dev.demo $(ON_PORT)

.PHONY: up
up: $(LOCAL_STACK) ## start the stack on loopback and leave it running (PORT=4566, PORCH=a program); writes .local/env
	@$(PYTHON) -m dev.stack up $(ON_PORT) $(if $(PORCH),--porch '$(PORCH)')

.PHONY: down
down: $(LOCAL_STACK) ## stop the stack on PORT
	@$(PYTHON) -m dev.stack down $(ON_PORT)

.PHONY: dashboard
dashboard: $(LOCAL_STACK) ## draw the dashboard from a load on an embedded AWS, into docs/pictures (PORT: a free one)
	@$(PYTHON) -m dev.dashboard $(ON_PORT)

.PHONY: bridge
bridge: $(LOCAL_STACK) ## let containers reach the stack on PORT (Linux; for `sam local invoke`)
	@$(PYTHON) -m dev.bridge $(ON_PORT)
