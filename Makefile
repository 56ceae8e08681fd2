# make demo   set up, train the sample recipe
# make test   set up, lint, check types, run the tests
# make bench  set up, measure speed side by side
# make plugins  packages that add parts, from new-plugin to a prediction, in an environment of their own
PYTHON ?= python3
VENV ?= .venv
PROCESSES ?= auto
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint bench plugins clean

demo: $(INSTALLED)
	$(BIN)/rnntext run recipes/sentiment.toml
	@echo
	@echo 'Next, with the run folder printed above:'
	@echo '  $(BIN)/rnntext predict RUN --text "I hate this boring movie"'

test: lint
	$(BIN)/python -m pytest -n $(PROCESSES) --maxprocesses 8 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

plugins:
	$(PYTHON) .ci/plugins.py $(PLUGINS_VENV)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
