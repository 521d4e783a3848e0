import keras
import pytest

from tests.models.variants import VARIANTS


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant.name, scope="session")
def variant(request):
    return request.param


@pytest.fixture(scope="session")
def model(variant):
    """The variant with its usual arguments; tests must not change it."""
    return variant.model()


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """JAX keeps every program it compiles; after some thousands the process runs out of maps."""
    yield
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()
