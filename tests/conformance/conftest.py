"""What every property needs: the rows, and which files belong to which backend."""

import keras
import pytest

from tests.conformance.cases import CASES

# On JAX and torch `keras.ops` takes float64 for float32.
_ONLY_ON = {
    "test_conversion.py": ("tensorflow",),
    "test_float64.py": ("tensorflow",),
    "test_function.py": ("tensorflow",),
    "test_saved_model.py": ("tensorflow",),
    "test_unknown_features.py": ("tensorflow",),
    "test_xla.py": ("tensorflow", "jax"),
}
collect_ignore = [name for name, on in _ONLY_ON.items() if keras.backend.backend() not in on]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param
