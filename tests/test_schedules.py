import json

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.arrays import as_float64, assert_close

# Schedule, and its probability of sampling at steps 0, 10 and 1000, by Bengio et al.
SCHEDULES = [
    (ka.ConstantSampling(0.25), [0.25, 0.25, 0.25]),
    (ka.LinearSampling(0.01, start=1.0, minimum=0.2), [0.0, 0.1, 0.8]),
    (ka.LinearSampling(0.01, start=0.9), [0.1, 0.2, 1.0]),
    (ka.ExponentialSampling(0.9), [0.0, 1 - 0.9**10, 1.0]),
    (
        ka.InverseSigmoidSampling(5.0),
        [1 - 5 / 6, 1 - 5 / (5 + np.exp(2)), 1.0],
    ),
]
every = pytest.mark.parametrize(
    ("schedule", "expected"), SCHEDULES, ids=lambda x: type(x).__name__ if callable(x) else ""
)


@every
def test_probability(schedule, expected):
    for step, wanted in zip([0, 10, 1000], expected, strict=True):
        for given in (step, keras.ops.convert_to_tensor(step, dtype="int32")):
            found = schedule(given)
            assert keras.backend.standardize_dtype(found.dtype) == "float32"
            assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@every
def test_configuration(schedule, expected):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == schedule.get_config()
    assert_close(copy(10), schedule(10), rtol=0)


def test_many_steps_do_not_overflow():
    assert_close(ka.InverseSigmoidSampling(1.0)(10**9), 1.0)
    assert np.isfinite(as_float64(ka.ExponentialSampling(0.5)(10**9)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ka.ConstantSampling(1.5), "probability=1.5"),
        (lambda: ka.LinearSampling(-1), "slope=-1"),
        (lambda: ka.LinearSampling(0.1, minimum=2), "minimum=2"),
        (lambda: ka.ExponentialSampling(1.0), "base=1.0"),
        (lambda: ka.InverseSigmoidSampling(0.5), "k=0.5"),
    ],
)
def test_arguments_that_make_no_sense(make, match):
    with pytest.raises(ValueError, match=f"Received: {match}"):
        make()


def test_the_learning_rate_of_the_transformer():
    """Equation 3 of the paper, with its 512 units and 4000 steps of warm-up."""
    schedule = ka.InverseSquareRoot(512**-0.5 * 4000**-0.5, 4000)
    for step in (1, 100, 3999, 4000, 4001, 100_000):
        wanted = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert float(schedule(step - 1)) == pytest.approx(wanted, rel=1e-5)
    again = ka.InverseSquareRoot.from_config(schedule.get_config())
    assert float(again(17)) == float(schedule(17))
    for wrong in ({"rate": 0, "warmup_steps": 3}, {"rate": 1, "warmup_steps": 0}):
        with pytest.raises(ValueError, match="Received: .*=0"):
            ka.InverseSquareRoot(**wrong)
