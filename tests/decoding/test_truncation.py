import numpy as np
import pytest
from keras import ops

from keras_attention.decoding.truncation import apply_temperature, truncate

# Shares of 64, all exact in float32, with ties.
SHARES = np.array([[16, 8, 4, 16, 8, 8, 2, 1, 1], [1, 1, 2, 4, 8, 16, 32, 0, 0]])
LOGS = np.log(np.maximum(SHARES, 1e-30) / 64).astype("float32")
LOGS[SHARES == 0] = -np.inf


def left(**options):
    """Which shares are left of each example."""
    options = {k: v if np.isscalar(v) else ops.convert_to_tensor(v) for k, v in options.items()}
    found = ops.convert_to_numpy(truncate(ops.convert_to_tensor(LOGS), **options))
    kept = found > -np.inf
    np.testing.assert_array_equal(found[kept], LOGS[kept])
    return [list(row[k]) for row, k in zip(SHARES, kept, strict=True)]


ALL = [[16, 8, 4, 16, 8, 8, 2, 1, 1], [1, 1, 2, 4, 8, 16, 32]]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, ALL),
        ({"top_k": 0, "top_p": 1.0, "min_p": 0.0}, ALL),
        ({"top_k": 1}, [[16, 16], [32]]),
        ({"top_k": 2}, [[16, 16], [16, 32]]),
        # The third is one of three that are equally likely.
        ({"top_k": 3}, [[16, 8, 16, 8, 8], [8, 16, 32]]),
        ({"top_k": 9}, ALL),
        ({"top_k": 100}, ALL),
        # 16 + 16 are 32 of 64; the second has 32 in one.
        ({"top_p": 0.49}, [[16, 16], [32]]),
        ({"top_p": 0.51}, [[16, 8, 16, 8, 8], [16, 32]]),
        ({"top_p": 0.01}, [[16, 16], [32]]),
        ({"top_p": 0.96}, [[16, 8, 4, 16, 8, 8, 2], [2, 4, 8, 16, 32]]),
        ({"min_p": 0.4}, [[16, 8, 16, 8, 8], [16, 32]]),
        ({"min_p": 0.26}, [[16, 8, 16, 8, 8], [16, 32]]),
        ({"min_p": 1.0}, [[16, 16], [32]]),
        # Of the two likeliest of the second, 32 are two thirds.
        ({"top_k": 2, "top_p": 0.6}, [[16, 16], [32]]),
        ({"top_k": 2, "top_p": 0.7}, [[16, 16], [16, 32]]),
        ({"top_k": 6, "min_p": 0.4}, [[16, 8, 16, 8, 8], [16, 32]]),
        # One setting for each example.
        ({"top_k": np.array([1, 0])}, [[16, 16], ALL[1]]),
        ({"top_p": np.array([1, 0.51], "f")}, [ALL[0], [16, 32]]),
        ({"min_p": np.array([0, 0.4], "f")}, [ALL[0], [16, 32]]),
        ({"top_k": np.array([3, 5]), "top_p": np.array([0.3, 0.9], "f")}, [[16, 16], [8, 16, 32]]),
        ({"top_k": np.array([0, 0]), "top_p": np.array([1, 1], "f")}, ALL),
        ({"top_k": np.array([2]), "top_p": 1.0}, [[16, 16], [16, 32]]),
    ],
)
def test_what_is_left(options, wanted):
    assert left(**options) == wanted


def test_heat_divides_what_stands_below_the_best():
    found = ops.convert_to_numpy(apply_temperature(ops.convert_to_tensor(LOGS), 0.5))
    np.testing.assert_allclose(found, 2 * (LOGS - LOGS.max(axis=-1, keepdims=True)), rtol=1e-6)


def test_at_temperature_0_the_likeliest_are_left():
    temperature = ops.convert_to_tensor(np.array([0, 1], "float32"))
    found = ops.softmax(apply_temperature(ops.convert_to_tensor(LOGS), temperature), axis=-1)
    wanted = np.stack([(SHARES[0] == 16) / 2, SHARES[1] / 64])
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-6)
