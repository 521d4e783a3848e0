"""What changes the scores of layers with heads: shared heads, window, norm, cap, sinks, biases."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close, assert_equal

B, TQ, TV, DQ, DV = 2, 5, 7, 11, 13
HEADS, SHARED, KEY_DIM = 6, 3, 10
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@keras.saving.register_keras_serializable(package="tests")
class Distance(keras.layers.Layer):
    """A bias by position with a learned slope for each head."""

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, query_positions_shape, key_positions_shape):
        self.slopes = self.add_weight(name="slopes", shape=(self.heads,), initializer="ones")

    def call(self, query_positions, key_positions):
        distance = ops.abs(query_positions[..., None] - key_positions)
        slopes = ops.cast(self.slopes, self.compute_dtype)[:, None, None]
        return -slopes * ops.cast(distance, slopes.dtype)[..., None, :, :]

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


OPTIONS = {
    "shared heads": {"num_key_value_heads": SHARED},
    "one head for all": {"num_key_value_heads": 1},
    "window": {"window": 2},
    "norm": {"qk_norm": True},
    "cap": {"soft_cap": 1.5},
    "sinks": {"sinks": True},
    "position bias": {"position_bias": True},
    "rotary": {"rotary": True},
    "everything": {
        "num_key_value_heads": SHARED,
        "window": 3,
        "qk_norm": True,
        "soft_cap": 1.5,
        "sinks": True,
        "position_bias": True,
        "rotary": True,
    },
}
options = pytest.mark.parametrize("option", OPTIONS)


def layer_of(option, layer_class=ka.MultiHeadSelfAttention, **kwargs):
    arguments = dict(OPTIONS[option])
    if "position_bias" in arguments:
        arguments["position_bias"] = Distance(HEADS)
    if "rotary" in arguments:
        arguments["rotary"] = ka.RotaryPositions()
    return layer_class(HEADS, KEY_DIM, **arguments, **kwargs)


def randomize(layer):
    generator = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(weight + 0.3 * generator.standard_normal(weight.shape).astype("float32"))


def inputs_of(**shapes):
    generator = np.random.default_rng(0)
    return {n: generator.standard_normal(s).astype("float32") for n, s in shapes.items()}


def projected(dense, norm, x):
    x = np.einsum("btd,dhk->bhtk", x, as_float64(dense.kernel)) + as_float64(dense.bias)
    if norm is None:
        return x
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6) * as_float64(norm.scale)


def turned(x, positions):
    """Both halves of the features as real and imaginary parts, turned."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * 10000.0 ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], axis=-1)


def expected_of(layer, query, value, mask=None, causal=False, bias=0.0):
    """Output and weights by the formula, in float64, from the weights of the layer."""
    norms = (layer.query_norm, layer.key_norm) if layer.qk_norm else (None, None)
    query = query.astype("float64")
    value = value.astype("float64")
    if layer.position_bias is not None:
        rows, columns = np.ogrid[: query.shape[1], : value.shape[1]]
        distance = abs(columns - rows - (value.shape[1] - query.shape[1]))
        bias = bias - as_float64(layer.position_bias.slopes)[:, None, None] * distance
    keys = projected(layer.key_dense, norms[1], value)
    queries = projected(layer.query_dense, norms[0], query) / np.sqrt(KEY_DIM)
    if layer.rotary is not None:
        first = value.shape[1] - query.shape[1]
        keys = turned(keys, np.arange(value.shape[1]))
        queries = turned(queries, np.arange(first, value.shape[1]))
    context, weights = oracles.dot_product(
        queries,
        keys,
        projected(layer.value_dense, None, value),
        mask=mask,
        bias=bias,
        causal=causal,
        window=layer.window,
        soft_cap=layer.soft_cap,
        sinks=as_float64(layer.attention_sinks) if layer.sinks else None,
    )
    output = np.einsum("bhtk,hkd->btd", context, as_float64(layer.output_dense.kernel))
    return output + as_float64(layer.output_dense.bias), weights


@options
@pytest.mark.parametrize("causal", [False, True])
def test_formula_with_padding(option, causal):
    inputs = inputs_of(query=(B, TQ, DQ), value=(B, TV, DV))
    layer = layer_of(option, ka.MultiHeadCrossAttention)
    layer(**inputs)
    randomize(layer)
    mask = np.array([[True] * TV, [True, False] + [True] * (TV - 2)])
    given = {"value_mask": mask, "use_causal_mask": causal}
    expected = expected_of(layer, **inputs, mask=mask[:, None, None], causal=causal)
    output, weights = layer(**inputs, **given, return_attention_scores=True)
    assert_close(output, expected[0], **CLOSE)
    assert_close(weights, expected[1], **CLOSE)
    assert_close(layer(**inputs, **given), expected[0], **CLOSE)


def test_bias_of_a_call():
    inputs = inputs_of(query=(B, TQ, DQ), value=(B, TV, DV))
    bias = np.random.default_rng(2).standard_normal((1, HEADS, TQ, TV)).astype("float32")
    layer = layer_of("position bias", ka.MultiHeadCrossAttention)
    layer(**inputs)
    randomize(layer)
    expected = expected_of(layer, **inputs, bias=bias.astype("float64"))
    found = layer(**inputs, bias=bias, return_attention_scores=True)
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)
    sequence = inputs_of(query=(B, TQ, DQ))["query"]
    layer = layer_of("shared heads")
    layer(sequence)
    expected = expected_of(layer, sequence, sequence, bias=bias[..., :TQ])
    assert_close(layer(sequence, bias=bias[..., :TQ]), expected[0], **CLOSE)


def test_what_is_out_of_every_window_reaches_no_gradient():
    inputs = inputs_of(query=(B, TQ, DQ), value=(B, TV + 3, DV))
    layer = layer_of("window", ka.MultiHeadCrossAttention)
    expected = layer(**inputs)
    inputs["value"][:, : TV + 3 - TQ - 1] = np.nan
    assert_close(layer(**inputs), expected, **CLOSE)
    assert np.isfinite(as_float64(layer(**inputs, use_causal_mask=True))).all()


def test_weights_that_are_shared_are_made_once():
    layer = layer_of("shared heads")
    layer(np.ones((1, 2, DQ), "float32"))
    assert tuple(layer.key_dense.kernel.shape) == (DQ, SHARED, KEY_DIM)
    assert tuple(layer.value_dense.kernel.shape) == (DQ, SHARED, KEY_DIM)
    assert tuple(layer.query_dense.kernel.shape) == (DQ, HEADS, KEY_DIM)


@options
def test_configuration_and_file(option, tmp_path):
    x = inputs_of(x=(B, TQ, DQ))["x"]
    sequence = keras.Input((None, DQ))
    model = keras.Model(sequence, layer_of(option)(sequence, use_causal_mask=True))
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded(x), model(x))
    config = loaded.layers[1].get_config()
    layers = ("position_bias", "rotary")
    wanted = {n: v for n, v in OPTIONS[option].items() if n not in layers}
    assert {n: config[n] for n in wanted} == wanted
    for name in layers:
        assert (config[name] is not None) == (name in OPTIONS[option])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_key_value_heads": 4}, "multiple of num_key_value_heads.*num_key_value_heads=4"),
        ({"num_key_value_heads": 0}, "Received: num_key_value_heads=0"),
        ({"window": 0}, "Received: window=0"),
        ({"soft_cap": 0.0}, "Received: soft_cap=0.0"),
        ({"sinks": True, "probability": "sigmoid"}, "sinks.*Received: probability='sigmoid'"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.MultiHeadSelfAttention(HEADS, KEY_DIM, **arguments)


# The cache


def decoded(layer, x, length, steps, mask=None):
    """The outputs of `x` given in pieces of `steps`."""
    state, outputs, position = layer.initial_state(x.shape[0], length), [], 0
    for count in steps:
        piece = ops.convert_to_tensor(x[:, position : position + count])
        output, state, _ = layer.step(piece, state, position=position, cache_mask=mask)
        outputs.append(output)
        position += count
    return ops.concatenate(outputs, axis=1)


@options
@pytest.mark.parametrize("steps", [[1] * TV, [3, 1, 1, 2], [TV]])
def test_decoding_with_a_cache_equals_the_causal_call(option, steps):
    x = inputs_of(x=(B, TV, DQ))["x"]
    layer = layer_of(option)
    layer(x)
    randomize(layer)
    expected = layer(x, use_causal_mask=True)
    assert_close(decoded(layer, x, TV + 4, steps), expected, **CLOSE)


def test_a_cache_with_a_padded_prompt_and_positions_of_their_own():
    """The second sequence is two steps behind; its padding stands at the start of the first."""
    x = inputs_of(x=(B, TV, DQ))["x"]
    layer = layer_of("everything")
    layer(x)
    randomize(layer)
    mask = np.ones((B, TV + 1), bool)
    mask[0, :2] = False
    expected = layer(x, use_causal_mask=True, value_mask=mask[:, :TV])
    assert_close(decoded(layer, x, TV + 1, [1] * TV, mask), expected, **CLOSE)
    expected = layer(x, use_causal_mask=True)
    empty = layer.initial_state(B, TV)
    both = layer.step(ops.convert_to_tensor(x[:, :4]), empty, position=0)[1]
    piece = np.stack([x[0, 4:5], x[1, 2:3]])  # the second goes back two steps
    output, _, weights = layer.step(
        ops.convert_to_tensor(piece), both, position=np.array([4, 2]), return_attention_scores=True
    )
    assert_close(output[0, 0], expected[0, 4], **CLOSE)
    assert_close(output[1, 0], expected[1, 2], **CLOSE)
    assert tuple(weights.shape) == (B, HEADS, 1, TV)
    assert (as_float64(weights)[1, ..., 3:] == 0).all()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports from TensorFlow")
@pytest.mark.parametrize("option", ["one head for all", "everything"])
def test_a_cache_in_an_exported_model(option, tmp_path):
    """A signature that takes the next steps and the cache, and returns both, for any batch."""
    import tensorflow as tf

    x = inputs_of(x=(B, TV, DQ))["x"]
    layer = layer_of(option)
    layer(x)
    randomize(layer)
    empty = layer.initial_state(B, TV)

    class Module(tf.Module):
        def __init__(self):
            self.variables_of_layer = [weight.value for weight in layer.weights]

        @tf.function
        def step(self, query, key, value, position):
            state = {"key": key, "value": value}
            output, cache, _ = layer.step(query, state, position=position)
            return {"output": output, **cache}

    module = Module()
    caches = {n: tf.TensorSpec([None, *x.shape[1:]], name=n) for n, x in empty.items()}
    step = module.step.get_concrete_function(
        tf.TensorSpec([None, None, DQ], name="query"),
        **caches,
        position=tf.TensorSpec([], tf.int32, name="position"),
    )
    operations = {op.type for op in step.graph.get_operations()}
    assert not {op for op in operations if op.startswith("Xla") or "PyFunc" in op}
    tf.saved_model.save(module, tmp_path, signatures=step)
    loaded = tf.saved_model.load(tmp_path).signatures["serving_default"]
    expected = as_float64(layer(x, use_causal_mask=True))
    cache, position = empty, 0
    for count in [3, 1, 1]:
        piece = x[:, position : position + count]
        answer = loaded(query=tf.constant(piece), **cache, position=tf.constant(position))
        here = slice(position, position + count)
        assert_close(answer.pop("output"), expected[:, here], **CLOSE)
        cache, position = answer, position + count
