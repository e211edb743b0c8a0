# make demo   colorize the bundled photographs and write demo.png
# make test   all tests
# make check  format, lint, types
# make bench  the full benchmark and its report (quick: make bench BENCH=--quick)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet install -c constraints.txt

.PHONY: demo test check bench format clean

demo: $(VENV)/.demo
	$(BIN)/fastcolor demo -o demo.png

test: $(VENV)/.test
	$(BIN)/python -m pytest tests $(PYTEST)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	# mypy does not follow the package-dir mapping of an editable install, so it sees the tree as it is installed.
	rm -rf build/types && mkdir -p build/types
	cp -r fastcolor bench build/types && cp -r reference kernels build/types/fastcolor
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml fastcolor bench

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench
	$(BIN)/python -m bench $(BENCH)
	$(BIN)/python -m bench report

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[torch]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) setuptools wheel
	$(PIP) -e '.[test]'
	touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo.png
