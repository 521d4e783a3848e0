"""Models with a state of their own, exported: TensorFlow's C runtime searches as they do."""

import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention.exporting import search_signatures
from keras_attention.exporting.signatures import decode_ids
from tests.models.variants import SOURCE_VOCABULARY, Variant, ids
from tests.test_export import in_another_process

MAX_LENGTH = 5
ATTENTIONS = {
    "monotonic": lambda: ka.MonotonicAttention(ka.BahdanauAttention(23)),
    "location": lambda: ka.LocationSensitiveAttention(ka.BahdanauAttention(23), 3, 3),
    "coverage": lambda: ka.CoverageAttention(ka.BahdanauAttention(23)),
    "local": lambda: ka.LocalAttention(ka.LuongAttention("general"), window=2),
}
MODELS = [Variant(name, attention) for name, attention in ATTENTIONS.items()]


@pytest.mark.parametrize("variant", MODELS, ids=lambda variant: variant.name)
def test_the_proof(variant, tmp_path):
    model = variant.model()
    options = {"max_length": MAX_LENGTH, "beam_width": 3, "n_best": 2}
    version = ka.export(model, tmp_path / "m", searches=("beam",), **options)
    feeds = {"ids": ids((3, 7), SOURCE_VOCABULARY).tolist(), "lengths": [7, 1, 4]}
    calls = [("serving_default", feeds), ("beam", feeds)]
    found, best = in_another_process(version, tmp_path, calls)
    given, lengths = tf.constant(feeds["ids"]), tf.constant(feeds["lengths"])
    mask = tf.sequence_mask(lengths, 7)
    nothing = tf.constant([[0]]), tf.constant([0])
    for outputs, wanted in (
        (found, decode_ids(model, given, lengths, MAX_LENGTH)),
        (best, search_signatures.beam(model, given, mask, {}, nothing, **options)),
    ):
        assert set(outputs) == {*wanted, "truncated"}
        np.testing.assert_array_equal(outputs["ids"], wanted["ids"])
        np.testing.assert_allclose(outputs["score"], wanted["score"], rtol=1e-5)
        np.testing.assert_allclose(outputs["alignment"], wanted["alignment"], atol=1e-5)
