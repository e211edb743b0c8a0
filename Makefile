# make demo       colorize three bundled photographs and write demo.png
# make test       all tests, on all cores (WORKERS=1: on one); with g++ those of the CUDA kernels on the CPU too
#                 (FASTCOLOR_REQUIRE_TOOLS=1: fails without)
# make test-gpu   the same tests with the kernels on a GPU, and those that need one; installs fastcolor and nothing else
# make check      format, lint, types (make types: the types alone)
# make rules      the CUDA kernels' machine code and memory traffic, held to their rules without a GPU
# make rehearse   the staged command for a day with a GPU, with the versions of such a machine and a stand-in for it
# make fuzz       the loaders of bins, models and checkpoints fuzzed for SECONDS=60, by atheris; what it finds is in build/fuzz
# make bench      the full benchmark and its report (quick: make bench BENCH=--quick)
# make bench-gpu  the benchmark on a GPU
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
SECONDS ?= 60
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet install -c constraints.txt

# With a GPU everything runs in the environment of PYTHON as it is: it has torch and CuPy for the machine's CUDA.
GPU_BACKENDS ?= cupy,numba-cuda
GPU_REPORT ?= runs/test-gpu.json
GPU_TESTS ?= $(addprefix tests/kernels/test_,gpu.py gpu_only.py agreement.py laws.py exhaustive.py gpu_sanitizer.py) \
	$(addprefix tests/arrays/test_,torch_ops.py torch_func.py) tests/toolkit/test_loss.py

.PHONY: demo test test-gpu check types rules rehearse fuzz bench bench-gpu gpu-ready format clean

demo: $(VENV)/.demo
	$(BIN)/fastcolor demo -o demo.png

test: $(VENV)/.test
	$(BIN)/python -m pytest tests -n $(WORKERS) --dist worksteal --durations=10 $(PYTEST)

test-gpu: GPU_NEEDS := torch cupy numba pytest hypothesis
test-gpu: gpu-ready
	FASTCOLOR_REQUIRE_GPU=1 FASTCOLOR_TEST_BACKENDS=$(GPU_BACKENDS) FASTCOLOR_TEST_REPORT=$(GPU_REPORT) \
		$(PYTHON) -m pytest $(GPU_TESTS) $(PYTEST)

check: $(VENV)/.test types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test
	# mypy does not follow the package-dir mapping of an editable install, so it sees the tree as it is installed.
	rm -rf build/types && mkdir -p build/types
	cp -r fastcolor bench tests/helpers/. build/types && cp -r reference kernels build/types/fastcolor
	rm build/types/test_*.py
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml --cache-dir ../mypy .

rules: $(VENV)/.test
	$(BIN)/python -m bench sass
	PYTHONPATH=tests/helpers $(BIN)/python -m cuda_host

rehearse: $(VENV)/.test
	PYTHONPATH=.:tests/helpers $(BIN)/python tests/helpers/day_environment.py

fuzz: $(VENV)/.fuzz
	$(BIN)/python tests/fuzz/fuzz.py all --seconds $(SECONDS)

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench
	$(BIN)/python -m bench $(BENCH)
	$(BIN)/python -m bench report

bench-gpu: GPU_NEEDS := torch cupy numba PIL
bench-gpu: gpu-ready
	$(PYTHON) -m bench --device cuda $(BENCH)

# fastcolor itself is linked into the environment of PYTHON if it is not yet, without its dependencies; a system's own
# Python, which refuses to install, is told that a link is all it gets.
gpu-ready:
	@$(PYTHON) -c "import importlib.util as u, sys; \
	lacks = [name for name in '$(GPU_NEEDS)'.split() if u.find_spec(name) is None]; \
	sys.exit('$(PYTHON) lacks ' + ', '.join(lacks) + ': choose another PYTHON, or see CONTRIBUTING.md' if lacks else 0)"
	@$(PYTHON) -c "import os, sys, fastcolor.kernels as k; sys.exit(not os.path.samefile(k.__path__[0], 'kernels'))" 2>/dev/null || { \
	$(PYTHON) -c "from importlib import metadata as m; assert int(m.version('setuptools').split('.')[0]) >= 77" 2>/dev/null \
		|| { echo "$(PYTHON) lacks setuptools 77 or newer, by which this tree is linked: pip install 'setuptools>=77'"; exit 1; }; \
	PIP_BREAK_SYSTEM_PACKAGES=1 $(PYTHON) -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .; }

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[torch]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --no-compile setuptools wheel -e '.[test,kernel-check]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # in parallel; files for other versions of Python do not compile
	touch $@ $(VENV)/.demo

$(VENV)/.fuzz: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[fuzz]'
	touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo.png
