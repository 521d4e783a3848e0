"""Attention with a state, or with noise, in the recurrent decoder: training and every search."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.models import RNNDecoder
from keras_attention.models.recurrent.teacher_forcing import can_run_whole
from tests.models.oracle import Oracle, softmax
from tests.models.variants import (
    LENGTHS,
    SOURCE_VOCABULARY,
    TARGET_VOCABULARY,
    Variant,
    array,
    batch,
    ids,
)


def additive():
    return ka.BahdanauAttention(23)


ATTENTIONS = {
    "monotonic": lambda **a: ka.MonotonicAttention(additive(), noise=1.0, **a),
    "mocha": lambda **a: ka.MoChA(additive(), **a),
    "local_p": lambda **a: ka.LocalAttention(additive(), window=2, **a),
    "local_m": lambda **a: ka.LocalAttention(
        additive(), window=2, position="monotonic", gaussian=True, **a
    ),
    "location": lambda **a: ka.LocationSensitiveAttention(
        additive(), filters=3, kernel_size=3, **a
    ),
    "coverage": lambda **a: ka.CoverageAttention(additive(), **a),
    "gumbel": lambda **a: ka.LuongAttention("general", probability="gumbel", **a),
}
CASES = [(name, "previous") for name in ATTENTIONS]
CASES += [("monotonic", "current"), ("coverage", "current")]
BEAMS, STEPS = 3, 5
LABELS = np.array([[5, 6, 7, 3], [7, 3, 0, 0], [3, 0, 0, 0]])


@functools.cache
def made(name, query):
    """A model with random weights; tests must not change it."""
    return Variant(name, ATTENTIONS[name], {"query": query}).model()


@pytest.fixture(params=CASES, ids="_".join)
def model(request):
    return made(*request.param)


def inputs():
    target = ids((3, 4), TARGET_VOCABULARY, seed=11)
    target[:, 0] = 2
    return {**batch(), "target": target}


def test_the_operation_for_plain_attention_is_not_taken(model):
    assert not can_run_whole(model.decoder)


def test_step_by_step_is_teacher_forcing(model):
    given = inputs()
    expected = array(model(given))
    memory = model.prepare(given["source"])
    state = model.initial_state(memory)
    for t in range(given["target"].shape[1]):
        logits, state, weights = model.step(given["target"][:, t], state, memory)
        np.testing.assert_allclose(array(logits), expected[:, t], atol=5e-6)
        assert tuple(weights.shape) == given["source"].shape
        assert (array(weights)[given["source"] == 0] == 0).all()


@pytest.mark.parametrize("query", ["previous", "current"])
def test_coverage_against_numpy(query):
    """Step by step from the formulas, with what was read so far."""
    model, given = made("coverage", query), inputs()

    class Covering(Oracle):
        covered = 0.0

        def read(self, s, memory):
            seen = np.broadcast_to(self.covered, (len(memory),))[:, None]
            term = seen @ self["history kernel"] + self["history bias"]
            added = s @ self["query kernel"] + memory @ self["key kernel"] + term
            weights = softmax(np.tanh(added) @ self["attention_v"])
            self.covered = self.covered + weights
            return weights @ memory, weights

    found = array(model(given))
    for i, length in enumerate(LENGTHS):
        oracle = Covering(model)
        expected = oracle.logits(given["source"][i, :length], given["target"][i], query)
        np.testing.assert_allclose(found[i], expected, atol=2e-5)


def test_the_state_goes_with_the_beams(model):
    """Every hypothesis as if it were alone: the model's step, of a state that it had alone."""
    source = inputs()["source"]
    memory = model.prepare(source)
    state = model.initial_state(memory)
    rows = np.repeat(np.arange(3), BEAMS)

    def taken(x):
        return ops.take(x, rows, axis=0)

    state = keras.tree.map_structure(taken, state)
    tiled = keras.tree.map_structure(taken, memory)
    alone = state
    for seed in range(2):  # at the second step the rows of one memory differ
        token = ids((3 * BEAMS,), TARGET_VOCABULARY, seed)
        logits, state, weights = model.step(token, state, memory)
        expected, alone, expected_weights = model.step(token, alone, tiled)
        np.testing.assert_allclose(array(logits), array(expected), atol=5e-6)
        np.testing.assert_allclose(array(weights), array(expected_weights), atol=5e-6)
        for x, y in zip(state, alone, strict=True):
            np.testing.assert_allclose(array(x), array(y), atol=5e-6)


def test_every_search(model):
    source = inputs()["source"]
    greedy = model.decode(source, max_length=STEPS)
    one = model.beam_search(source, max_length=STEPS, beam_width=1)
    np.testing.assert_array_equal(array(greedy.ids), array(one.ids)[:, 0])
    best = model.beam_search(source, max_length=STEPS, beam_width=BEAMS, n_best=BEAMS)
    cold = model.sample(source, np.arange(3), max_length=STEPS, temperature=0.0)
    np.testing.assert_array_equal(array(cold.ids), array(greedy.ids))
    # The score of each hypothesis is the model's own of its tokens.
    for n in range(BEAMS):
        tokens, lengths = best.ids[:, n], ops.convert_to_numpy(best.lengths[:, n])
        scores = array(model.log_probability(source, tokens, target_lengths=lengths))
        ended = lengths < STEPS
        np.testing.assert_allclose(scores[ended], array(best.score)[ended, n], rtol=1e-4)
        # Without the end that one cut off does not have, it is higher.
        assert (scores[~ended] < array(best.score)[~ended, n]).all()
    for i, length in enumerate(LENGTHS):
        alone = model.beam_search(source[i : i + 1, :length], max_length=STEPS, beam_width=BEAMS)
        np.testing.assert_array_equal(array(alone.ids)[0, 0], array(best.ids)[i, 0])
        np.testing.assert_allclose(array(alone.score)[0, 0], array(best.score)[i, 0], rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes are always known")
@pytest.mark.parametrize("name", ["monotonic", "location"])
def test_searches_in_a_graph_of_unknown_sizes(name):
    import tensorflow as tf

    model, source = made(name, "previous"), inputs()["source"]

    def search(source):
        wide = model.beam_search(source, max_length=STEPS, beam_width=BEAMS)
        return model.decode(source, max_length=STEPS), wide

    expected = search(source)
    graph = tf.function(search, input_signature=[tf.TensorSpec((None, None), tf.int32)])
    for x, y in zip(tf.nest.flatten(graph(source)), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(array(x), array(y), atol=2e-5)


def test_a_reloaded_model_is_the_same(model, tmp_path):
    given = inputs()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(again(given)), array(model(given)))
    np.testing.assert_array_equal(
        array(again.decode(given["source"], max_length=3).ids),
        array(model.decode(given["source"], max_length=3).ids),
    )


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_fit_changes_every_weight(name, policy):
    if policy != "float32" and name not in ("monotonic", "coverage"):
        pytest.skip("one of each kind is enough")
    variant = Variant(name, ATTENTIONS[name])
    drops = {"dropout": 0.25, "dtype": policy, "seed": 3}
    model = variant.model(attention_arguments=drops, dtype=policy)
    model.compile(
        keras.optimizers.SGD(0.1), loss=ka.SequenceCrossentropy(), metrics=[ka.TokenAccuracy()]
    )
    before = [array(weight) for weight in model.trainable_weights]
    model.optimizer.build(model.trainable_weights)  # or else Keras traces the step twice
    history = model.fit(inputs(), LABELS, epochs=2, batch_size=3, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    same = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.abs(array(weight) - old).max() == 0
    ]
    assert same == []


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA of a changing batch")
@pytest.mark.parametrize("name", ["location"])
def test_fit_compiled_with_an_unknown_batch(name):
    import tensorflow as tf

    # The loop of its own: two layers, and attention that the one operation does not know.
    options = {"units": 5, "attention": ATTENTIONS[name](), "num_layers": 2}
    model = ka.RNNSeq2Seq(SOURCE_VOCABULARY, TARGET_VOCABULARY, **options)
    model.compile(keras.optimizers.SGD(0.1), loss=ka.SequenceCrossentropy(), jit_compile=True)
    # XLA compiles anew for each size of a batch: the last one is smaller, for one of them.
    rows = tf.data.Dataset.from_tensor_slices((inputs(), LABELS))
    rows = rows if name == "location" else rows.take(2)
    history = model.fit(rows.batch(2), verbose=0, shuffle=False).history
    assert np.isfinite(history["loss"]).all()


def test_noise_is_of_training_alone():
    for name in ("monotonic", "gumbel"):
        model, given = made(name, "previous"), inputs()
        calm = array(model(given))
        np.testing.assert_array_equal(array(model(given, training=False)), calm)
        one, two = (array(model(given, training=True)) for _ in range(2))
        assert np.abs(one - two).max() > 1e-4


def test_several_layers_and_heads_draw_for_each_step():
    keras.utils.set_random_seed(3)
    attention = ka.MultiHeadCrossAttention(2, 3, dropout=0.5, seed=5)
    decoder = RNNDecoder(17, 11, 13, num_layers=2, cell="lstm", attention=attention)
    state = [[np.ones((3, 5), "float32")] * 2] * 2
    memory = np.random.default_rng(1).standard_normal((3, 7, 2)).astype("float32")
    given = inputs()["target"], memory, state
    calm, one, two = (array(decoder(*given, training=t)) for t in (False, True, True))
    assert one.shape == (3, 4, 17)
    assert np.abs(one - calm).max() > 1e-4 and np.abs(one - two).max() > 1e-4
