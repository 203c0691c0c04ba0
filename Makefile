# Each target sets up what it needs in $(VENV); `make check test VENV=/path/of/yours` uses an environment you have.
VENV ?= .venv
PYTHON = $(VENV)/bin/python
STAMP = $(VENV)/.finetune-test-extra

.PHONY: check format test slow families faults ranks slurm wheel

$(STAMP): pyproject.toml tests/install.sh
	VENV=$(VENV) tests/install.sh
	touch $@

check: $(STAMP)  ## format, lint (with docstring rules), types, and imports that go downwards
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict finetune data_adapters
	$(VENV)/bin/lint-imports --no-cache

format: $(STAMP)
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

test: $(STAMP)  ## the default suite: offline, minutes
	$(PYTHON) -m pytest -n 2 --dist loadfile

slow: $(STAMP)  ## full counts and soaks on both cores; the last output stands in docs/slow.md
	$(PYTHON) -m pytest -m slow -n 2 --durations=12

families faults ranks: $(STAMP)  ## one marked suite
	$(PYTHON) -m pytest -m $@

slurm: $(STAMP)  ## submits to a Slurm of one node, which it installs and starts (as root)
	VENV=$(VENV) tests/install.sh slurm
	$(PYTHON) -m pytest -m $@

wheel: $(STAMP)  ## dist/*.whl
	$(PYTHON) -m build --wheel --no-isolation
