"""Losses on attention weights."""

import numpy as np
import pytest

import keras_attention as ka
from tests.arrays import assert_close

B, TT, TV = 2, 3, 5
LABELS = np.array([[2, 3, 0], [5, 2, 7]])


def random_weights(seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(TV), (B, TT)).astype("float32")


def coverage_losses(weights):
    losses = np.zeros((B, TT))
    for b in range(B):
        for t in range(TT):
            if LABELS[b, t]:
                seen = [weights[b, u] for u in range(t) if LABELS[b, u]]
                covered = np.sum(seen, axis=0) if seen else np.zeros(TV)
                losses[b, t] = sum(min(weights[b, t, s], covered[s]) for s in range(TV))
    return losses


def test_coverage():
    """See et al., equation 12, over the tokens that are no padding."""
    weights = random_weights()
    expected = coverage_losses(weights)
    assert_close(ka.CoverageLoss()(LABELS, weights), expected.sum() / 5, rtol=1e-5)
    assert_close(ka.CoverageLoss(reduction="sum")(LABELS, weights), expected.sum(), rtol=1e-5)
    assert_close(ka.CoverageLoss(reduction=None)(LABELS, weights), expected, rtol=1e-5, atol=1e-7)


def test_coverage_literal_numbers():
    """The same step three times: 0, 1, 1; each step once: 0."""
    labels = np.ones((1, 3))
    same = np.tile(np.eye(3, dtype="float32")[0], (1, 3, 1))
    assert_close(ka.CoverageLoss()(labels, same), 2 / 3, rtol=1e-6)
    assert_close(ka.CoverageLoss()(labels, np.eye(3, dtype="float32")[None]), 0.0)


def test_coverage_with_sample_weights():
    weights, by_example = random_weights(), np.array([2.0, 3.0])
    expected = (coverage_losses(weights) * by_example[:, None]).sum() / (2 * 2 + 3 * 3)
    found = ka.CoverageLoss()(LABELS, weights, sample_weight=by_example)
    assert_close(found, expected, rtol=1e-5)


def test_padding_changes_no_coverage():
    weights = random_weights()
    other = weights.copy()
    other[0, 2] = 7.0
    assert_close(ka.CoverageLoss()(LABELS, other), ka.CoverageLoss()(LABELS, weights), rtol=1e-6)


@pytest.mark.parametrize("kind", ["crossentropy", "mse"])
def test_guided_alignment(kind):
    given, found = random_weights(1), random_weights(2)
    given[0, 1] = 0  # aligned to nothing
    if kind == "mse":
        losses = ((given.astype("float64") - found) ** 2).sum(-1)
    else:
        losses = -(given.astype("float64") * np.log(found)).sum(-1)
    losses[0, 1] = 0
    loss = ka.GuidedAlignmentLoss(kind)
    assert_close(loss(given, found), losses.sum() / 5, rtol=1e-5)
    assert_close(ka.GuidedAlignmentLoss(kind, reduction=None)(given, found), losses, rtol=1e-4)


def test_guided_alignment_where_nothing_is_aligned_or_a_weight_is_0():
    found = random_weights()
    assert_close(ka.GuidedAlignmentLoss()(np.zeros((B, TT, TV)), found), 0.0)
    given, none = np.eye(TV)[None, :TT], np.eye(TV, dtype="float32")[None, 1 : TT + 1]
    # -log(6e-8)
    assert_close(ka.GuidedAlignmentLoss()(given, none), 16.63, rtol=1e-3)


def test_configuration():
    for loss in (ka.CoverageLoss(pad_id=3), ka.GuidedAlignmentLoss("mse")):
        copy = type(loss).from_config(loss.get_config())
        assert copy.get_config() == loss.get_config()


def test_unknown_kind():
    with pytest.raises(ValueError, match="Received: kind='kl'"):
        ka.GuidedAlignmentLoss("kl")
