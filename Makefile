# Everything runs in .venv, which is created on first use. Python, pip and make are required.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKENDS ?= jax torch
# Number of test processes.
JOBS ?= 2
# By file, so that the fixtures of a file are created once, in the order of tests/conftest.py.
DIST ?= loadfile --no-loadscope-reorder
# JAX without optimizations: compiling takes longer than the tests that it would speed up.
XLA_FLAGS ?= --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true
PYTEST = $(BIN)/python -m pytest -q -n $(JOBS) --dist $(DIST) --durations 10
# The tests of every layer. On torch all of tests/layers takes a minute; JAX compiles each test separately.
LAYERS ?= tests/layers/test_layer_contract.py
# Cases of these tests: all, or with "not slow" only dissimilar ones.
CASES ?= slow or not slow
# Texts in which `make lint` looks for the words of .ci/words.
PROSE := tsattn tests docs examples notebooks configs datasets Makefile mkdocs.yml pyproject.toml .github '*.md' 'benchmarks/*.py' 'benchmarks/*.toml'
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP := $(BIN)/python -m pip install -qq
# Compiled bytecode halves the start-up time of TensorFlow.
unexport PYTHONDONTWRITEBYTECODE
# mkdocs-material prints at every start that its support ends in May 2027 and that Zensical reads the same configuration.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help demo docs docs-serve notebooks test test-lowest test-slow test-release test-accuracy test-backends pretrain bench bench-accuracy bench-side-by-side bench-sequences bench-reading bench-windows bench-serving bench-startup bench-scale bench-speed bench-classical bench-layers bench-reliability bench-zero-shot lint format clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 19

$(VENV)/.base: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "tsattn needs Python 3.11 or newer: make PYTHON=python3.11" && exit 1)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || \
		($(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -qq pip)
	@echo "Installing tsattn into $(VENV) (a few minutes the first time)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@echo "Installing the development tools into $(VENV)"
	@$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.base ## Fit a bundled real series, compare, forecast, export
	@$(BIN)/tsattn fit datasets/Airline.csv --out runs/demo --overwrite
	@$(BIN)/tsattn predict runs/demo | head -n 4

test: $(VENV)/.dev ## The fast tests
	@$(PYTEST) -m 'not slow'

test-slow: $(VENV)/.dev ## The slow tests: real data sets, notebooks (minutes)
	@$(PYTEST) -m 'slow and not accuracy and not release'

test-release: $(VENV)/.dev ## More notebooks, and every program with every network, before a release (minutes)
	@$(PYTEST) -m release

test-accuracy: $(VENV)/.dev ## Accuracy of the default on ETTh1 and M4 Hourly (eight minutes); needs TSATTN_DATA_DIR
	@$(PYTEST) -m accuracy

test-lowest: $(VENV)/.dev ## The fast tests with the lowest versions that pyproject.toml allows
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python $(VENV)-lowest
	@$(BIN)/uv pip install -q --compile-bytecode --python $(VENV)-lowest --resolution lowest-direct --editable '.[dev]' \
		'python-dateutil<3' # pandas 2.2 reads no time zones of 3 and 4
	@$(subst $(BIN),$(VENV)-lowest/bin,$(PYTEST)) -W default -m 'not slow'

test-backends: DIST = worksteal
test-backends: $(VENV)/.dev ## The layers on the other Keras backends, if installed
	@for backend in $(BACKENDS); do \
		$(BIN)/python -c "import $$backend" 2>/dev/null || { echo "$$backend is not installed: skipped"; continue; }; \
		echo "The layers on $$backend"; \
		KERAS_BACKEND=$$backend JAX_PLATFORMS=cpu XLA_FLAGS="$(XLA_FLAGS)" $(PYTEST) $(LAYERS) -k 'not reversal and not same_outputs' \
			-m '$(CASES)' || exit 1; \
	done

pretrain: $(VENV)/.dev ## Train the network of tsattn/pretrained on synthetic series (hours; continues where it was interrupted)
	@KERAS_BACKEND=jax $(BIN)/python -m tsattn.training.pretraining benchmarks/results/pretraining
	@mv benchmarks/results/pretraining/weights.npz tsattn/pretrained/weights.npz

bench: bench-accuracy bench-side-by-side bench-sequences bench-reading bench-windows bench-layers bench-serving bench-startup bench-scale bench-speed bench-classical bench-zero-shot ## All benchmarks

bench-sequences: $(VENV)/.dev ## Attention pooling over sequences of different lengths; needs TSATTN_DATA_DIR
	@$(BIN)/python -m benchmarks.sequences

bench-reading: $(VENV)/.dev ## Time and memory to load CSV files, compared with pyarrow
	@$(BIN)/python -m benchmarks.reading

bench-windows: $(VENV)/.dev ## Rate of gathering windows, compared with training on them
	@$(BIN)/python -m benchmarks.windows

bench-reliability: $(VENV)/.dev ## Kill commands, damage runs, forecast extreme series; writes docs/reliability.md (an hour)
	@$(BIN)/python -m benchmarks.reliability

bench-layers: $(VENV)/.dev ## Time and memory of the attention layers, compared with Keras's (minutes)
	@$(BIN)/python -m benchmarks.layers

bench-startup: $(VENV)/.dev ## Time of commands, compared with a bare import of TensorFlow
	@$(BIN)/python -m benchmarks.startup

bench-scale: $(VENV)/.dev ## Forecasts of many series in several processes and on Ray workers
	@$(BIN)/python -m benchmarks.scale

bench-speed: $(VENV)/.dev ## A training step, prediction and reading, compared with others in the same run
	@$(BIN)/python -m benchmarks.speed

bench-serving: $(VENV)/.dev ## The server under load, with and without micro-batching; needs wrk
	@$(BIN)/python -m benchmarks.serving

bench-zero-shot: $(VENV)/.dev ## Forecasts without training on all sets; needs TSATTN_DATA_DIR
	@$(BIN)/python -m benchmarks.zero_shot

bench-classical: $(VENV)/.dev ## AutoETS and AutoTheta on M4 Hourly, compared with the default; needs TSATTN_DATA_DIR
	@$(BIN)/python -m benchmarks.classical

bench-accuracy: $(VENV)/.dev ## Accuracy by published protocols (hours; can be interrupted); needs TSATTN_DATA_DIR
	@$(BIN)/python -m benchmarks.accuracy run
	@$(BIN)/python -m benchmarks.accuracy table

bench-side-by-side: $(VENV)/.dev ## The default, neuralforecast, statsforecast and a linear model by wall-clock time; needs TSATTN_DATA_DIR
	@$(BIN)/python -m benchmarks.side_by_side run
	@$(BIN)/python -m benchmarks.side_by_side table

docs: $(VENV)/.dev ## Build the documentation into build/site; warnings, such as dead links, are errors
	@TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/.dev ## Show the documentation on 127.0.0.1:8000, rebuilt after every change
	@TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/mkdocs serve

notebooks: $(VENV)/.dev ## Run the notebooks and store their outputs in them (minutes); needs TSATTN_DATA_DIR
	@$(BIN)/python notebooks/execute.py

lint: $(VENV)/.dev ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@! git grep -nIiE -f .ci/words -- $(PROSE) || (echo "Words on the list of .ci/words: see the lines above" && exit 1)

format: $(VENV)/.dev ## Fix the style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## Remove generated files
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache runs
