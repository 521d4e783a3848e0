"""What holds for every sequence layer, whatever it computes."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from tests.arrays import as_float64, assert_close, assert_equal
from tests.conformance.blocks import BLOCKS, B, S, T, tensors
from tests.gradients import gradients
from tests.saved_layers import own_weights, saved_layers

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
# Batch and lengths all different, and each of them 1: a graph that mixes them up fails here.
LENGTHS = [(2, 3, 5), (5, 3, 2), (1, 7, 3), (3, 1, 5)]
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="graphs and SavedModels are TensorFlow's"
)


MASKED = [block for block in BLOCKS if block.masks]


@pytest.fixture(params=BLOCKS, ids=lambda block: block.name)
def block(request):
    return request.param


def test_the_output_is_as_announced(block):
    layer, arrays = block.built_layer(), block.inputs()
    found = layer(**arrays, **block.call)
    assert tuple(found.shape) == (B, T, block.output_dim)
    symbolic = layer(**block.symbolic_inputs(), **block.call)
    assert tuple(symbolic.shape) == (None, None, block.output_dim)
    assert keras.backend.standardize_dtype(found.dtype) == symbolic.dtype == "float32"


def test_the_configuration_and_the_weights_are_the_layer(block):
    layer, arrays = block.built_layer(), block.inputs()
    config = layer.get_config()
    assert set(block.arguments) <= set(config)
    json.dumps(keras.saving.serialize_keras_object(layer))
    again = block.layer_class.from_config(config)
    again(**arrays, **block.call)
    again.set_weights(layer.get_weights())
    assert_equal(again(**arrays, **block.call), layer(**arrays, **block.call))


def model_of(block, layer):
    """A model of named inputs, with masks, of unknown batch and lengths."""
    inputs = block.symbolic_inputs()
    masks = {n: keras.Input((None,), name=n, dtype="bool") for n in block.masks.values()}
    output = layer(**inputs, **masks, **block.call)
    return keras.Model(inputs | masks, {"output": output})


def test_a_reloaded_model_is_the_same(block, tmp_path):
    model = model_of(block, block.built_layer())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    arrays = tensors(block.inputs() | block.mask_arrays())
    assert_equal(again(arrays)["output"], model(arrays)["output"])


def test_no_weight_is_where_some_keras_does_not_save_it(block):
    layer = block.built_layer()
    assert sum(map(own_weights, saved_layers(layer))) == len(layer.weights)


@on_tensorflow
def test_an_exported_model_answers_as_in_eager_mode(block, tmp_path):
    """A SavedModel is a `tf.function` of unknown batch and lengths, too."""
    import tensorflow as tf

    layer = block.built_layer()
    model_of(block, layer).export(tmp_path, format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path).signatures["serving_default"]
    for lengths in LENGTHS:
        arrays = block.inputs(*lengths) | block.mask_arrays(*lengths)
        found = served(**{name: tf.constant(x) for name, x in arrays.items()})["output"]
        assert found.shape == (*lengths[:2], block.output_dim)
        assert_close(found, layer(**arrays, **block.call), rtol=1e-5, atol=1e-5)


def test_compiled_it_answers_as_in_eager_mode(block):
    layer = block.built_layer()
    arrays = tensors(block.inputs() | block.mask_arrays())
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda x: layer(**x, **block.call), jit_compile=True)
    elif keras.backend.backend() == "jax":
        import jax

        function = jax.jit(lambda x: layer(**x, **block.call))
    else:
        pytest.skip("PyTorch is not compiled here")
    assert_close(function(arrays), layer(**arrays, **block.call), **CLOSE)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_close(block, policy):
    layer, arrays = block.built_layer(), block.inputs() | block.mask_arrays()
    other = block.built_layer(dtype=policy)
    other.set_weights(layer.get_weights())
    assert {keras.backend.standardize_dtype(w.dtype) for w in other.trainable_weights} <= {
        "float32"
    }
    found, wanted = other(**arrays, **block.call), layer(**arrays, **block.call)
    assert keras.backend.standardize_dtype(found.dtype) == policy.removeprefix("mixed_")
    scale = np.abs(as_float64(wanted)).max()
    limit = (2e-2 if policy == "mixed_float16" else 1e-1) * scale
    assert_close(found, wanted, atol=limit)


@pytest.mark.parametrize("block", MASKED, ids=lambda block: block.name)
def test_padding_reaches_no_output_and_no_gradient(block):
    """Whatever stands in it, and however much of it there is."""
    layer, arrays, masks = block.built_layer(), block.inputs(), block.mask_arrays()
    first = next(iter(block.sizes))
    kept = masks.get(block.masks.get(first), np.ones((B, T), bool))

    def output_of(arrays, masks):
        output = as_float64(layer(**arrays, **masks, **block.call))
        return np.where(kept[..., None], output[:, :T], 0.0)

    expected = output_of(arrays, masks)
    dirty = dict(arrays)
    for name, mask_name in block.masks.items():
        mask, values = masks[mask_name], arrays[name]
        if name in block.float_inputs():
            dirty[name] = np.where(mask[..., None], values, np.nan).astype(values.dtype)
        else:
            dirty[name] = np.where(mask, values, block.sizes[name].start)
    assert_close(output_of(dirty, masks), expected, **CLOSE)
    wide, wide_masks = dict(dirty), dict(masks)
    for name, mask_name in block.masks.items():
        more = [(0, 0), (0, 2), (0, 0)][: dirty[name].ndim]
        wide[name] = np.pad(dirty[name], more)
        wide_masks[mask_name] = np.pad(masks[mask_name], more[:2])
    assert_close(output_of(wide, wide_masks), expected, **CLOSE)
    if not block.float_inputs():
        return

    def loss(output):
        return ops.sum(ops.square(ops.where(ops.convert_to_tensor(kept)[..., None], output, 0.0)))

    tokens = {n: x for n, x in dirty.items() if n not in block.float_inputs()}
    given = {n: x for n, x in dirty.items() if n in block.float_inputs()}
    for name, found in gradients(layer, given, loss, **tokens, **masks, **block.call).items():
        assert np.isfinite(found).all(), name
        if block.masks.get(name) in masks:
            assert not found[~masks[block.masks[name]]].any(), name


def test_it_trains(block):
    """Every weight and input has a gradient, and a step along it makes the loss smaller."""
    layer = block.built_layer()
    arrays = block.inputs()
    names = {weight.path for weight in layer.trainable_weights}
    found = gradients(layer, arrays, **block.call)
    assert names | set(arrays) == set(found)
    for name in found:
        assert np.isfinite(found[name]).all() and found[name].any(), name
    if not names:  # nothing to learn; what comes before has its gradient
        return
    before = float(np.square(as_float64(layer(**arrays, **block.call))).sum())
    length = sum(np.square(found[name]).sum() for name in names)
    for weight in layer.trainable_weights:
        weight.assign(weight - (1e-3 * before / length * found[weight.path]).astype("float32"))
    assert float(np.square(as_float64(layer(**arrays, **block.call))).sum()) < before


def test_sizes_are_distinct():
    assert len({B, T, S}) == 3
