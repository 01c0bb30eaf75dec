# Farhand's front door. Needs make and Python 3.11 or newer, nothing else: the first target that
# wants packages makes .venv and fills it from the hashed locks under requirements/.
#
#   make demo                        the main job, for real, on this machine
#   make test                        all tests        (make test ARGS="tests/protocol -k pairing")
#   make check                       format, lint, types, import rules, coverage, then the tests
#   make PYTHON=/path/to/python3.12  another interpreter

SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
# One test process more than there are processors: some tests wait.
JOBS ?= $(shell expr "$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" + 1)
ARGS ?=

# Where the tests of the protocol package stand.
COVERED := $(wildcard tests/protocol tests/properties)

PACKAGES := farhand_protocol farhand_agent farhand_server farhand_console
MEMBERS := ./protocol ./agent ./server ./console
MEMBER_FILES := $(MEMBERS:%=%/pyproject.toml)

# Where it is set, every one of the hundreds of processes that tests and demo start would compile all
# of our modules anew, which takes longer than what they do.
unexport PYTHONDONTWRITEBYTECODE

RUN_PYTHON := $(VENV)/bin/python
PIP := "$(RUN_PYTHON)" -m pip --disable-pip-version-check -qq
SAY := @printf 'farhand: %s\n'

# A virtual environment works only where it was made, so one that was copied or moved along with
# its folder is made again.
MADE_FOR := $(VENV)/.made-for
VENV_STAMP := $(VENV)/.stamp-venv
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
UI_STAMP := $(VENV)/.stamp-ui
ifneq ($(shell cat "$(MADE_FOR)" 2>/dev/null),$(CURDIR))
.PHONY: $(VENV_STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev ui ui-types screenshots demo test check lint types imports coverage format bench words wrappers lock wheels packages clean
.DELETE_ON_ERROR:

help:
	@echo 'make setup       the three programs in $(VENV)/bin, from requirements/run.txt'
	@echo 'make ui          the web console, built by the Node of a Python package (setup calls it)'
	@echo 'make demo        sets up, then walks the main job with a real relay and real agents'
	@echo 'make test        sets up with the test tools, then runs all tests (ARGS="..." for some)'
	@echo 'make check       formatting, lint, types, import rules and coverage, then the tests'
	@echo 'make bench       benchmarks, each beside its baseline'
	@echo 'make format      puts the source into the house form'
	@echo 'make lock        writes requirements/*.txt anew (UPGRADE=1 takes newer versions)'
	@echo 'make wheels      builds the four packages into dist/'
	@echo 'make packages    builds the agent as a Debian package and as a single file into dist/'
	@echo 'make clean       removes what these targets made'

# --- setting up ---------------------------------------------------------------------------------

$(VENV_STAMP):
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo 'farhand: $(PYTHON) was not found. Install Python 3.11 or newer (Debian, Ubuntu:' >&2; \
	  echo '  apt install python3 python3-venv) or name one: make PYTHON=/path/to/python3' >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "farhand: $(PYTHON) is $$("$(PYTHON)" --version 2>&1), and 3.11 or newer is needed." >&2; \
	  echo '  Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv) and name it:' >&2; \
	  echo '  make PYTHON=python3.11' >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'farhand: $(PYTHON) has no venv module. Install it (Debian, Ubuntu: apt install' >&2; \
	  echo '  python3-venv), or name another Python: make PYTHON=/path/to/python3' >&2; \
	  exit 1; }
	@if [ -e "$(VENV)" ] && [ ! -e "$(VENV)/pyvenv.cfg" ]; then \
	  echo 'farhand: $(VENV) exists and is no virtual environment; it stays as it is' >&2; exit 1; fi
	$(SAY) "making $(VENV) with $$("$(PYTHON)" --version 2>&1)"
	@"$(PYTHON)" -m venv --clear "$(VENV)"
	@printf '%s' "$(CURDIR)" > "$(MADE_FOR)"
	@touch "$@"

$(RUN_STAMP): $(VENV_STAMP) requirements/run.txt $(MEMBER_FILES)
	$(SAY) 'installing the runtime packages (requirements/run.txt, about 20 s)'
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-index --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	@touch "$@"

# dev.txt holds everything that run.txt does, at the same versions.
$(DEV_STAMP): $(VENV_STAMP) requirements/dev.txt $(MEMBER_FILES)
	$(SAY) 'installing the packages for tests and checks (requirements/dev.txt, about 40 s)'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-index --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	@touch "$(RUN_STAMP)" "$@"

# The page of `farhand web`.  Where npm fails the rest works, and `farhand web` says what is missing.
UI_SOURCES := $(shell find console/farhand_console/web/app -name node_modules -prune -o -type f -print)

$(UI_STAMP): $(VENV_STAMP) requirements/ui.txt console/ui_build.py $(UI_SOURCES)
	$(SAY) 'building the web console (requirements/ui.txt and package-lock.json, about 40 s)'
	@$(PIP) install --require-hashes -r requirements/ui.txt
	@"$(RUN_PYTHON)" console/ui_build.py
	@touch "$@"

ui: $(UI_STAMP)

# What the page's sources know of the relay's API; a test compares.
ui-types: $(DEV_STAMP)
	@"$(RUN_PYTHON)" console/ui_build.py types

setup: $(RUN_STAMP)
	@$(MAKE) --no-print-directory ui || \
	  echo 'farhand: the web console was not built (above); all else works without it' >&2
	$(SAY) 'ready: $(VENV)/bin/farhand, $(VENV)/bin/farhand-agent, $(VENV)/bin/farhand-server'

setup-dev: $(DEV_STAMP)
	$(SAY) 'ready for tests and checks'

# --- using it -----------------------------------------------------------------------------------

demo: $(RUN_STAMP)
	@"$(RUN_PYTHON)" -m tests.demo $(ARGS)

# Every main page in a real browser; docs/screenshots/all is not kept in git.
screenshots: $(DEV_STAMP) ui
	@"$(RUN_PYTHON)" -m tests.screenshots $(ARGS)

bench: $(DEV_STAMP)
	@"$(RUN_PYTHON)" -m bench $(ARGS)

test: $(DEV_STAMP)
	@$(MAKE) --no-print-directory ui || \
	  echo 'farhand: the web console was not built (above); its tests will say so' >&2
	$(SAY) 'tests ($(JOBS) at a time)'
	@"$(RUN_PYTHON)" -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder $(RUN_ALREADY:%=--ignore=%) $(ARGS)

# One after the other whatever -j says, the tests last: their closing line is the verdict. What
# `coverage` has run does not run again.
check: $(DEV_STAMP)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory imports
	@$(MAKE) --no-print-directory coverage
	@$(MAKE) --no-print-directory test RUN_ALREADY='$(COVERED)'

lint: $(DEV_STAMP)
	$(SAY) 'formatting and lint (ruff)'
	@"$(RUN_PYTHON)" -m ruff format --check -q .
	@"$(RUN_PYTHON)" -m ruff check -q .

types: $(DEV_STAMP)
	$(SAY) 'types (mypy --strict)'
	@"$(RUN_PYTHON)" -m mypy --strict $(PACKAGES:%=-p %) -p tests $(if $(wildcard bench/*.py),-p bench)
	@"$(RUN_PYTHON)" -m mypy --strict --platform darwin --cache-dir .mypy_cache/darwin \
	  agent/farhand_agent/inventory agent/farhand_agent/platforms
	@"$(RUN_PYTHON)" -m mypy --strict --platform win32 --cache-dir .mypy_cache/win32 \
	  --follow-imports=silent agent/farhand_agent/inventory/collectors/windows \
	  $(addprefix agent/farhand_agent/scripts/,accounts.py body.py job_object.py network.py reader.py \
	    windows_body.py workspace.py)

imports: $(DEV_STAMP)
	$(SAY) 'import rules (import-linter)'
	@"$(RUN_PYTHON)" -c 'from importlinter.cli import lint_imports_command as c; c()' --no-cache --no-logo

coverage: $(DEV_STAMP)
	$(SAY) 'every branch of the protocol package is tested (coverage)'
	@"$(RUN_PYTHON)" -m pytest -q -n $(JOBS) $(COVERED) --cov=farhand_protocol --cov-branch \
	  --cov-report=term-missing:skip-covered --cov-fail-under=100

format: $(DEV_STAMP)
	@"$(RUN_PYTHON)" -m ruff check -q --fix-only --select I .
	@"$(RUN_PYTHON)" -m ruff format .

# --- keeping it ---------------------------------------------------------------------------------

# Universal (one lock for every platform), with hashes, without addresses and without our own
# names. Versions already in the lock stay unless UPGRADE=1.
LOCK = pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-config \
  $(PACKAGES:farhand_%=--no-emit-package farhand-%) $(if $(UPGRADE),--upgrade)

words: $(DEV_STAMP)
	@"$(RUN_PYTHON)" agent/words/build.py

wrappers: $(DEV_STAMP)
	@"$(RUN_PYTHON)" agent/wrappers/build.py

lock:
	@if [ -x "$(RUN_PYTHON)" ] && "$(RUN_PYTHON)" -c 'import uv' 2>/dev/null; \
	then set -- "$(RUN_PYTHON)" -m uv; \
	elif command -v uv >/dev/null 2>&1; then set -- uv; \
	else echo 'farhand: uv was not found: run "make setup-dev" first, or install uv' >&2; exit 1; fi; \
	for name in run ui dev; do \
	  lock=requirements/$$name.txt; before=$$(mktemp) && cp -p $$lock $$before 2>/dev/null; \
	  "$$@" $(LOCK) -o $$lock requirements/$$name.in >/dev/null || exit 1; \
	  if cmp -s $$before $$lock; \
	  then cp -p $$before $$lock; echo "farhand: $$lock is as it should be"; \
	  else echo "farhand: $$lock is new"; fi; \
	  rm -f $$before; \
	done
	@if grep -nE '://|^ *--?(i|f|index-url|extra-index-url|find-links|trusted-host)' \
	  requirements/run.txt requirements/ui.txt requirements/dev.txt; \
	then echo 'farhand: a lock holds an address (above)' >&2; exit 1; fi

wheels: $(RUN_STAMP) ui
	$(SAY) 'building the wheels into dist/'
	@rm -rf dist
	@$(PIP) wheel --no-index --no-deps --no-build-isolation -w dist $(MEMBERS)
	@ls dist

# What an agent is carried to a device as; agent/packages/build.py says what is in it.
packages: $(RUN_STAMP)
	$(SAY) 'building the agent as a .deb and as a single file into dist/'
	@"$(RUN_PYTHON)" agent/packages/build.py --out dist $(ARGS)

clean:
	rm -rf "$(VENV)" dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .import_linter_cache
