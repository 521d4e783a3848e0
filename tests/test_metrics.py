import keras
import numpy as np
import pytest

import keras_attention as ka

# Predictions of five sequences over seven tokens; 0 is padding.
LABELS = np.array([[4, 5, 3], [6, 3, 0], [1, 2, 3], [3, 0, 0], [0, 0, 0]])
PREDICTED = np.array([[4, 5, 3], [6, 3, 5], [1, 2, 6], [4, 0, 0], [0, 0, 0]])
VOCABULARY = 7
BY_SEQUENCE = np.array([2.0, 0.5, 0.25, 0.0, 3.0])
BY_TOKEN = np.array([[1, 0, 2], [3, 1, 1], [0.5, 1, 5], [1, 1, 1], [1, 1, 1]], "float32")


def logits(dtype="float32"):
    """Logits whose greatest are those of `PREDICTED`, the rest random."""
    noise = np.random.default_rng(0).random((*PREDICTED.shape, VOCABULARY))
    return (noise + 2 * np.eye(VOCABULARY)[PREDICTED]).astype(dtype)


METRICS = [ka.TokenAccuracy, ka.SequenceAccuracy]


@pytest.mark.parametrize(("metric", "expected"), [(METRICS[0], 7 / 9), (METRICS[1], 2 / 4)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_padding_does_not_count(metric, expected, dtype):
    metric = metric()
    metric.update_state(LABELS, logits(dtype))
    assert float(metric.result()) == pytest.approx(expected)


def test_over_batches():
    """Tokens are averaged over all tokens, not over the figures of batches."""
    tokens, sequences = ka.TokenAccuracy(), ka.SequenceAccuracy()
    for rows in (slice(0, 1), slice(1, 5)):
        tokens.update_state(LABELS[rows], logits()[rows])
        sequences.update_state(LABELS[rows], logits()[rows])
    assert float(tokens.result()) == pytest.approx(7 / 9)
    assert float(sequences.result()) == pytest.approx(2 / 4)
    tokens.reset_state()
    tokens.update_state(LABELS[:1], logits()[:1])
    assert float(tokens.result()) == 1


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (BY_SEQUENCE, (3 * 2 + 2 * 0.5 + 2 * 0.25) / (3 * 2 + 2 * 0.5 + 3 * 0.25)),
        (BY_TOKEN, (3 + 4 + 1.5) / (3 + 4 + 6.5 + 1)),
    ],
    ids=["sequence", "token"],
)
def test_weights_of_tokens(weight, expected):
    metric = ka.TokenAccuracy()
    metric.update_state(LABELS, logits(), sample_weight=weight)
    assert float(metric.result()) == pytest.approx(expected)


def test_weights_of_sequences():
    metric = ka.SequenceAccuracy()
    metric.update_state(LABELS, logits(), sample_weight=BY_SEQUENCE)
    assert float(metric.result()) == pytest.approx(2.5 / 2.75)
    with pytest.raises(ValueError, match=r"sample_weight.shape=\(5, 3\)"):
        metric.update_state(LABELS, logits(), sample_weight=BY_TOKEN)


def test_another_padding():
    tokens, sequences = ka.TokenAccuracy(pad_id=3), ka.SequenceAccuracy(pad_id=3)
    tokens.update_state(LABELS, logits())
    sequences.update_state(LABELS, logits())
    # Without the four 3s: 4 5 | 6 0 (5) | 1 2 | 0 0 | 0 0 0, all right but the (5).
    assert float(tokens.result()) == pytest.approx(10 / 11)
    assert float(sequences.result()) == pytest.approx(4 / 5)


@pytest.mark.parametrize("metric", METRICS)
def test_padding_alone_is_finite(metric):
    metric = metric()
    metric.update_state(np.zeros((2, 3), "int32"), logits()[:2])
    assert float(metric.result()) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_configuration(metric):
    config = keras.saving.serialize_keras_object(metric(pad_id=3, name="other"))
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, metric)
    assert (again.pad_id, again.name) == (3, "other")


def test_names():
    assert [metric().name for metric in METRICS] == ["token_accuracy", "exact_match"]


@pytest.mark.parametrize(("metric", "expected"), [(METRICS[0], 7 / 9), (METRICS[1], 2 / 4)])
def test_negative_labels_do_not_count(metric, expected):
    metric = metric()
    metric.update_state(np.where(LABELS == 0, -1, LABELS), logits())
    assert float(metric.result()) == pytest.approx(expected)


@pytest.mark.parametrize(("metric", "expected"), [(METRICS[0], 6 / 9), (METRICS[1], 1 / 4)])
def test_nan_is_wrong_where_it_counts(metric, expected):
    x = logits()
    x[0, 1, 4:] = x[4] = np.nan
    metric = metric()
    metric.update_state(LABELS, x)
    assert float(metric.result()) == pytest.approx(expected)
