# Basin's commands; `make help` lists them. Everything lives in .venv, which is made on first use and made again only
# when a requirements file changes: each stamp in it carries a checksum of the files that it stands for.

VENV := .venv
PYTHON_IN_VENV := $(VENV)/bin/python
PYTHON ?=
HOST ?= 127.0.0.1
PORT ?= 7860

checksum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
CREATED := $(VENV)/.created
RUN_STAMP := $(VENV)/.run-$(call checksum,requirements.txt constraints.txt)
ZOO_STAMP := $(VENV)/.zoo-$(call checksum,requirements.txt assets/build/requirements.txt constraints.txt)
TEST_STAMP := $(VENV)/.test-$(call checksum,requirements.txt tests/requirements.txt constraints.txt)
BROKEN := $(if $(shell $(PYTHON_IN_VENV) -c '' 2>/dev/null && echo whole),,FORCE)
UNIT_TESTS := $(PYTHON_IN_VENV) -m pytest -m "not slow and not ui" --numprocesses 2
UI_TESTS := $(PYTHON_IN_VENV) -m pytest -m "ui and not slow" tests/ui
COMMA := ,
PIP_INSTALL := $(PYTHON_IN_VENV) -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test check fix test-unit test-ui test-slow zoo zoo-verify bench-live bench-merge bench-gpu comparison docs images space browser clean FORCE

help:  ## List these commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "make %-12s %s\n", $$1, $$2}'

run: $(RUN_STAMP)  ## Open the studio on 127.0.0.1:7860 (HOST=… and PORT=… choose another address)
	@BASIN_HOST=$(HOST) BASIN_PORT=$(PORT) $(PYTHON_IN_VENV) app.py

test: check browser  ## Lint, types and the default tests: those without a browser side by side, then the others
	$(UNIT_TESTS)
	$(UI_TESTS)

check: $(TEST_STAMP)  ## Lint and types only
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m mypy

fix: $(TEST_STAMP)  ## Format, and mend what the linter can mend
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .

test-unit: $(TEST_STAMP)  ## The default tests without a browser
	$(UNIT_TESTS)

test-ui: $(TEST_STAMP) browser  ## Only the tests that drive a browser
	$(UI_TESTS)

test-slow: $(TEST_STAMP) browser  ## Only the slow tests
	$(PYTHON_IN_VENV) -m pytest -m slow

zoo: $(ZOO_STAMP)  ## Build the embedded zoo again: draw, train, score (about an hour)
	$(PYTHON_IN_VENV) -m assets.build

zoo-verify: $(RUN_STAMP)  ## Compare the embedded zoo with its checksums
	$(PYTHON_IN_VENV) -m merging_core zoo verify

bench-live: $(TEST_STAMP) browser  ## Measure the studio's latencies in a real browser
	$(PYTHON_IN_VENV) -m benchmarks.live_studio

bench-merge: $(RUN_STAMP)  ## Merge large synthetic checkpoints with Basin and with mergekit, beside a copy (2 GB of packages, 12 GB of files)
	$(PYTHON_IN_VENV) -m benchmarks.merging --sizes 250m 1b tiny-leaves

bench-gpu: $(RUN_STAMP)  ## Measure the live engine, evaluation and streaming on the GPU, beside what the device can do (6 GB of files)
	$(PYTHON_IN_VENV) -m benchmarks.gpu

compare = $(PYTHON_IN_VENV) -m merging_core compare --search --split test --json --keep docs/data/$(1).json $(2) \
    > docs/data/$(1).json.part && mv docs/data/$(1).json.part docs/data/$(1).json

comparison: $(RUN_STAMP)  ## Measure on the zoo what docs/methods.md shows and has changed (all of it: some minutes)
	$(call compare,zoo-six)
	$(call compare,zoo-two,--models zoo:tiny/digits$(COMMA)zoo:tiny/letters --task digits --task letters \
	    --method arcee_fusion --method slerp --method nuslerp)
	$(call compare,zoo-one,--models zoo:tiny/digits --method wise_ft --method nearswap)

docs: $(TEST_STAMP)  ## Write the generated pages again
	$(PYTHON_IN_VENV) -m merging_core.methods.table docs/data/zoo-six.json docs/data/zoo-two.json docs/data/zoo-one.json > docs/methods.md
	$(PYTHON_IN_VENV) -m merging_core.cli.manual > docs/cli.md
	$(PYTHON_IN_VENV) -m tests.examples

images: $(TEST_STAMP) browser  ## Take the pictures of the documentation again
	$(PYTHON_IN_VENV) -m tests.ui.images

space: $(RUN_STAMP)  ## Put Basin on Hugging Face Spaces: REPO=owner/name, with HF_TOKEN set (OPTIONS=--dry-run only shows)
	@$(PYTHON_IN_VENV) -m app.space "$(REPO)" $(OPTIONS)

browser: $(TEST_STAMP)
	@$(PYTHON_IN_VENV) -m tests.ui.browser --ensure

clean:  ## Remove the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment: the first interpreter that runs and is new enough, unless PYTHON=… names one.
$(CREATED): $(BROKEN)
	@for candidate in $(or $(PYTHON),python3.12 python3.11 python3.13 python3 python); do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Basin needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	    echo "$$found cannot make virtual environments (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; \
	fi; \
	"$$found" -m venv --clear $(VENV) && touch $@

$(RUN_STAMP): $(CREATED)
	@echo "Installing what Basin needs into $(VENV); the first time takes a few minutes."
	$(PIP_INSTALL) --requirement requirements.txt
	@rm -f $(VENV)/.run-* $(VENV)/.test-* && touch $@

$(TEST_STAMP): $(CREATED)
	@echo "Installing what Basin and its tests need into $(VENV); the first time takes a few minutes."
	$(PIP_INSTALL) --requirement requirements.txt --requirement tests/requirements.txt
	@rm -f $(VENV)/.run-* $(VENV)/.test-* && touch $(RUN_STAMP) $@

$(ZOO_STAMP): $(RUN_STAMP)
	$(PIP_INSTALL) --requirement requirements.txt --requirement assets/build/requirements.txt
	@rm -f $(VENV)/.zoo-* && touch $@
