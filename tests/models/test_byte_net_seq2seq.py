import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.models.variants import array, ids, padded

SOURCE_VOCABULARY, TARGET_VOCABULARY = 19, 17


def built(**arguments):
    keras.utils.set_random_seed(3)
    options = {"units": 14, "dilations": (1, 2), "length_ratio": 1.2, **arguments}
    model = ka.ByteNetSeq2Seq(SOURCE_VOCABULARY, TARGET_VOCABULARY, **options)
    model.build({"source": (None, None), "target": (None, None)})
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(generator.standard_normal(weight.shape).astype("float32"))
    return model


def test_unfolding_in_a_batch_of_different_lengths():
    """Each source is unfolded by its own length: 1.2 * 5 = 6, 10 + ... and so on, rounded down."""
    lengths, wanted = (5, 1, 3, 10), (6, 1, 3, 12)
    model = built()
    source = padded(ids((4, 10), SOURCE_VOCABULARY), lengths)
    read = array(model.prepare(source)[0])
    assert read.shape == (4, 12, 14)
    filled = np.abs(read).max(axis=-1) > 0
    np.testing.assert_array_equal(filled, np.arange(12) < np.array(wanted)[:, None])
    for i, length in enumerate(lengths):
        alone = array(model.prepare(source[i : i + 1, :length])[0])[0]
        np.testing.assert_allclose(read[i, : wanted[i]], alone[: wanted[i]], atol=1e-5)
    assert [model.unfolded_length(n) for n in lengths] == list(wanted)
    np.testing.assert_array_equal(array(model.unfolded_length(np.array(lengths))), wanted)


@pytest.mark.parametrize(
    ("ratio", "margin", "wanted"), [(1.5, 2, 6), (0.0, 0, 0), (0.5, 0, 1), (1.0, 0, 3), (0.0, 7, 7)]
)
def test_ratio_and_margin(ratio, margin, wanted):
    model = built(length_ratio=ratio, length_margin=margin)
    read = array(model.prepare(ids((2, 3), SOURCE_VOCABULARY))[0])
    assert (np.abs(read).max(axis=-1) > 0).sum(axis=1).tolist() == [wanted] * 2


def test_the_decoder_runs_on_after_what_is_unfolded():
    """With a target longer than that: all at once and step by step, on its own from there on."""
    model, steps = built(), 11
    source = padded(ids((2, 5), SOURCE_VOCABULARY), (5, 2))
    target = ids((2, steps), TARGET_VOCABULARY)
    expected = array(model({"source": source, "target": target}))
    memory = model.prepare(source)
    state = model.initial_state(memory)
    for t in range(steps):
        logits, state, _ = model.step(target[:, t], state, memory)
        np.testing.assert_allclose(array(logits), expected[:, t], rtol=1e-4, atol=1e-4)
    found = model.decode(source, max_length=steps, max_lengths=steps)
    assert array(found.ids).shape == (2, steps)


def test_what_a_step_reads_of_the_source():
    """The source's tokens that change what the decoder reads at a position are as stated."""
    model = built(length_ratio=1.0)
    assert model.source_offsets == (-3, -2, -1, 0, 1, 2, 3)
    steps, position = 13, 6
    source = np.repeat(ids((31, steps), SOURCE_VOCABULARY), steps + 1, axis=0)
    source = source.reshape((31, steps + 1, steps))
    for step in range(steps):
        source[:, step, step] = source[:, step, step] % 15 + 4
    read = array(model.prepare(source.reshape((-1, steps)))[0])[:, position]
    read = read.reshape((31, steps + 1, -1))
    changes = np.abs(read[:, :-1] - read[:, -1:]).max(axis=(0, 2)) > 1e-5
    assert tuple(np.flatnonzero(changes) - position) == model.source_offsets


def test_the_receptive_field_of_the_decoder():
    model = built(num_stacks=2)
    assert model.receptive_field == 1 + 2 * 2 * (1 + 2)
    steps = 17
    target = ids((1, steps), TARGET_VOCABULARY)
    others = np.repeat(target, steps, axis=0)
    others[np.arange(steps), np.arange(steps)] = target[0] % 13 + 4
    target = np.concatenate([target, others])
    source = np.repeat(ids((1, 5), SOURCE_VOCABULARY), len(target), axis=0)
    logits = array(model({"source": source, "target": target}))[:, -1]
    seen = np.flatnonzero(np.abs(logits[1:] - logits[0]).max(axis=-1) > 1e-6)
    assert seen.min() == steps - model.receptive_field


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 7}, "units=7"),
        ({"dilations": ()}, r"dilations=\(\)"),
        ({"length_ratio": -0.5}, "length_ratio=-0.5"),
        ({"length_margin": -1}, "length_margin=-1"),
        ({"kind": "gelu"}, "kind='gelu'"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.ByteNetSeq2Seq(19, 17, **arguments)


def test_the_configuration_holds_every_argument():
    given = {"units": 22, "kernel_size": 2, "dilations": [1, 3], "num_stacks": 2}
    given |= {"kind": "multiplicative", "length_ratio": 1.5, "length_margin": 3, "dropout": 0.25}
    given |= {"start_id": 5, "end_id": 7, "name": "other"}
    config = ka.ByteNetSeq2Seq(19, 17, **given).get_config()
    assert {k: config[k] for k in given} == given
    assert ka.ByteNetSeq2Seq.from_config(config).get_config() == config
