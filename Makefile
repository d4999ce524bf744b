VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: env demo test lint bench clean

env: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,test]'
	touch $@

demo: env
	$(BIN)/tam-dist demo

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -m 'not slow' tests

bench: env
	$(BIN)/python -m pytest -m 'not slow' -s tests/benchmarks

clean:
	rm -rf $(VENV) build *.egg-info demo-output
