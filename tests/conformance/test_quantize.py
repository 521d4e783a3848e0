"""`Model.quantize("int8")`: near the float model, the same again from a file, and exported."""

import keras
import numpy as np
import pytest

from tests.arrays import as_float64, assert_close, assert_equal
from tests.conformance import test_blocks, test_saved_model
from tests.conformance.blocks import BLOCKS, tensors
from tests.conformance.cases import CASES, TQ, TV, B
from tests.models.variants import VARIANTS, batch

# What Keras has no integers for stays as it is, and Keras says so of each such layer.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method"),
    # From Keras 3.16 on, one warning for all of them.
    pytest.mark.filterwarnings("ignore:.model.quantize.*were skipped"),
]


def assert_near(found, wanted):
    """Within what weights and inputs of 8 bits leave."""
    for name, x in wanted.items():
        assert np.abs(as_float64(found[name]) - x).max() <= 0.1 * np.abs(x).max(), name


def quantized_layers(model):
    return [layer for layer in model._flatten_layers() if layer.quantization_mode == "int8"]


def reloaded(model, inputs, folder):
    """The model from a file of it, the answers of which are the same numbers."""
    model.save(folder / "model.keras")
    again = keras.saving.load_model(folder / "model.keras")
    assert len(quantized_layers(again)) == len(quantized_layers(model))
    expected = model(inputs)
    for name, found in again(inputs).items():
        assert_equal(found, expected[name], err_msg=name)
    return again


# One row for each kind of part within: the others differ in what has no integers.
ROWS = {
    *("bahdanau", "luong_general", "scorer", "scorer_pooling", "multi_head_self"),
    *("multi_head_cross_scores", "mocha", "local_predictive", "location_sensitive", "coverage"),
}
ROWS = [case for case in CASES if case.name in ROWS]
MODELS = {"normalized_tied", "transformer_relative"}
LAYERS = {
    *("encoder_pre", "decoder_pre", "gated_conv_block_skip", "byte_net_block_mu"),
    *("conv_glu_block", "neural_turing_machine"),
}
LAYERS = [block for block in BLOCKS if block.name in LAYERS]
MODELS = [variant for variant in VARIANTS if variant.name in MODELS]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_attention(case, tmp_path):
    model = test_saved_model.model_of(case)
    inputs = tensors(test_saved_model.arrays_for(case, B, TQ, TV))
    wanted = {name: as_float64(x) for name, x in model(inputs).items()}
    model.quantize("int8")
    if not case.is_hard:  # a choice between two that are close may turn out otherwise
        assert_near(model(inputs), wanted)
    reloaded(model, inputs, tmp_path)


@pytest.mark.parametrize("block", LAYERS, ids=lambda block: block.name)
def test_blocks_of_layers(block, tmp_path):
    model = test_blocks.model_of(block, block.built_layer())
    inputs = tensors(block.inputs() | block.mask_arrays())
    wanted = {name: as_float64(x) for name, x in model(inputs).items()}
    model.quantize("int8")
    assert_near(model(inputs), wanted)
    reloaded(model, inputs, tmp_path)


@pytest.mark.parametrize("variant", MODELS, ids=lambda variant: variant.name)
def test_models(variant, tmp_path):
    """With tied embeddings, whose integers are output weights too; and the search."""
    model, inputs = variant.model(), tensors(batch())
    wanted = as_float64(model(inputs))
    model.quantize("int8")
    assert quantized_layers(model)
    assert_near({"logits": model(inputs)}, {"logits": wanted})
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert len(quantized_layers(again)) == len(quantized_layers(model))
    assert_equal(again(inputs), model(inputs))
    found, expected = (m.decode(inputs["source"], max_length=2) for m in (again, model))
    assert_equal(found.ids, expected.ids)


@test_blocks.on_tensorflow
@pytest.mark.parametrize("name", ["multi_head_cross", "bahdanau", "scorer"])
def test_exported(name, tmp_path):
    import tensorflow as tf

    (case,) = (case for case in CASES if case.name == name)
    model = test_saved_model.model_of(case)
    model.quantize("int8")
    model.export(tmp_path, format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path).signatures["serving_default"]
    arrays = test_saved_model.arrays_for(case, B, TQ, TV)
    expected = model(tensors(arrays))
    for output, found in served(**{n: tf.constant(x) for n, x in arrays.items()}).items():
        assert_close(found, expected[output], rtol=1e-5, atol=1e-5, err_msg=output)
