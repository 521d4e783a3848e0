"""What is a Transformer's own; the rest is proven by the table of models."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.models import TransformerDecoder, TransformerEncoder
from tests.models.variants import array, batch, ids

SMALL = {"units": 12, "num_heads": 2, "num_layers": 2, "feedforward_dim": 11}


def model_of(**arguments):
    keras.utils.set_random_seed(7)
    model = ka.TransformerSeq2Seq(19, 17, **{**SMALL, **arguments})
    model(batch())
    return model


@pytest.mark.parametrize(
    ("positions", "norm"), [("sinusoidal", "pre"), ("learned", "post"), ("alibi", "post")]
)
def test_cached_decoding_is_the_full_pass(positions, norm):
    model = model_of(positions=positions, norm=norm, max_positions=7, tie_embeddings=True)
    source, target = batch()["source"], ids((3, 5), 17)
    expected = array(model({"source": source, "target": target}))
    memory = model.prepare(source)
    state = model.initial_state(memory, max_length=5)
    for t in range(5):
        logits, state, _ = model.step(target[:, t], state, memory)
        np.testing.assert_allclose(array(logits), expected[:, t], atol=1e-5)


def test_what_the_positions_are_decides_the_answer():
    """The same weights say something else where positions come from elsewhere."""
    found = []
    for positions in ("sinusoidal", "rotary", "alibi"):
        model = model_of(positions=positions)
        found.append(array(model(batch())))
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(found, found[1:], strict=False))


def test_the_alignment_is_the_mean_over_the_heads_of_one_block():
    source, token = batch()["source"], np.array([4, 5, 6])
    mask = source != 0
    for layer in (0, -1):
        model = model_of(alignment_layer=layer)
        memory = model.prepare(source)
        state = model.initial_state(memory)
        alignment = model.step(token, state, memory)[2]
        x, vectors = model.decoder.embed(token[:, None]), model.encoder(source, source_mask=mask)
        for block in model.decoder.blocks[: layer % 2 + 1]:
            x, weights = block(x, vectors, memory_mask=mask, return_attention_scores=True)
        np.testing.assert_allclose(array(alignment), array(weights)[:, :, 0].mean(1), atol=1e-6)


def test_one_relative_bias_is_shared_by_all_blocks():
    model = model_of(positions="relative")
    paths = [w.path for w in model.trainable_weights if w.path.endswith("biases")]
    assert len(paths) == 2  # of encoder and decoder
    first, second = model.decoder.blocks
    assert first.self_attention.position_bias is second.self_attention.position_bias
    assert not first.self_attention.position_bias.bidirectional


@pytest.mark.parametrize("model_class", [ka.TransformerSeq2Seq, TransformerEncoder])
def test_configuration(model_class):
    arguments = {
        **SMALL,
        "norm": "post",
        "positions": "learned",
        "max_positions": 23,
        "activation": "gelu",
        "dropout": 0.25,
        "attention_options": {"sinks": True, "num_key_value_heads": 1},
    }
    if model_class is TransformerEncoder:
        arguments |= {"vocabulary_size": 19}
    else:
        more = {"tie_embeddings": True, "alignment_layer": 0, "start_id": 5, "end_id": 7}
        arguments |= {"source_vocabulary_size": 19, "target_vocabulary_size": 17, **more}
    config = model_class(**arguments, dtype="mixed_bfloat16").get_config()
    assert config.items() >= arguments.items()
    again = model_class.from_config(config)
    assert again.get_config() == config
    assert again.dtype_policy.name == "mixed_bfloat16"


def test_dropout_is_for_training_alone():
    model = model_of(dropout=0.5)
    usual = array(model(batch()))
    np.testing.assert_array_equal(array(model(batch(), training=False)), usual)
    assert np.abs(array(model(batch(), training=True)) - usual).max() > 1e-2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_decodes(policy):
    model = model_of(dtype=policy, positions="rotary")
    found = model.decode(batch()["source"], max_length=3)
    assert np.isfinite(array(found.score)).all()
    kinds = {keras.backend.standardize_dtype(w.dtype) for w in model.weights}
    assert "float32" in kinds and policy.removeprefix("mixed_") not in kinds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 13}, "multiple of num_heads.*units=13, num_heads=2"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"norm": "both"}, "norm='both'"),
        ({"positions": "polar"}, "positions='polar'"),
        ({"alignment_layer": 2}, "alignment_layer=2"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.TransformerSeq2Seq(19, 17, **{**SMALL, **arguments})


def test_a_block_that_reads_no_memory_takes_none():
    x = ops.ones((2, 3, 6))
    with pytest.raises(ValueError, match="Expected no memory with reads_memory=False"):
        ka.TransformerDecoderBlock(2, 3, 5, reads_memory=False)(x, x)
    with pytest.raises(ValueError, match="Expected a memory with reads_memory=True"):
        ka.TransformerDecoderBlock(2, 3, 5)(x)
    assert TransformerDecoder(17, **SMALL, reads_memory=False)(ids((2, 3), 17)).shape[-1] == 17
