# Every target sets up what it needs, and no more:
#   make demo     a campaign over 300 emulated homes   (run-time dependencies)
#   make test     the tests                            (and the test group)
#   make check    lint, format, types, import rules    (and the check group)
#   make bench    ratios against bare primitives       (as for test)
#   make scale    the same at ten million Devices      (as for test; minutes, and 10 GB of disk)
#   make calibration   forecasts against truths, into docs/forecast.md (run-time dependencies; 15 minutes)
#   make fuzz     each decoder for FUZZ_SECONDS        (and atheris)
#   make long     the tests that take minutes          (as for test)
#   make api      the REST API against its own document, EXAMPLES requests an operation (as for test)
#   make matrix   processes and a database struck      (as for test)
#   make growth   30 million homes in flow mode        (as for test)
#   make determinism PYTHON_OTHER=python3.13     the same trace there as here (a second environment)
#   make docs     write the generated pages anew       (run-time dependencies)
#   make screenshots   every web page, light and dark, into docs/screenshots (as for test; and Chromium)
#   make assets   fetch the web pages' style and script files, where the set-up could not
#   make case     the report of the example business case, for docs/ (as for test)
#   make lock     write requirements/ anew             (uv; ARGS=--upgrade takes newer versions)
#   make clean
# PYTHON=/path/to/python3.12 chooses the interpreter of a new environment ("make clean" first where one exists).
# ARGS="..." is handed on to demo, test and bench.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ASSETS := src/lamplighter/service/web/static/vendor/.made
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
PYTEST_WORKERS ?= auto
FUZZ_SECONDS ?= 20
EXAMPLES ?= 200
PYTHON_OTHER ?=
OTHER := .cache/other-python
ARGS ?=

# An environment whose Python has gone, or that was copied from another folder, is dead: begin again.
$(shell test ! -e $(VENV) || { $(BIN)/python -c '' && grep -qF '$(CURDIR)/$(VENV)' $(BIN)/activate; } 2>/dev/null \
    || rm -rf $(VENV))

.PHONY: help demo screenshots test check format bench scale calibration fuzz docs case assets long api matrix growth determinism lock clean

help:
	@sed -n '2,21s/^# \{0,1\}//p' Makefile

demo: $(READY)-run $(ASSETS)
	@exec $(BIN)/lamplighter demo $(ARGS)

test: $(READY)-test $(ASSETS)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) $(ARGS)

check: $(READY)-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)-test $(ASSETS)
	$(BIN)/python -m bench $(ARGS)

scale: $(READY)-test
	$(BIN)/python -m bench --scale --json bench/results/scale.json $(ARGS)

matrix: $(READY)-test
	$(BIN)/python -m pytest -n 1 -m long tests/matrix $(ARGS)

long: $(READY)-test $(ASSETS)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) -m long $(ARGS)

api: $(READY)-test
	LAMPLIGHTER_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(PYTEST_WORKERS) -m long \
	    tests/web/test_api_schema.py $(ARGS)

growth: $(READY)-test
	$(BIN)/python -m bench.flow growth

screenshots: $(READY)-test $(ASSETS)
	$(BIN)/python scripts/screenshots.py $(ARGS)

calibration: $(READY)-run
	$(BIN)/python scripts/calibration.py $(ARGS)

fuzz: $(READY)-fuzz
	$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

docs: $(READY)-run
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/codes.py
	$(BIN)/python scripts/diagrams.py
	$(BIN)/python scripts/lab_page.py

assets: | $(VENV)/pyvenv.cfg
	$(BIN)/python scripts/assets.py

case: $(READY)-test
	@mkdir -p docs/examples
	$(BIN)/lamplighter plan business-case src/lamplighter/planning/business/examples/ppmid.toml \
	    --html docs/examples/business-case.html --force $(ARGS)

# A trace is compared with that of another interpreter, which needs the run-time dependencies and nothing else.
determinism: $(READY)-test
	@test -n "$(PYTHON_OTHER)" || { echo "determinism: make determinism PYTHON_OTHER=python3.13"; exit 2; }
	@test -x $(OTHER)/bin/python || $(PYTHON_OTHER) -m venv $(OTHER)
	@$(OTHER)/bin/python -m pip --disable-pip-version-check --no-input --quiet \
	    install --require-hashes -r requirements/run.txt
	LAMPLIGHTER_OTHER_PYTHON=$(OTHER)/bin/python $(BIN)/python -m pytest tests/lab/test_determinism.py $(ARGS)

clean:
	rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
	    bench/results fuzz/findings
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: an environment, then layers, each marked by a file newer than what it was made from

$(VENV)/pyvenv.cfg:
	@PYTHON="$(PYTHON)" sh scripts/make_venv.sh $(VENV)

$(READY)-run: requirements/run.txt pyproject.toml src/lamplighter/__init__.py | $(VENV)/pyvenv.cfg
	@echo "set-up: run-time dependencies"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# From npm, or from its registry where npm is not installed; where neither can be had, pages look plain.
$(ASSETS): scripts/assets.py scripts/npm_package.py | $(VENV)/pyvenv.cfg
	@$(BIN)/python scripts/assets.py --try

$(READY)-test: requirements/test.txt $(READY)-run
	@echo "set-up: test dependencies"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

$(READY)-dev: requirements/dev.txt $(READY)-test
	@echo "set-up: lint and type checkers"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(READY)-fuzz: requirements/fuzz.txt $(READY)-run
	@echo "set-up: atheris"
	@$(PIP) install --require-hashes -r requirements/fuzz.txt || { \
	    echo "fuzz: atheris has no wheel for this Python and could not be built (it needs clang)."; \
	    echo "fuzz: its corpus still runs without it, in 'make test'. PYTHON=python3.11 make clean fuzz may help."; \
	    exit 1; }
	@touch $@

# --- locks: dev.txt holds everything; the others take their versions from it, so that the layers agree. goosebit,
# which bench measures against, has an environment of its own and a lock of its own.

UV ?= $(VENV)/lock/bin/uv
COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    $(ARGS)

$(VENV)/lock/bin/uv: | $(VENV)/pyvenv.cfg
	@$(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip --quiet --disable-pip-version-check install uv

lock: $(UV)
	$(UV) $(COMPILE) pyproject.toml --group dev -o requirements/dev.txt
	$(UV) $(COMPILE) pyproject.toml --group build --constraint requirements/dev.txt -o requirements/run.txt
	$(UV) $(COMPILE) pyproject.toml --group build --group test --constraint requirements/dev.txt -o requirements/test.txt
	$(UV) $(COMPILE) pyproject.toml --group build --group fuzz --constraint requirements/dev.txt -o requirements/fuzz.txt
	$(UV) $(COMPILE) requirements/goosebit.in -o requirements/goosebit.txt
