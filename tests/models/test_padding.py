"""Padding never changes an answer."""

import numpy as np
from keras import ops

from tests.models.variants import (
    BATCH,
    LENGTHS,
    SOURCE,
    SOURCE_VOCABULARY,
    array,
    batch,
    ids,
    padded,
)


def answers(model, source, **kwargs):
    return [ops.convert_to_numpy(x) for x in model.decode(source, max_length=5, **kwargs)]


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5)
    width = min(found[3].shape[-1], expected[3].shape[-1])
    np.testing.assert_allclose(found[3][..., :width], expected[3][..., :width], atol=1e-5)


def test_a_padded_batch_is_as_its_sources_alone(model):
    inputs = batch()
    logits, together = array(model(inputs)), answers(model, inputs["source"])
    for i, length in enumerate(LENGTHS):
        source, target = inputs["source"][i : i + 1, :length], inputs["target"][i : i + 1]
        alone = array(model({"source": source, "target": target}))
        np.testing.assert_allclose(logits[i], alone[0], atol=1e-5)
        assert_same([x[i : i + 1] for x in together], answers(model, source))
        np.testing.assert_array_equal(together[3][i, :, length:], np.zeros((5, SOURCE - length)))


def test_with_a_mask_anything_may_stand_in_the_padding(model):
    inputs = batch()
    mask = np.arange(SOURCE) < np.array(LENGTHS)[:, None]
    dirty = np.where(mask, inputs["source"], ids(mask.shape, SOURCE_VOCABULARY, seed=5))
    expected = array(model(inputs))
    found = array(model({**inputs, "source": dirty, "source_mask": mask}))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert_same(answers(model, dirty, source_mask=mask), answers(model, inputs["source"]))
    expected = array(model.log_probability(inputs["source"], inputs["target"]))
    found = array(model.log_probability(dirty, inputs["target"], source_mask=mask))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_with_a_mask_token_0_is_a_token(model):
    inputs = batch()
    everything = np.ones((len(LENGTHS), SOURCE), bool)
    seen = array(model({**inputs, "source_mask": everything}))
    changed = np.abs(seen - array(model(inputs))).max(axis=(1, 2)) > 1e-3
    np.testing.assert_array_equal(changed, [length < SOURCE for length in LENGTHS])


def test_a_source_of_padding_alone_is_answered_with_finite_numbers(model):
    inputs = batch()
    inputs["source"][2] = 0
    logits, found = array(model(inputs)), answers(model, inputs["source"])
    assert np.isfinite(logits).all()
    assert np.isfinite(found[2]).all()
    np.testing.assert_array_equal(found[3][2], np.zeros((5, SOURCE)))
    alone = array(model({k: v[2:3] for k, v in {**inputs, "source": np.zeros((BATCH, 1))}.items()}))
    np.testing.assert_allclose(logits[2], alone[0], atol=1e-5)


def test_the_target_after_a_token_does_not_change_its_logits(model):
    inputs = batch()
    expected = array(model(inputs))
    inputs["target"] = padded(inputs["target"], (1, 2, 1))
    found = array(model(inputs))
    for i, length in enumerate((1, 2, 1)):
        np.testing.assert_allclose(found[i, :length], expected[i, :length], atol=1e-6)
