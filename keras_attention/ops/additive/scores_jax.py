"""The additive score on JAX: the chain, compiled, with its own gradient."""

from typing import Any

import jax

from keras_attention._types import Tensor
from keras_attention.ops.additive import elementwise


@jax.custom_vjp
def _chain(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    return elementwise.scores(query, key, vector)


def _forward(query: Tensor, key: Tensor, vector: Tensor) -> tuple[Any, Any]:
    return elementwise.scores(query, key, vector), (query, key, vector)


def _backward(saved: tuple[Tensor, Tensor, Tensor], upstream: Tensor) -> Tensor:
    return elementwise.gradients(*saved, upstream)


_chain.defvjp(_forward, _backward)


@jax.jit
def scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """See `elementwise.scores`."""
    return _chain(query, key, vector)
