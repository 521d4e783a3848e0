import pytest

from tests.models.variants import VARIANTS


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant.name, scope="session")
def variant(request):
    return request.param


@pytest.fixture(scope="session")
def model(variant):
    """The variant with its usual arguments; tests must not change it."""
    return variant.model()
