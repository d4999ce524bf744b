VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: env demo test lint bench gpu readers clean

env: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing tam-dist and what it needs into $(VENV): one to three minutes, 2 GB"
	$(BIN)/pip install --constraint constraints.txt --editable '.[demo,test]'
	touch $@

demo: env
	$(BIN)/tam-dist demo

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -m 'not slow' tests

# Each prints what it measures; those that need arguments say so. They are no tests: timings decide nothing.
bench: env
	for script in flat_memory xmem_memory mask_store export; do $(BIN)/python -m tests.benchmarks.$$script || exit 1; done

# What only a GPU can show, in under ten minutes; writes gpu-report.md.
gpu: env
	$(BIN)/python -m tests.benchmarks.gpu

# The tools that read what we export, for tests/tam_dist/export/test_readers.py, which is skipped without them.
readers: env
	$(BIN)/pip install --quiet --no-deps --requirement tests/readers.txt

clean:
	rm -rf $(VENV) build *.egg-info demo-output
