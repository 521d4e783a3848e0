"""A row of `Constraints` is all that a constraint needs: search and export follow from it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import Constraints
from keras_attention.decoding.constraint import constraint
from keras_attention.decoding.settings import PENALTY, by_example
from keras_attention.exporting import search_signatures

END = 3


def penalize_last(log_probabilities, ids, t, end_id, penalty):
    """Subtracts `penalty` from the log-probability of the token that was chosen last."""
    last = ops.take(ids, ops.reshape(ops.maximum(t - 1, 0), (1,)), axis=-1)
    vocabulary = ops.arange(ops.shape(log_probabilities)[-1], dtype="int32")
    return log_probabilities - by_example(penalty, 3) * ops.cast(vocabulary == last, "float32")


@dataclasses.dataclass(frozen=True)
class WithOneMore(Constraints):
    last_penalty: Any = constraint(0.0, PENALTY, penalize_last, of_requests=(0.0, 7.0))


def test_a_search_applies_it():
    log_p = np.log(np.array([[[0.1, 0.2, 0.3, 0.4]]], "float32"))
    ids = np.array([[[2, 1, 0]]], "int32")
    assert WithOneMore().is_empty() and not WithOneMore(last_penalty=2.0).is_empty()
    found = WithOneMore(last_penalty=np.array([2.0], "float32"), min_length=3).apply(
        ops.convert_to_tensor(log_p), ops.convert_to_tensor(ids), 2, END
    )
    wanted = log_p - np.array([0, 2, 0, np.inf])
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-6)
    with pytest.raises(ValueError, match="a finite last_penalty >= 0. Received: last_pena"):
        WithOneMore(last_penalty=-1.0)


def test_an_exported_search_takes_it(monkeypatch):
    before = search_signatures.beam_settings(11)
    monkeypatch.setattr(search_signatures, "Constraints", WithOneMore)
    settings = search_signatures.beam_settings(11)
    assert settings == before | {"last_penalty": search_signatures.Setting(0.0, 0.0, 7.0)}
    values = {name: setting.default for name, setting in settings.items()}
    made = search_signatures._constraints_of(values | {"last_penalty": 5.0}, None)
    assert made == WithOneMore(last_penalty=5.0)


def test_settings_of_the_exported_searches():
    """Names, defaults and ranges are part of what a request may say."""
    own = {name: tuple(s) for name, s in search_signatures.beam_settings(11).items()}
    assert own == {
        "length_penalty": (0.0, 0.0, 10.0),
        "coverage_penalty": (0.0, 0.0, 100.0),
        "max_length": (11, 1, 11),
        "min_length": (0, 0, 11),
        "repetition_penalty": (1.0, 0.01, 100.0),
        "no_repeat_ngram": (0, 0, 11),
    }
