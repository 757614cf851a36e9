# `make verdict` and `make test` each set up everything that they need, in .venv.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: verdict install catalogue test calibration check format docs wheel clean

verdict: $(VENV)/.installed
	$(BIN)/harness test rank-collapse
	$(BIN)/harness report

install: $(VENV)/.installed

catalogue: $(VENV)/.installed
	$(BIN)/harness test --all
	$(BIN)/harness catalogue --into docs/catalogue.md

# Files of tests side by side, one a core: fixtures that take runs are shared within a file or made once a process.
# Long files begin (tests/conftest.py), so that no core ends alone with one.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

calibration: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/calibration.py --quick

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright
	$(BIN)/pyright --project pyrightconfig.basic.json

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html; to search it too: $(BIN)/python -m http.server --directory site"

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) dist site .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11. Name another: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and alone: once it is there, nothing else asks the index for another build of it.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a minute or two)"
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	touch $@
