"""Converted to LiteRT and ONNX by Keras' own `export`, a model answers as before, or is refused.

LiteRT's interpreter here has its builtin operations alone. One row for each class of layer and
each way to compute; the others differ in what is the same operations.
"""

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

import keras_attention as ka
from tests.arrays import assert_close
from tests.conformance import test_blocks, test_saved_model
from tests.conformance.blocks import BLOCKS
from tests.conformance.cases import CASES
from tests.models.variants import VARIANTS, batch

pytestmark = pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
LENGTHS = [(2, 3, 5), (3, 5, 7)]

ATTENTION = {
    *("bahdanau_normalized", "luong_general", "scorer"),
    *("multi_head_self", "multi_head_self_scores"),
    *("probability_entmax15", "probability_gumbel", "local_predictive"),
}
STATEFUL = {"monotonic", "monotonic_expected", "mocha", "location_sensitive", "coverage"}
OTHERS = {
    *("sinusoidal", "learned", "rotary", "encoder_pre"),
    *("gated_conv_block", "byte_net_block_mu", "conv_glu_block_causal"),
}


def rows(names, table):
    found = [row for row in table if row.name in names]
    assert {row.name for row in found} == set(names)
    return pytest.mark.parametrize("row", found, ids=lambda row: row.name)


def litert(model, path):
    """A function of the inputs to the outputs, by name."""
    model.export(f"{path}/model.tflite", format="litert", verbose=False)
    return Interpreter(model_path=f"{path}/model.tflite").get_signature_runner()


def onnx(model, path):
    model.export(f"{path}/model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(f"{path}/model.onnx")
    names = [output.name for output in session.get_outputs()]

    def run(**arrays):
        given = {one.name: arrays[one.name] for one in session.get_inputs()}
        return dict(zip(names, session.run(None, given), strict=True))

    return run


formats = pytest.mark.parametrize("convert", [litert, onnx])


def assert_same(model, convert, path, *batches):
    expected = [model(arrays) for arrays in batches]
    run = convert(model, path)
    for arrays, wanted in zip(batches, expected, strict=True):
        found = run(**arrays)
        assert set(found) == set(wanted)
        for name, x in wanted.items():
            assert_close(found[name], x, **CLOSE, err_msg=name)


def without_weights(case, steps=None, **call):
    """A model of named inputs, with masks: the kernels that never make the weights."""
    inputs = {n: keras.Input((steps, size), name=n) for n, size in case.sizes.items()}
    masks = {n: keras.Input((steps,), name=n, dtype="bool") for n in set(case.mask_names)}
    return keras.Model(inputs | masks, {"output": case.built_layer()(**inputs, **masks, **call)})


@formats
@rows(ATTENTION, CASES)
def test_attention(row, convert, tmp_path):
    call = {} if row.is_pooling else {"use_causal_mask": True}
    batches = [test_saved_model.arrays_for(row, *lengths) for lengths in LENGTHS]
    assert_same(without_weights(row, **call), convert, tmp_path, *batches)


@formats
@rows({"bahdanau", "multi_head_cross"}, CASES)
def test_with_weights(row, convert, tmp_path):
    batches = [test_saved_model.arrays_for(row, *lengths) for lengths in LENGTHS]
    assert_same(test_saved_model.model_of(row), convert, tmp_path, *batches)


@formats
@rows(STATEFUL, CASES)
def test_attention_with_a_state_and_fixed_steps(row, convert, tmp_path):
    arrays = test_saved_model.arrays_for(row, 2, 3, 3)
    assert_same(without_weights(row, steps=3), convert, tmp_path, arrays)


@rows({"monotonic", "coverage"}, CASES)
def test_litert_refuses_a_state_over_unknown_steps(row, tmp_path):
    with pytest.raises(ValueError, match="known number of steps .* Received: shape="):
        litert(without_weights(row), tmp_path)


@formats
@rows(OTHERS, BLOCKS)
def test_blocks_of_layers(row, convert, tmp_path):
    model = test_blocks.model_of(row, row.built_layer())
    batches = [row.inputs(*n) | row.mask_arrays(*n) for n in LENGTHS]
    assert_same(model, convert, tmp_path, *batches)


@formats
def test_a_decoder_block(convert, tmp_path):
    """Without `gelu`: ONNX has no operation for what Keras makes of it."""
    layer = ka.TransformerDecoderBlock(2, 6, 13)
    x = {"inputs": keras.Input((None, 11), name="inputs")}
    x["memory"] = keras.Input((None, 7), name="memory")
    model = keras.Model(x, {"output": layer(**x)})
    generator = np.random.default_rng(3)
    arrays = {
        "inputs": generator.standard_normal((2, 3, 11)).astype("float32"),
        "memory": generator.standard_normal((2, 5, 7)).astype("float32"),
    }
    assert_same(model, convert, tmp_path, arrays)


@formats
@rows({"convs2s"}, VARIANTS)
def test_a_model(row, convert, tmp_path):
    model, arrays = row.model(), batch()
    x = {name: keras.Input((None,), name=name, dtype="int32") for name in arrays}
    assert_same(keras.Model(x, {"logits": model(x)}), convert, tmp_path, arrays)


def test_litert_refuses_a_recurrent_decoder_over_unknown_steps(tmp_path):
    (row,) = (variant for variant in VARIANTS if variant.name == "gru_bahdanau")
    x = {name: keras.Input((None,), name=name, dtype="int32") for name in batch()}
    model = keras.Model(x, {"logits": row.model()(x)})
    with pytest.raises(ValueError, match="known number of steps .* Received: shape="):
        litert(model, tmp_path)
