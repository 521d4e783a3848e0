"""The blocked form: blocks forced small, against the formula and its gradients in float64."""

import functools

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("a kernel for TensorFlow", allow_module_level=True)

import tensorflow as tf

from keras_attention.ops import dot_product_attention, sliding_window_mask
from keras_attention.ops.dot_product.block_tensorflow import TiledAttention
from keras_attention.ops.dot_product.blocked_tensorflow import blocked_attention
from tests.arrays import assert_close, assert_equal

B, H, K, D, DV = 3, 4, 2, 7, 5
TQ, TV = 37, 53
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
OPTIONS = {"causal": False, "window": None, "soft_cap": None, "dropout": 0.0, "block": (11, 13)}


def arrays(query_length=TQ, value_length=TV, heads=H, kv_heads=K, batch=B, dtype="float64"):
    generator = np.random.default_rng(0)
    shapes = {
        "query": (batch, heads, query_length, D),
        "key": (batch, kv_heads, value_length, D),
        "value": (batch, kv_heads, value_length, DV),
    }
    return {n: generator.standard_normal(s).astype(dtype) for n, s in shapes.items()}


def plain(query, key, value, bias=None, sinks=None, mask=None, factors=1.0, **options):
    """The formula in one piece, for autodiff: not a line of it is the library's."""
    shared = query.shape[1] // key.shape[1]
    key, value = (tf.repeat(x, shared, axis=1) for x in (key, value))
    scores = tf.einsum("bhqd,bhkd->bhqk", query, key)
    if options.get("soft_cap"):
        scores = options["soft_cap"] * tf.tanh(scores / options["soft_cap"])
    scores += 0 if bias is None else bias
    rows, columns = np.ogrid[: query.shape[2], : key.shape[2]]
    distance = columns - rows - (key.shape[2] - query.shape[2])
    seen = np.ones(distance.shape, bool)
    if options.get("causal"):
        seen &= distance <= 0
    if options.get("window"):
        seen &= abs(distance) < options["window"]
    seen = seen if mask is None else seen & mask
    e = tf.where(seen, tf.exp(scores), tf.zeros([], scores.dtype))
    total = tf.reduce_sum(e, -1, keepdims=True)
    if sinks is not None:
        total += tf.exp(sinks)[:, None, None]
    return tf.einsum("bhqk,bhkd->bhqd", tf.math.divide_no_nan(e, total) * factors, value)


def blocked(
    query, key, value, bias=None, sinks=None, mask=None, nonfinite=None, seed=None, **options
):
    mask = None if mask is None else tf.convert_to_tensor(mask)
    return blocked_attention(
        query, key, value, mask, bias, sinks, nonfinite, seed, **{**OPTIONS, **options}
    )


def outputs_and_gradients(function, inputs, **given):
    inputs = {name: tf.constant(x) for name, x in inputs.items()}
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = function(**inputs, **given)
        factors = np.cos(np.arange(np.prod(output.shape))).reshape(output.shape)
        loss = tf.reduce_sum(output * tf.cast(factors, output.dtype))
    return {"output": output, **tape.gradient(loss, inputs)}


def assert_same(found, expected, **close):
    assert found.keys() == expected.keys()
    for name in expected:
        assert_close(found[name], expected[name], **(close or CLOSE), err_msg=name)


def mask_of(shape):
    if shape is None:
        return None
    mask = np.random.default_rng(1).random(shape) < 0.6
    mask[0, ..., :5, :] = False  # rows that see nothing; of a padding mask, a whole sequence
    return mask


REACHES = {
    "all": {},
    "causal": {"causal": True},
    "window": {"window": 9},
    "causal window": {"causal": True, "window": 19},
}


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("mask", [None, (B, 1, 1, TV), (B, H, TQ, TV)])
def test_output_and_gradients(mask, reach):
    inputs, given = arrays(), {"mask": mask_of(mask), **REACHES[reach]}
    expected = outputs_and_gradients(plain, inputs, **given)
    assert_same(outputs_and_gradients(blocked, inputs, **given), expected)


@pytest.mark.parametrize(
    ("mask", "reach"),
    [
        (None, "causal"),
        ((B, 1, 1, TV), "causal window"),
        ((B, H, TQ, TV), "all"),
        ((1, 1, TQ, TV), "window"),
    ],
)
def test_soft_cap_and_sinks(mask, reach):
    inputs = arrays() | {"sinks": np.random.default_rng(2).standard_normal(H)}
    given = {"mask": mask_of(mask), "soft_cap": 2.0, **REACHES[reach]}
    expected = outputs_and_gradients(plain, inputs, **given)
    assert_same(outputs_and_gradients(blocked, inputs, **given), expected)


@pytest.mark.parametrize(
    "shape", [(1, H, TQ, TV), (B, 1, 1, TV), (B, H, TQ, 1), (1, 1, TQ, TV), (B, H, TQ, TV)]
)
def test_gradient_of_a_bias(shape):
    inputs = arrays() | {"bias": np.random.default_rng(3).standard_normal(shape)}
    given = {"mask": mask_of((B, 1, 1, TV)), "causal": True}
    expected = outputs_and_gradients(plain, inputs, **given)
    assert_same(outputs_and_gradients(blocked, inputs, **given), expected)


LENGTHS = [(1, 53), (53, 1), (11, 13), (12, 14), (53, 37), (2, 2)]


@pytest.mark.parametrize("lengths", LENGTHS)
def test_lengths(lengths):
    """Each with half of the reaches, in turns."""
    inputs = arrays(*lengths)
    for given in list(REACHES.values())[LENGTHS.index(lengths) % 2 :: 2]:
        expected = outputs_and_gradients(plain, inputs, **given)
        assert_same(outputs_and_gradients(blocked, inputs, **given), expected)


def test_float32_at_length_499():
    inputs = arrays(499, 499, dtype="float32")
    given = {"causal": True, "block": (64, 128)}
    wide = {name: x.astype("float64") for name, x in inputs.items()}
    expected = outputs_and_gradients(plain, wide, causal=True)
    found = outputs_and_gradients(blocked, inputs, **given)
    for name in expected:
        largest = np.abs(expected[name].numpy()).max()
        difference = found[name].numpy().astype("float64") - expected[name].numpy()
        assert np.abs(difference).max() / largest < 2e-6, name


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_scores_of_every_size(scale):
    """Weights of the first column of a block next to 0, too; against a shifted softmax."""
    inputs = arrays()
    inputs["query"] *= scale
    scores = np.einsum("bhqd,bhkd->bhqk", inputs["query"], np.repeat(inputs["key"], 2, 1))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bhqk,bhkd->bhqd", weights, np.repeat(inputs["value"], 2, 1))
    found = outputs_and_gradients(blocked, inputs)
    assert_close(found["output"], expected, rtol=1e-7, atol=1e-9)
    assert all(np.isfinite(gradient).all() for gradient in found.values())


def test_a_bias_of_minus_infinity_is_a_mask():
    inputs = arrays()
    seen = np.asarray(sliding_window_mask(TQ, TV, causal=True))[None, None]
    expected = blocked(**inputs, causal=True)
    assert_close(blocked(**inputs, bias=np.where(seen, 0.0, -np.inf)), expected, **CLOSE)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    inputs = {name: tf.cast(x, dtype) for name, x in arrays().items()}
    wide = {name: tf.cast(x, tf.float64).numpy() for name, x in inputs.items()}
    given = {"causal": True, "mask": mask_of((B, 1, 1, TV))}
    expected = outputs_and_gradients(plain, wide, **given)
    found = outputs_and_gradients(blocked, inputs, **given)
    assert {x.dtype for x in found.values()} == {tf.dtypes.as_dtype(dtype)}
    assert_same(
        {n: tf.cast(x, tf.float64) for n, x in found.items()}, expected, rtol=0.05, atol=0.05
    )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_compiled_with_sizes_known_or_not(jit_compile, known):
    signature = [
        tf.TensorSpec(x.shape if known else [None, x.shape[1], None, x.shape[3]], tf.float64)
        for x in arrays().values()
    ]
    mask_shape = [B, 1, 1, TV] if known else [None, 1, 1, None]

    @tf.function(
        jit_compile=jit_compile,
        autograph=False,
        input_signature=[*signature, tf.TensorSpec(mask_shape, tf.bool)],
    )
    def function(query, key, value, mask):
        inputs = {"query": query, "key": key, "value": value}
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = blocked(**inputs, mask=mask, causal=True)
            loss = tf.reduce_sum(output**2)
        return {"output": output, **tape.gradient(loss, inputs)}

    for lengths in [(TQ, TV)] if known else [(TQ, TV), (5, 3), (13, 13)]:
        inputs = arrays(*lengths)
        mask = np.random.default_rng(1).random((B, 1, 1, lengths[1])) < 0.6
        with tf.GradientTape() as tape:
            tensors = {name: tf.constant(x) for name, x in inputs.items()}
            tape.watch(tensors)
            output = plain(**tensors, mask=mask, causal=True)
            loss = tf.reduce_sum(output**2)
        expected = {"output": output, **tape.gradient(loss, tensors)}
        assert_same(function(*inputs.values(), mask), expected)


def test_dropout_is_the_same_on_the_way_back():
    """Drawn anew from the seed in each block: equal to one draw that is kept."""
    inputs, seed = arrays(), tf.constant([3, 5])
    blocks = TiledAttention(
        **{name: tf.constant(x) for name, x in inputs.items()},
        mask=None,
        nonfinite=None,
        seed=seed,
        size=OPTIONS["block"],
        causal=True,
        window=None,
        soft_cap=None,
        dropout=0.4,
    )

    tiling = blocks.tiling

    def drawn(b, i):
        row = [blocks.dropout_factors({"b": b, "q": i, "k": j}) for j in range(tiling.count_k)]
        return tf.concat(row, -1)

    batches, rows = range(tiling.count_b), range(tiling.count_q)
    factors = tf.concat([tf.concat([drawn(b, i) for i in rows], -2) for b in batches], 0)
    factors = tf.reshape(factors, [B, H, *factors.shape[3:]])[:, :, :TQ, :TV]
    assert 0.35 < np.mean(factors == 0) < 0.45
    expected = outputs_and_gradients(plain, inputs, causal=True, factors=factors)
    found = outputs_and_gradients(blocked, inputs, causal=True, dropout=0.4, seed=seed)
    assert_same(found, expected)


def test_long_batches_are_cut_too():
    """A batch is no reason for a block to be larger; odd ones out are padded."""
    inputs = arrays(12, 14, batch=7)
    assert_same(outputs_and_gradients(blocked, inputs), outputs_and_gradients(plain, inputs))
    inputs = arrays(2, 3, batch=101)
    assert_same(outputs_and_gradients(blocked, inputs), outputs_and_gradients(plain, inputs))


def test_gradients_of_gradients_say_that_there_are_none():
    query, key, value = (tf.constant(x) for x in arrays().values())

    @tf.function(autograph=False)
    def second(query):
        with tf.GradientTape() as outer:
            outer.watch(query)
            with tf.GradientTape() as inner:
                inner.watch(query)
                loss = tf.reduce_sum(blocked(query, key, value) ** 2)
            first = inner.gradient(loss, query)
        return outer.gradient(first, query)

    with pytest.raises(NotImplementedError, match="return_attention_scores=True"):
        second(query)


def shapes_in(graph):
    """Shapes of all tensors of a graph and of the functions that it calls."""
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            if tensor.shape.rank:
                yield tuple(tensor.shape)
    for function in graph._functions.values() if hasattr(graph, "_functions") else []:
        yield from shapes_in(function.graph)


def all_shapes(function, *args):
    definition = function.get_concrete_function(*args)
    yield from shapes_in(definition.graph)
    library = definition.graph.as_graph_def(add_shapes=True).library
    for body in library.function:
        for node in body.node_def:
            for shape in node.attr["_output_shapes"].list.shape:
                yield tuple(d.size for d in shape.dim)


@pytest.mark.parametrize("form", ["blocked", "plain"])
def test_no_tensor_of_all_pairs(form):
    """Nothing of size Tq times Tv at 4096 steps; the plain form shows that the search finds it."""
    length = 4096
    inputs = [tf.TensorSpec([1, 2, length, 8])] * 3

    @tf.function(input_signature=inputs, autograph=False)
    def step(query, key, value):
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            attend = functools.partial(dot_product_attention, query, key, value, causal=True)
            context = attend() if form == "blocked" else attend(return_weights=True)[0]
        return tape.gradient(context, [query, key, value])

    largest = max(int(np.prod([d for d in s if d and d > 0])) for s in all_shapes(step))
    assert (largest >= length**2) == (form == "plain")


def test_repeats_by_seed_through_the_public_function():
    inputs = {n: tf.constant(x, tf.float32) for n, x in arrays(1025, 1031).items()}
    first, again, other = (
        dot_product_attention(**inputs, dropout=0.4, seed=seed) for seed in (3, 3, 5)
    )
    assert_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
