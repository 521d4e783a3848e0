import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention.models import ConvDecoder, ConvEncoder
from tests.gradients import gradients
from tests.layers.test_conv_block import convolution, dense, sigmoid
from tests.models.variants import array, ids, padded

SOURCE, TARGET = 19, 17
LENGTHS = (7, 3)


def built(**arguments):
    keras.utils.set_random_seed(3)
    options = {"units": 5, "embedding_dim": 11, "num_layers": 2, "num_positions": 6, **arguments}
    model = ka.ConvSeq2Seq(SOURCE, TARGET, **options)
    model.build({"source": (None, None), "target": (None, None)})
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign((0.5 * generator.standard_normal(weight.shape)).astype("float32"))
    return model


def inputs():
    source = padded(ids((2, 7), SOURCE), LENGTHS).astype("int32")
    return {"source": source, "target": ids((2, 8), TARGET, seed=1)}


def embedded(tokens, layer):
    places = np.minimum(np.arange(tokens.shape[1]), 5)
    return array(layer.embedding.embeddings)[tokens] + array(layer.positions.embeddings)[places]


def glu(x, block):
    y = convolution(x, block.convolution)
    return y[..., :5] * sigmoid(y[..., 5:])


def oracle(model, source, target):
    """Logits and the weights of each layer for one source without padding, in float64."""
    half, encoder, decoder = np.sqrt(0.5), model.encoder, model.decoder
    e = embedded(source, encoder)
    x = dense(e, encoder.enter)
    for block in encoder.blocks:
        x = half * (x + glu(x, block))
    keys = dense(x, encoder.leave)
    values = half * (keys + e)
    e = embedded(target, decoder)
    x, alignments = dense(e, decoder.enter), []
    for i, block in enumerate(decoder.blocks):
        gated = glu(x, block)
        query = half * (dense(gated, decoder.queries[i]) + e)
        scores = np.exp(query @ keys.swapaxes(1, 2))
        weights = scores / scores.sum(axis=-1, keepdims=True)
        context = np.sqrt(source.shape[1]) * weights @ values
        x = half * (x + half * (gated + dense(context, decoder.contexts[i])))
        alignments.append(weights)
    return dense(dense(x, decoder.leave), decoder.logits), alignments


@pytest.mark.parametrize("alignment", ["last", "mean"])
def test_formula(alignment):
    """More steps than there are position embeddings; sources of different length."""
    model, given = built(alignment=alignment), inputs()
    logits = array(model(given))
    memory = model.prepare(given["source"])
    state = model.initial_state(memory)
    steps = []
    for t in range(8):
        found, state, weights = model.step(given["target"][:, t], state, memory)
        np.testing.assert_allclose(array(found), logits[:, t], rtol=1e-4, atol=1e-4)
        steps.append(array(weights))
    steps = np.stack(steps, axis=1)
    for i, length in enumerate(LENGTHS):
        source, target = given["source"][i : i + 1, :length], given["target"][i : i + 1]
        wanted, alignments = oracle(model, source, target)
        np.testing.assert_allclose(logits[i], wanted[0], rtol=1e-4, atol=1e-4)
        wanted = alignments[-1] if alignment == "last" else np.mean(alignments, axis=0)
        np.testing.assert_allclose(steps[i, :, :length], wanted[0], atol=1e-5)
        assert not steps[i, :, length:].any()


def test_the_receptive_field_of_the_decoder():
    model = built(num_layers=3, kernel_size=2)
    assert model.receptive_field == 1 + 3 * (2 - 1)
    steps = 7
    target = ids((1, steps), TARGET)
    others = np.repeat(target, steps, axis=0)
    others[np.arange(steps), np.arange(steps)] = target[0] % 13 + 4
    target = np.concatenate([target, others])
    source = np.repeat(ids((1, 5), SOURCE), len(target), axis=0)
    logits = array(model({"source": source, "target": target}))[:, -1]
    seen = np.flatnonzero(np.abs(logits[1:] - logits[0]).max(axis=-1) > 1e-6)
    np.testing.assert_array_equal(seen, np.arange(steps - model.receptive_field, steps))


def test_gradients_through_the_keys_are_scaled():
    """Those of the source embeddings, which the values hold themselves, only in part."""
    found = {}
    for scale in (1.0, 0.25):
        keras.utils.set_random_seed(3)
        encoder = ConvEncoder(SOURCE, 5, 11, num_layers=2, gradient_scale=scale, name="encoder")
        given = {"source": ids((2, 7), SOURCE), "source_mask": np.ones((2, 7), bool)}
        encoder(**given)
        found[scale] = gradients(encoder, {}, **given)
    names = [name for name in found[1.0] if "embedding" not in name and "positions" not in name]
    kernels = [name for name in names if name.endswith("kernel")]
    assert len(kernels) == 4
    for name in kernels:
        np.testing.assert_allclose(found[0.25][name], 0.25 * found[1.0][name], rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alignment": "first"}, "alignment='first'"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"units": 0}, "=0"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.ConvSeq2Seq(19, 17, **arguments)


OTHERS = {
    **{"units": 7, "embedding_dim": 13, "kernel_size": 2, "num_layers": 3, "num_positions": 23},
    **{"alignment": "mean", "dropout": 0.25, "gradient_scale": 0.5, "name": "other"},
    **{"start_id": 5, "end_id": 7, "vocabulary_size": 17},
    **{"source_vocabulary_size": 19, "target_vocabulary_size": 17},
}


@pytest.mark.parametrize("layer_class", [ka.ConvSeq2Seq, ConvEncoder, ConvDecoder])
def test_the_configuration_holds_every_argument(layer_class):
    import inspect

    known = {*inspect.signature(layer_class.__init__).parameters, "name"} - {"self", "kwargs"}
    given = {name: OTHERS[name] for name in known}
    config = layer_class(**given).get_config()
    assert {name: config[name] for name in known} == given
    assert layer_class.from_config(config).get_config() == config
