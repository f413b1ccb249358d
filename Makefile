PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: test
test: $(VENV)/.ready
	$(BIN)/python -m pytest

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[cli]" --group test --group lint
	touch $@
