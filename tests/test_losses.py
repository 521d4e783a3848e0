import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.gradients import gradients

BATCH, STEPS, VOCABULARY = 3, 5, 7
LABELS = np.array([[4, 5, 6, 1, 3], [2, 3, 0, 0, 0], [6, 0, 5, 3, 0]])
BY_SEQUENCE = np.array([2.0, 0.5, 0.0])
BY_TOKEN = np.array([[1, 0, 2, 1, 1], [0.5, 3, 1, 1, 1], [0, 1, 1, 0.25, 1]])


def logits(dtype="float32", scale=2.0):
    generator = np.random.default_rng(0)
    return (scale * generator.standard_normal((BATCH, STEPS, VOCABULARY))).astype(dtype)


def oracle(logits, labels=LABELS, smoothing=0.0, pad_id=0):
    """The losses of all tokens in float64, 0 for padding, and which are none."""
    x = logits.astype("float64")
    log_p = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    wanted = np.full(x.shape, smoothing / x.shape[-1])
    for index, label in np.ndenumerate(labels):
        wanted[(*index, label)] += 1 - smoothing
    counts = labels != pad_id
    return -(wanted * log_p).sum(axis=-1) * counts, counts.astype("float64")


def number(x):
    return np.asarray(ops.convert_to_numpy(x), "float64")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.75])
@pytest.mark.parametrize("pad_id", [0, 3])
def test_the_mean_over_tokens_that_are_no_padding(smoothing, pad_id):
    losses, counts = oracle(logits(), smoothing=smoothing, pad_id=pad_id)
    found = ka.SequenceCrossentropy(smoothing, pad_id)(LABELS, logits())
    np.testing.assert_allclose(number(found), losses.sum() / counts.sum(), rtol=1e-6)


def test_by_hand():
    # Probabilities 1/2 and 1/4 of the right tokens; the third is padding.
    p = np.array([[[0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.9, 0.05, 0.05]]])
    found = ka.SequenceCrossentropy()(np.array([[1, 2, 0]]), np.log(p).astype("float32"))
    np.testing.assert_allclose(number(found), 1.5 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("weight", [BY_SEQUENCE, BY_TOKEN], ids=["sequence", "token"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
def test_weights(weight, reduction):
    losses, counts = oracle(logits())
    full = weight if weight.ndim == 2 else weight[:, None] * np.ones(STEPS)
    loss = ka.SequenceCrossentropy(reduction=reduction)
    found = loss(LABELS, logits(), sample_weight=weight)
    np.testing.assert_allclose(
        number(found), (losses * full).sum() / (counts * full).sum(), rtol=1e-6
    )


def test_reductions():
    losses, _ = oracle(logits())
    found = ka.SequenceCrossentropy(reduction="sum")(LABELS, logits(), sample_weight=BY_SEQUENCE)
    np.testing.assert_allclose(number(found), (losses.sum(axis=1) * BY_SEQUENCE).sum(), rtol=1e-6)
    for none in ("none", None):
        found = ka.SequenceCrossentropy(reduction=none)(LABELS, logits(), sample_weight=BY_TOKEN)
        np.testing.assert_allclose(number(found), losses * BY_TOKEN, rtol=1e-6)


def test_padding_alone_is_0():
    found = ka.SequenceCrossentropy(0.1)(np.zeros((BATCH, STEPS), "int32"), logits())
    assert number(found) == 0


def test_half_precision_logits():
    """Large enough that a sum of exponentials in float16 is infinite."""
    x = logits("float16", scale=15)
    losses, counts = oracle(x)
    found = ka.SequenceCrossentropy()(LABELS, x)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(number(found), losses.sum() / counts.sum(), rtol=1e-5)


def test_configuration():
    loss = ka.SequenceCrossentropy(0.25, pad_id=3, name="other", reduction="sum")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert isinstance(again, ka.SequenceCrossentropy)
    assert again.get_config() == loss.get_config()
    assert (again.label_smoothing, again.pad_id, again.reduction) == (0.25, 3, "sum")
    np.testing.assert_array_equal(number(again(LABELS, logits())), number(loss(LABELS, logits())))


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing={smoothing}"):
        ka.SequenceCrossentropy(smoothing)


def test_fit_reports_the_same():
    """Through `compile`, with weights, where Keras calls the loss itself."""
    inputs = keras.Input((STEPS, VOCABULARY))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss=ka.SequenceCrossentropy())
    losses, counts = oracle(logits())
    full = BY_SEQUENCE[:, None] * counts
    found = model.evaluate(logits(), LABELS, sample_weight=BY_SEQUENCE, verbose=0)
    np.testing.assert_allclose(found, (losses * full).sum() / full.sum(), rtol=1e-5)


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 0.9076), (0.1, 0.9576)])
def test_tokens_that_the_logits_rule_out(smoothing, expected):
    """Probabilities of exp(0), exp(1) and exp(2); smoothing is spread over these three."""
    x = np.array([[[0.0, 1.0, 2.0, -np.inf]] * 2], "float32")
    found = ka.SequenceCrossentropy(smoothing)(np.array([[1, 2]]), x)
    np.testing.assert_allclose(number(found), expected, atol=1e-4)


class Predicted(keras.layers.Layer):
    """A prediction as a weight, so that a loss can be differentiated by it."""

    def build(self, shape):
        self.prediction = self.add_weight(shape=shape[1:], name="prediction", initializer="zeros")

    def call(self, x):
        return x + self.prediction


def gradient(loss, labels, prediction, sample_weight=None):
    layer = Predicted()
    layer.build(prediction.shape)
    by_name = gradients(
        layer, {"x": prediction}, lambda y: loss(labels, y, sample_weight=sample_weight)
    )
    return by_name["x"]


ALIGNED = np.eye(VOCABULARY, dtype="float32")[LABELS] * (LABELS != 0)[..., None]


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (ka.SequenceCrossentropy(0.1), LABELS),
        (ka.CoverageLoss(), LABELS),
        (ka.GuidedAlignmentLoss(), ALIGNED),
        (ka.GuidedAlignmentLoss("mse"), ALIGNED),
    ],
    ids=["crossentropy", "coverage", "guided", "guided_mse"],
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_predicted_for_padding_reaches_nothing(loss, labels, bad):
    weights = np.exp(logits()) / np.exp(logits()).sum(-1, keepdims=True)
    spoiled = np.where((LABELS == 0)[..., None], np.float32(bad), weights)
    np.testing.assert_allclose(number(loss(labels, spoiled)), number(loss(labels, weights)))
    found = gradient(loss, labels, spoiled)
    np.testing.assert_allclose(found, gradient(loss, labels, weights), rtol=1e-6)
    assert np.any(found)


def test_what_is_predicted_where_the_weight_is_0_reaches_nothing():
    weight, x = (BY_TOKEN > 0.5).astype("float32"), logits()
    spoiled = np.where((weight == 0)[..., None], np.float32("nan"), x)
    loss = ka.SequenceCrossentropy()
    np.testing.assert_allclose(
        number(loss(LABELS, spoiled, weight)), number(loss(LABELS, x, weight))
    )
    assert np.isfinite(gradient(loss, LABELS, spoiled, weight)).all()


def test_negative_labels_do_not_count():
    others = np.where(LABELS == 0, -1, LABELS)
    others[0, 0] = -100
    padded = LABELS.copy()
    padded[0, 0] = 0
    for loss in (ka.SequenceCrossentropy(0.1), ka.CoverageLoss()):
        np.testing.assert_allclose(number(loss(others, logits())), number(loss(padded, logits())))


def test_labels_beyond_the_vocabulary_are_refused():
    labels = LABELS.copy()
    labels[1, 1] = VOCABULARY
    with pytest.raises(ValueError, match="from 0 and below 7. Received: y_true=7"):
        ka.SequenceCrossentropy()(labels, logits())


def test_the_keras_mask_of_the_prediction():
    hidden = np.array([[True] * 5, [False] * 5, [True] * 5])
    x = keras.layers.Identity()(ops.convert_to_tensor(logits()))
    x._keras_mask = ops.convert_to_tensor(hidden)
    losses, counts = oracle(logits())
    expected = (losses * hidden).sum() / (counts * hidden).sum()
    np.testing.assert_allclose(number(ka.SequenceCrossentropy()(LABELS, x)), expected, rtol=1e-6)
