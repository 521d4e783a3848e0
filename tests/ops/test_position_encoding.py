"""Sums of words against the formula of the paper, word by word."""

import numpy as np

from keras_attention.ops.position_encoding import encode_sentences
from tests.arrays import as_float64, assert_close

B, S, W, D = 2, 3, 5, 7
LENGTHS = np.array([[5, 1, 0], [3, 2, 4]])


def test_position_encoding():
    words = np.random.default_rng(0).standard_normal((B, S, W, D)).astype("float32")
    mask = np.arange(W) < LENGTHS[..., None]
    expected, plain = np.zeros((B, S, D)), np.zeros((B, S, D))
    for b, s in np.ndindex(B, S):
        length = LENGTHS[b, s]
        for j in range(1, length + 1):
            plain[b, s] += words[b, s, j - 1]
            for k in range(1, D + 1):
                weight = (1 - j / length) - k / D * (1 - 2 * j / length)
                expected[b, s, k - 1] += weight * words[b, s, j - 1, k - 1]
    assert_close(encode_sentences(words, mask), expected, rtol=1e-5, atol=1e-6)
    assert_close(encode_sentences(words, mask, positions=False), plain, rtol=1e-5, atol=1e-6)
    # Padding in between counts as none: the words close up.
    apart = np.insert(words, 2, 3.0, axis=2), np.insert(mask, 2, False, axis=2)
    assert_close(encode_sentences(*apart), expected, rtol=1e-5, atol=1e-6)
    assert (as_float64(encode_sentences(words, mask))[0, 2] == 0).all()
