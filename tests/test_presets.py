"""Presets of an export: searches whose settings are part of the model."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_attention as ka
from keras_attention.exporting.signatures import TextSignatures
from tests.test_export import MAX_LENGTH, TEXTS, in_another_process
from tests.tiny_run import trained, trained_model


@pytest.mark.parametrize(
    ("presets", "message"),
    [
        ({"beam": ("beam", {})}, "an identifier and none of .*'beam'.*Received: 'beam'"),
        ({"a b": ("beam", {})}, "an identifier"),
        ({"x": ("bean", {})}, "a search out of .*Received: x=\\('bean', {}\\)"),
        ({"x": "beam"}, "a search out of .*Received: x='beam'"),
        ({"x": ("beam", None)}, "a dictionary of its settings. Received: x=\\('beam', None\\)"),
        ({"x": ("beam", {"top_p": 0.5})}, "settings of beam out of .*Received: 'top_p'"),
        ({"x": ("sample", {"top_p": 1.5})}, "float32 from 1e-06 to 1.0. Received: top_p=1.5"),
        ({"x": ("sample", {"top_k": 1.5})}, "int32 from 0 to .*Received: top_k=1.5"),
        ({"x": ("beam", {"max_length": 4})}, "int32 from 1 to 3. Received: max_length=4"),
    ],
)
def test_presets_that_do_not_fit(tmp_path, presets, message):
    with pytest.raises(ValueError, match=message):
        ka.export(trained_model(), tmp_path / "m", max_length=3, presets=presets)
    assert not (tmp_path / "m").exists()


def as_tensors(settings):
    return {name: tf.constant([number]) for name, number in settings.items()}


def test_presets_are_searches_with_settings_of_their_own(tmp_path):
    """Their signatures want the text alone, and answer as the search does with these settings."""
    fixed = {"length_penalty": 0.6, "max_length": 4}
    drawn = {"temperature": 2.0, "top_k": 5}
    presets = {"best": ("beam", fixed), "free": ("sample", drawn)}
    presets["repeated"] = ("sample", {**drawn, "seed": 7})
    source, target = trained().tokenizers()
    given = {"source_tokenizer": source, "target_tokenizer": target, "max_length": MAX_LENGTH}
    path = ka.export(trained_model(), tmp_path / "m", presets=presets, searches=(), **given)
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signatures = saved_model.meta_graphs[0].signature_def
    inputs = {name: set(signatures[name].inputs) for name in presets}
    assert inputs == {"best": {"text"}, "free": {"text", "seed"}, "repeated": {"text"}}
    assert not any(signatures[name].defaults for name in presets)

    text = {"text": TEXTS[:3]}
    calls = [("best", text), ("free", {**text, "seed": [7, 7, 7]}), ("repeated", text)]
    best, free, repeated = in_another_process(path, tmp_path, calls)
    answers = TextSignatures(trained_model(), source, target, MAX_LENGTH)
    beam = answers.beam(tf.constant(TEXTS[:3]), **as_tensors(fixed))
    sample = answers.sample(tf.constant(TEXTS[:3]), **as_tensors({**drawn, "seed": 7}))
    for found, wanted in ((best, beam), (free, sample), (repeated, sample)):
        assert set(found) == set(wanted)
        np.testing.assert_array_equal(found["text"], wanted["text"])
        np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-5)
    assert best["target_pieces"].shape[-1] <= 4
