import numpy as np
import pytest
from keras import ops

from keras_attention.ops.matrix import by_rows


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 3), (2, 5, 7, 3), (2, 0, 3)])
def test_a_product_of_any_rank(shape):
    generator = np.random.default_rng(0)
    x, kernel = generator.random(shape, "float32"), generator.random((3, 11), "float32")
    found = by_rows(lambda rows: ops.matmul(rows, kernel), ops.convert_to_tensor(x))
    np.testing.assert_allclose(ops.convert_to_numpy(found), x @ kernel, rtol=1e-5)
