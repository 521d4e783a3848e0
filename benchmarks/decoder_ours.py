"""Worker: an `RNNDecoder`, and the same decoder as `keras.layers.RNN` with a cell of one's own.

    python benchmarks/decoder_ours.py SIZES_AS_JSON

See `decoder.py` and `seq2seq.py`, which start it.
"""

import functools
import itertools
import json
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402
from side_by_side import serve  # noqa: E402

import keras_attention as ka  # noqa: E402
from keras_attention.decoding import beam_search, greedy  # noqa: E402
from keras_attention.models.recurrent.rnn_decoder import RNNDecoder  # noqa: E402

SIZES = json.loads(sys.argv[1])
BATCH, SOURCE, TARGET = SIZES["batch"], SIZES["source"], SIZES["target"]
UNITS, VOCABULARY = SIZES["units"], SIZES["vocabulary"]
BEAM = SIZES["beam"]
START, NO_END = 2, -1
RATE = 0.01
# Each with the number of its hypotheses.
SEARCHES = {
    "greedy": (greedy, 1),
    "beam": (functools.partial(beam_search, beam_width=BEAM, n_best=BEAM), BEAM),
}


class Cell(keras.layers.Layer):
    """As one writes it: the memory and its keys are attributes, set before the RNN runs."""

    def __init__(self):
        super().__init__()
        self.state_size = UNITS
        self.gru = keras.layers.GRUCell(UNITS)
        self.query = keras.layers.Dense(UNITS, use_bias=False)
        self.key = keras.layers.Dense(UNITS, use_bias=False)

    def build(self, shape):
        self.gru.build((None, 2 * UNITS))
        self.query.build((None, UNITS))
        self.key.build((None, UNITS))
        # Not a Dense of one unit: XLA compiles no gradient of its product inside a loop.
        self.v = self.add_weight(shape=(UNITS,), name="v")

    def call(self, x, states):
        (h,) = states
        scores = ops.sum(self.v * ops.tanh(self.query(h)[:, None] + self.keys), axis=-1)
        context = ops.sum(ops.softmax(scores)[..., None] * self.memory, axis=1)
        h, states = self.gru(ops.concatenate([x, context], axis=-1), [h])
        return ops.concatenate([h, context], axis=-1), states


class KerasDecoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(VOCABULARY, UNITS)
        self.bridge = keras.layers.Dense(UNITS, "tanh")
        self.cell = Cell()
        self.rnn = keras.layers.RNN(self.cell, return_sequences=True)
        self.vector = keras.layers.Dense(UNITS, "tanh")
        self.logits = keras.layers.Dense(VOCABULARY)

    def call(self, target, memory, state):
        if not self.cell.built:
            self.cell.build(None)
            self.cell.built = True
        self.cell.memory, self.cell.keys = memory, self.cell.key(memory)
        hidden = self.rnn(self.embedding(target), initial_state=[self.bridge(state[0][0])])
        return self.logits(self.vector(hidden))


def weights_of(decoder):
    """By the names that all workers know."""
    cell = decoder.cells.cells[0]
    return {
        "embedding": decoder.embedding.embeddings,
        "bridge_kernel": decoder.bridges[0][0].kernel,
        "bridge_bias": decoder.bridges[0][0].bias,
        "kernel": cell.kernel,
        "recurrent_kernel": cell.recurrent_kernel,
        "bias": cell.bias,
        "query": decoder.attention.query_dense.kernel,
        "key": decoder.attention.key_dense.kernel,
        "v": decoder.attention.attention_v,
        "vector_kernel": decoder.attention_vector.kernel,
        "vector_bias": decoder.attention_vector.bias,
        "logits_kernel": decoder.logits.kernel,
        "logits_bias": decoder.logits.bias,
    }


def copy_into_keras(named, model):
    cell = model.cell
    model.embedding.embeddings.assign(named["embedding"])
    model.bridge.set_weights([named["bridge_kernel"], named["bridge_bias"]])
    cell.gru.set_weights([named["kernel"], named["recurrent_kernel"], named["bias"]])
    cell.query.kernel.assign(named["query"])
    cell.key.kernel.assign(named["key"])
    cell.v.assign(named["v"])
    model.vector.set_weights([named["vector_kernel"], named["vector_bias"]])
    model.logits.set_weights([named["logits_kernel"], named["logits_bias"]])


def data(batch):
    generator = np.random.default_rng(5)
    return {
        "target": generator.integers(4, VOCABULARY, (batch, TARGET)).astype("int32"),
        "labels": generator.integers(4, VOCABULARY, (batch, TARGET)).astype("int32"),
        "memory": generator.standard_normal((batch, SOURCE, UNITS)).astype("float32"),
        "state": generator.standard_normal((batch, UNITS)).astype("float32"),
    }


def train_step(model, batch, jit):
    """One step of gradient descent; returns the loss before it."""
    inputs = {name: tf.constant(x) for name, x in batch.items()}
    variables = [weight.value for weight in model.trainable_weights]

    @tf.function(jit_compile=jit)
    def step(rate):
        with tf.GradientTape() as tape:
            logits = model(inputs["target"], inputs["memory"], [[inputs["state"]]])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(inputs["labels"], logits)
            loss = tf.reduce_mean(losses)
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(rate * tf.convert_to_tensor(gradient))
        return loss

    return step


def trainer(make, weights, batch, jit):
    """A function to serve: with inputs it starts from `weights` and returns losses."""
    model = make()
    step = train_step(model, batch, jit)

    def run(inputs):
        if "steps" in inputs:
            weights(model)
            return {"losses": [float(step(RATE)) for _ in range(int(inputs["steps"]))]}
        float(step(RATE))
        return None

    return run


def decoder(**arguments):
    keras.utils.set_random_seed(3)
    made = RNNDecoder(VOCABULARY, UNITS, UNITS, attention=ka.BahdanauAttention(UNITS), **arguments)
    first = data(1)
    made(first["target"], first["memory"], [[first["state"]]])
    # Tokens that differ, and logits far enough apart that rounding chooses none.
    made.embedding.embeddings.assign(made.embedding.embeddings * 40)
    made.logits.kernel.assign(made.logits.kernel * 4)
    return made


def keras_decoder():
    made = KerasDecoder()
    first = data(1)
    made(first["target"], first["memory"], [[first["state"]]])
    return made


def searcher(search, width, model, batch, jit=False, exported=False):
    """A search as a function to serve: ids `(B, [W,] L)` where inputs are given."""
    memory, state = tf.constant(batch["memory"]), tf.constant(batch["state"])

    def answer(memory, state):
        prepared = model.prepare(memory)
        found = search(
            functools.partial(model.step, width=width),
            model.initial_state(prepared, [[state]]),
            prepared,
            batch_size=ops.shape(memory)[0],
            start_id=START,
            end_id=NO_END,
            max_length=TARGET,
        )
        return found.ids

    make = functools.cache(
        lambda: _exported(model, answer) if exported else tf.function(answer, jit_compile=jit)
    )

    def run(inputs):
        ids = make()(memory, state).numpy()
        return {"ids": ids} if inputs else None

    return run


def _exported(model, answer):
    """As a SavedModel has it: any batch, any length, no XLA."""
    module = tf.Module()
    module.variables_ = [weight.value for weight in model.weights]
    floats = [tf.TensorSpec((None, None, UNITS)), tf.TensorSpec((None, UNITS))]
    module.answer = tf.function(answer, input_signature=floats)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.answer})
        loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    names = [spec.name for spec in signature.structured_input_signature[1].values()]

    def run(memory, state, keep=loaded):
        (ids,) = signature(**dict(zip(sorted(names), (memory, state), strict=True))).values()
        return ids

    return run


def product():
    """One large product, for the rate of multiply-adds that this machine gives."""
    left, right = tf.ones((2048, 1024)), tf.ones((1024, 1024))

    def run(inputs):
        if inputs:
            return {"multiply_adds": 2048 * 1024 * 1024}
        tf.matmul(left, right)  # eager, so done when it returns
        return None

    return run


def peak_memory(function):
    """Bytes of TensorFlow's CPU allocator beyond those that were in use before."""
    function()
    tf.config.experimental.reset_memory_stats("CPU:0")
    before = tf.config.experimental.get_memory_info("CPU:0")["current"]
    function()
    return tf.config.experimental.get_memory_info("CPU:0")["peak"] - before


def main():
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    model = decoder()
    named = {name: np.asarray(weight) for name, weight in weights_of(model).items()}

    def restart(made):
        for name, weight in weights_of(made).items():
            weight.assign(named[name])

    functions = {"weights": lambda _: named, "product": product()}
    functions["data"] = lambda _: {
        f"{size}/{name}": x for size in (1, BATCH) for name, x in data(size).items()
    }
    batch = data(BATCH)
    for jit in (False, True):
        suffix = "_xla" if jit else ""
        functions["train" + suffix] = trainer(decoder, restart, batch, jit)
        functions["keras" + suffix] = trainer(
            keras_decoder, lambda made: copy_into_keras(named, made), batch, jit
        )
    for (name, search), size in itertools.product(SEARCHES.items(), (1, BATCH)):
        arguments = *search, model, data(size)
        functions[f"{name}_{size}"] = searcher(*arguments)
        functions[f"{name}_{size}_xla"] = searcher(*arguments, jit=True)
        functions[f"{name}_{size}_exported"] = searcher(*arguments, exported=True)
    serve(functions, peak_memory)


if __name__ == "__main__":
    main()
