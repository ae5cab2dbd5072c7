# The yard. `make` alone says what can be done here.
#
# Needs: make, bash, git and a Python >= 3.11. Everything else comes from the package index into `.venv`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
PYTEST := pytest -q -n auto --durations=5

# Whatever Python runs at all may look for the right one. A pyenv shim can exist and fail, hence the trial.
NAMES := python3 python3.14 python3.13 python3.12 python3.11
LOOK = $(firstword $(foreach name,$(NAMES),$(shell $(name) -c "" 2>/dev/null && echo $(name)))) tools/pythons.py

.PHONY: help
help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1 \2/p' Makefile | awk '{ printf "  %s %-14s", $$1, $$2; $$1 = $$2 = ""; print }'

.PHONY: setup
setup: .venv/.ready  ## make `.venv` with everything; at once if nothing changed

.PHONY: demo
demo: setup  ## start the gateway on the simulator, send it calls, watch them
	@$(BIN)/headgate demo

# The model file lies beside the packages, where the tests look for it, too.
.PHONY: demo-local
demo-local: setup  ## ask a real small model on this machine through every door; no account
	@HEADGATE_HOME=.venv/headgate $(BIN)/headgate local demo

.PHONY: test
test: test-elsewhere test-here  ## all tests but chaos and clients; the fast ones on every other Python >= 3.11 too

.PHONY: test-here
test-here: setup  ## the tests on the Python of `.venv`
	@$(BIN)/$(PYTEST) --ignore=tests/yard

.PHONY: test-elsewhere
test-elsewhere: setup  ## the fast tests on every other Python
	@others=$$($(BIN)/python tools/pythons.py others); \
	echo "Other Pythons here: $${others:-none}"; \
	for version in $$others; do \
	  $(MAKE) .venv-$$version/.ready; \
	  .venv-$$version/bin/$(PYTEST) --ignore=tests/yard -m "not e2e and not chaos"; \
	done

.PHONY: check style types directions house
check: style types directions house  ## all that can be judged without the tests; `make -k check` does not stop early

style: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup
	$(BIN)/mypy

directions: setup
	$(BIN)/lint-imports

# Sizes, pairs, surface, words; documentation that cannot lie; every example of README, docs and docstrings.
house: setup
	$(BIN)/python -m tools.sizes
	$(BIN)/python -m tools.docs --check
	$(BIN)/$(PYTEST) --doctest-modules src tests/yard

.PHONY: chaos
chaos: setup  ## kills and losses, at length
	$(BIN)/pytest -q -m chaos

.PHONY: clients
clients: setup  ## other people's clients against a gate; installs them, which takes minutes once
	$(BIN)/pytest -q -m clients tests/clients

.PHONY: bench
bench: setup  ## what a call costs, beside naive and nginx
	bench/run

# Needs the package index. What is not committed is not in it; docs/release.md says what is tried.
.PHONY: dist
dist: setup  ## build the source archive and the wheel of what is committed, and try the wheel by itself
	@$(BIN)/python -m tools.dist

.PHONY: docs
docs: setup  ## write the generated parts of docs/ anew
	$(BIN)/python -m tools.docs

# Needs the package index: one of its sources comes from there. `tools/catalog.yaml` is the one that decides.
.PHONY: catalog
catalog: setup  ## write what is known of models anew, and how the public prices compare
	$(BIN)/python -m tools.catalog

.PHONY: format
format: setup  ## put the code in its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: upgrade
upgrade: setup  ## write today's newest versions into constraints.txt; then `make check test`
	$(BIN)/python -m venv --clear .venv-uv
	.venv-uv/bin/pip install -qq --disable-pip-version-check uv
	.venv-uv/bin/uv pip compile -q --universal --upgrade --python-version 3.11 --no-header --no-annotate \
	  --all-extras --group dev --output-file constraints.txt pyproject.toml
	rm -r .venv-uv

# A virtual environment holds headgate (editable), extras of it and a group of tools, in the versions of
# constraints.txt. Nothing is compiled ahead: Python does that with what is used, when it is used.
QUIETLY := install -qq --no-compile --disable-pip-version-check --root-user-action ignore -c constraints.txt
comma := ,
define environment
	@[ -x "$(@D)/bin/python" ] && "$(@D)/bin/python" -c "" 2>/dev/null || "$$($(LOOK) $(1))" -m venv --clear "$(@D)"
	@echo "Installing into $(@D) …"
	@"$(@D)/bin/python" -m pip $(QUIETLY) --upgrade pip
	@"$(@D)/bin/python" -m pip $(QUIETLY) -e ".[$(3)]" --group $(2)
	@touch "$@"
endef

.venv/.ready: pyproject.toml constraints.txt
	$(call environment,newest,dev,demo$(comma)guard$(comma)jobs$(comma)local$(comma)postgres$(comma)redis)

.venv-%/.ready: pyproject.toml constraints.txt
	$(call environment,$*,test,demo$(comma)guard$(comma)jobs$(comma)postgres$(comma)redis)
