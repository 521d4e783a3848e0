import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.arrays import as_float64, assert_close
from tests.gradients import gradients

B, TT, TV, V, N, D = 2, 3, 5, 7, 2, 11
SOURCE = np.array([[2, 3, 2, 7, 8], [6, 7, 6, 6, 1]])
MASK = np.array([[True, True, True, True, False], [True] * 5])


def arrays(seed=0, dtype="float32"):
    generator = np.random.default_rng(seed)
    return {
        "logits": generator.standard_normal((B, TT, V)).astype(dtype),
        "weights": generator.dirichlet(np.ones(TV), (B, TT)).astype(dtype),
        "features": generator.standard_normal((B, TT, D)).astype(dtype),
    }


def expected(layer, logits, weights, features, mask):
    """See et al., equations 8 and 9, word by word."""
    kernel, bias = as_float64(layer.generate_dense.kernel), as_float64(layer.generate_dense.bias)
    found = np.zeros((B, TT, V + N))
    for b, t in np.ndindex(B, TT):
        p_gen = 1 / (1 + np.exp(-(features[b, t].astype("float64") @ kernel + bias)[0]))
        vocabulary = np.exp(logits[b, t].astype("float64"))
        found[b, t, :V] = p_gen * vocabulary / vocabulary.sum()
        for s in range(TV):
            if mask[b, s]:
                found[b, t, SOURCE[b, s]] += (1 - p_gen) * weights[b, t, s]
    return found


@pytest.mark.parametrize("mask", [None, MASK])
def test_formula(mask):
    layer, given = ka.PointerGenerator(N), arrays()
    found = as_float64(layer(**given, source=SOURCE, source_mask=mask))
    wanted = expected(layer, **given, mask=np.ones_like(MASK) if mask is None else mask)
    assert_close(np.exp(found), wanted, rtol=1e-5, atol=1e-7)
    if mask is None:
        assert_close(np.exp(found).sum(-1), 1.0, rtol=1e-5)
    impossible = wanted == 0
    assert impossible.any()
    assert (found[impossible] < -1e8).all()
    assert np.isfinite(found).all()


def test_it_is_what_the_loss_takes():
    layer, given = ka.PointerGenerator(N), arrays()
    log_probabilities = layer(**given, source=SOURCE)
    labels = np.array([[2, 7, 3], [6, 7, 0]])
    rows = as_float64(log_probabilities)
    wanted = -np.mean([rows[b, t, labels[b, t]] for b, t in np.ndindex(B, TT) if labels[b, t]])
    assert_close(ka.SequenceCrossentropy()(labels, log_probabilities), wanted, rtol=1e-5)


def test_nan_behind_the_mask_and_gradients():
    layer, given = ka.PointerGenerator(N), arrays()
    wanted = as_float64(layer(**given, source=SOURCE, source_mask=MASK))
    given["weights"][0, :, 4] = np.nan
    kwargs = {"source": ops.convert_to_tensor(SOURCE), "source_mask": MASK}
    assert_close(layer(**given, **kwargs), wanted, rtol=1e-6)

    def loss(outputs):
        return ops.sum(ops.exp(outputs) * ops.arange(V + N, dtype="float32"))

    found = gradients(layer, given, loss, **kwargs)
    assert len(found) == 5
    assert all(np.isfinite(g).all() for g in found.values())
    assert (found["weights"][0, :, 4] == 0).all()


def test_gradients_equal_differences_of_the_formula():
    layer, given = ka.PointerGenerator(N), arrays()
    layer(**given, source=SOURCE)
    factors = np.random.default_rng(1).standard_normal((B, TT, V + N))

    def loss(outputs):
        return ops.sum(ops.exp(outputs) * ops.convert_to_tensor(factors, "float32"))

    found = gradients(layer, given, loss, source=ops.convert_to_tensor(SOURCE))
    for name in given:
        direction = np.random.default_rng(2).standard_normal(given[name].shape)
        values = []
        for step in (1e-6, -1e-6):
            moved = {n: x.astype("float64") for n, x in given.items()}
            moved[name] = moved[name] + step * direction
            values.append(np.sum(expected(layer, **moved, mask=np.ones_like(MASK)) * factors))
        wanted = (values[0] - values[1]) / 2e-6
        assert_close(np.sum(found[name] * direction), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype):
    layer, given = ka.PointerGenerator(N, dtype=dtype), arrays()
    found = layer(**given, source=SOURCE)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    wanted = expected(layer, **given, mask=np.ones_like(MASK))
    assert_close(np.exp(as_float64(found)), wanted, rtol=0.05, atol=0.02)


def test_save_and_load_with_unknown_lengths(tmp_path):
    inputs = {
        "logits": keras.Input((None, V), name="logits"),
        "weights": keras.Input((None, None), name="weights"),
        "source": keras.Input((None,), name="source", dtype="int32"),
        "features": keras.Input((None, D), name="features"),
    }
    output = ka.PointerGenerator(N, kernel_initializer="he_normal")(**inputs)
    assert tuple(output.shape) == (None, None, V + N)
    model = keras.Model(inputs, output)
    model.save(tmp_path / "model.keras")
    given = {**arrays(), "source": SOURCE}
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded(given), model(given), rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
def test_saved_model_and_xla(tmp_path):
    import tensorflow as tf

    layer = ka.PointerGenerator(N)
    given = {n: tf.constant(x) for n, x in arrays().items()} | {"source": tf.constant(SOURCE)}
    wanted = layer(**given)
    assert_close(tf.function(layer, jit_compile=True)(**given), wanted, rtol=1e-4, atol=1e-5)
    names = {"logits": V, "weights": None, "features": D}
    specs = {n: tf.TensorSpec([None, None, d]) for n, d in names.items()}
    specs["source"] = tf.TensorSpec([None, None], tf.int64)

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = [weight.value for weight in layer.weights]

        @tf.function(input_signature=[specs])
        def answer(self, given):
            return layer(**given)

    tf.saved_model.save(Module(), tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    assert_close(loaded.answer(given), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("extra_words", [-1, 2.5, True, None])
def test_extra_words(extra_words):
    with pytest.raises(ValueError, match=f"Received: extra_words={extra_words!r}"):
        ka.PointerGenerator(extra_words)
