import numpy as np
import pytest

from keras_attention.ops import mu_law_decode, mu_law_encode
from tests.arrays import as_float64


def test_levels():
    samples = [-7.0, -1.0, -0.5, 0.0, 0.01, 0.5, 1.0, 7.0]
    x = np.clip(samples, -1, 1)
    compressed = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    expected = np.round((compressed + 1) / 2 * 255)
    np.testing.assert_array_equal(as_float64(mu_law_encode(np.array(samples))), expected)
    assert expected[[0, 1, -2, -1]].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_level_stands_for_a_sample_of_that_level(levels):
    tokens = np.arange(levels)
    samples = as_float64(mu_law_decode(tokens, levels))
    np.testing.assert_array_equal(as_float64(mu_law_encode(samples, levels)), tokens)
    assert (np.diff(samples) > 0).all() and abs(samples[0] + 1) < 1e-6
    np.testing.assert_allclose(samples, -samples[::-1], atol=1e-6)


def test_small_samples_are_told_apart_where_large_ones_are_not():
    step = np.diff(as_float64(mu_law_decode(np.arange(256))))
    assert step[127] < 3e-4 and step[254] > 2e-2


@pytest.mark.parametrize("levels", [1, 2.5])
def test_a_bad_argument_is_refused(levels):
    with pytest.raises(ValueError, match=f"levels={levels}"):
        mu_law_encode(np.zeros(3), levels)
