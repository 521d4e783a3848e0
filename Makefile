# Everything a fresh machine needs is Python 3.11 or newer, make and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# As many processes as processors; the same generated examples in every run.
PYTEST = TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m pytest -q -n auto --dist worksteal --hypothesis-profile=ci

.PHONY: help demo test check test-jax test-rows test-clients test-backends test-torch test-nightly test-nightly-masks test-oldest clean

help:
	@echo "make demo           train, export, serve and ask the date normaliser"
	@echo "make test           style, types and all tests, on JAX those of a row for each layer"
	@echo "make test-rows      every row of the conformance table for the properties of which make test has one for each layer"
	@echo "make test-clients   clients in JavaScript, Java and shell against the server (needs npm, java and curl)"
	@echo "make test-backends  all tests of ops, layers, decoding and models on JAX"
	@echo "make test-torch     the same on PyTorch (installs torch: several GB where only CUDA builds are to be had)"
	@echo "make test-nightly   the same with the nightly build of Keras"
	@echo "make test-oldest    tests of layers, models, export and serving with the lowest versions that setup.cfg allows"
	@echo "make clean          remove the environment and what the demo wrote"

demo: $(VENV)/demo
	PYTHONPATH=examples $(BIN)/python -m date_normalizer

test: check
	$(PYTEST) $(addprefix --ignore tests/conformance/,$(LONG))
	$(PYTEST) $(addprefix tests/conformance/,$(LONG)) -k "$(ROWS)"
	$(MAKE) test-jax
	$(MAKE) test-nightly-masks

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

PORTABLE = tests/ops tests/layers tests/decoding tests/models tests/conformance tests/test_losses.py tests/test_metrics.py

# Most of the time on JAX goes into compiling small programs: without optimisation, and each of them
# by one process for all.
JAX = KERAS_BACKEND=jax XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true" \
	JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV))/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
# Of the conformance table, one row for each layer; the others differ in an argument or two. So it is on
# JAX, and on TensorFlow for the properties that take longest. `make test-rows` has them all.
LONG = test_saved_model.py test_unknown_features.py test_xla.py test_function.py test_gradients.py test_dropout.py \
	test_mixed_precision.py test_keras_masks.py test_conversion.py
ROWS = not (probability or sizes or scores or entmax15 or normalized or scaled or expected or hard or smooth or local_monotonic)
# What is Python before any backend computes: checks of arguments, and layers that Keras makes anew;
# and sizes of 0, each of which is a program of its own. `make test-backends` has them all.
TENSORFLOW_ENOUGH = test_calls.py test_quantize.py test_empty.py

test-jax: $(VENV)/dev
	$(JAX) $(PYTEST) tests/ops tests/decoding tests/test_losses.py tests/test_metrics.py
	$(JAX) $(PYTEST) tests/conformance $(addprefix --ignore tests/conformance/,$(TENSORFLOW_ENOUGH)) -k "$(ROWS)"

test-rows: $(VENV)/dev
	$(PYTEST) $(addprefix tests/conformance/,$(LONG))

test-backends: $(VENV)/dev
	$(JAX) $(PYTEST) $(PORTABLE)

test-torch: $(VENV)/dev
	$(BIN)/pip install -q -e ".[torch]"
	KERAS_BACKEND=torch $(PYTEST) $(PORTABLE)

# What the next Keras brings: its nightly build before the installed one, in a folder of its own.
NIGHTLY = PYTHONPATH=$(abspath $(VENV))/nightly:$(PYTHONPATH)

test-nightly: $(VENV)/nightly/keras
	$(NIGHTLY) $(PYTEST) $(PORTABLE)

# What CI has time for: where a change of Keras' masks would be silent.
test-nightly-masks: $(VENV)/nightly/keras
	$(NIGHTLY) $(PYTEST) tests/layers/test_keep_mask.py tests/models/test_memory_masks.py \
		tests/models/test_padding.py tests/conformance/test_keras_masks.py -k "$(ROWS)"

$(VENV)/nightly/keras: $(VENV)/dev
	rm -rf $(VENV)/nightly
	$(BIN)/pip install -q --no-deps --target $(VENV)/nightly keras-nightly
	@touch $@

# With what no Python brings along: not in CI.
test-clients: $(VENV)/clients/node_modules
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m tests.clients $<

$(VENV)/clients/node_modules: $(VENV)/dev
	npm install --silent --no-audit --no-fund --prefix $(@D) "@grpc/grpc-js@^1.9" "@grpc/proto-loader@^0.7 || ^0.8"
	@touch $@

# In an environment of its own. All that setup.cfg names is as old as it may be. TensorFlow 2.18 cannot
# read the models in text format that it writes with protobuf 5.
OLDEST = $(VENV)-oldest
test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	sed -n 's/^    \([A-Za-z0-9._-]*\)>=/\1==/p' setup.cfg > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install -q -c $(OLDEST)/constraints.txt -e ".[tensorflow,dev]"
	TF_CPP_MIN_LOG_LEVEL=2 $(OLDEST)/bin/python -m pytest -q -n auto --dist worksteal --hypothesis-profile=ci $(PORTABLE) \
		tests/test_export.py tests/serving/test_saved_models.py tests/serving/test_client.py \
		tests/serving/test_grpc_services.py tests/serving/test_tflite.py -k "not pbtxt"

# One stamp for each set of extras; installed anew when the dependencies change.
$(VENV)/demo: setup.cfg | $(VENV)/ready
	$(BIN)/pip install -q -e ".[tensorflow,demo]"
	@touch $@

$(VENV)/dev: setup.cfg | $(VENV)/ready
	$(BIN)/pip install -q -e ".[all]"
	@touch $@ $(VENV)/demo

$(VENV)/ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Expected Python 3.11 or newer. Received: $$($(PYTHON) --version). Set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) $(OLDEST) runs saved_models/*/ build dist *.egg-info
