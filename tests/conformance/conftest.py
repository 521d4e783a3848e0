"""What every property needs: the rows, and which files belong to which backend."""

import keras
import pytest

from tests.conformance.cases import CASES

_ONLY_ON = {
    "test_function.py": ("tensorflow",),
    "test_saved_model.py": ("tensorflow",),
    "test_xla.py": ("tensorflow", "jax"),
}
collect_ignore = [name for name, on in _ONLY_ON.items() if keras.backend.backend() not in on]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture
def float64():
    """JAX makes float32 of float64 unless it is told not to."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield
