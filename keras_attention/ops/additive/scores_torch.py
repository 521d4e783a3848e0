"""The additive score on PyTorch: products of matrices, in slabs, with its own gradient."""

from typing import Any

import torch

from keras_attention._types import Tensor
from keras_attention.ops.additive import matmul

# Elements of a slab `(groups, B, Tq, Tv)`. One group at least.
SLAB = 1 << 18


def scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """`(B, Tq, Tv)` of `query (B, Tq, U)`, `key (B, Tv, U)` and `vector (U,)`."""
    return _Scores.apply(query, key, vector)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Tensor, query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, vector)
        if matmul.scores_are_exact(query, key):
            of_slab, size = matmul.scores, matmul.SCORE_GROUP
        else:
            of_slab, size = matmul.exact_scores, 1
        query, key, vector = (matmul.padded(x, size) for x in (query, key, vector))
        weights = vector.reshape(-1, size)
        query, key = (matmul.in_groups(x, size) for x in (query, key))
        total = query.new_zeros((query.shape[1], query.shape[3], key.shape[3]))
        for part in _slabs(query, key):
            total += of_slab(query[part], key[part], weights[part])
        return total

    @staticmethod
    def backward(ctx: Tensor, upstream: Tensor) -> Any:
        query, key, vector = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, upstream)
        units = vector.shape[0]
        if matmul.gradients_are_exact(query, key):
            of_slab, size = matmul.gradients, matmul.GRADIENT_GROUP
        else:
            of_slab, size = matmul.exact_gradients, 1
        query, key = (matmul.padded(x, size) for x in (query, key))
        query, key = (matmul.in_groups(x, size) for x in (query, key))
        found = [of_slab(query[part], key[part], upstream) for part in _slabs(query, key)]
        by_query, by_key, by_vector = (torch.cat(parts) for parts in zip(*found, strict=True))
        by_query, by_key = (
            matmul.out_of_groups(joined)[:, :, :units] for joined in (by_query, by_key)
        )
        return vector * by_query, vector * by_key, by_vector.reshape(-1)[:units]


def _differentiable_gradients(ctx: Tensor, upstream: Tensor) -> Tensor:
    """Gradients for `create_graph=True`, from the plain formula: slabs cannot be differentiated."""
    query, key, vector = ctx.saved_tensors
    scores = torch.tanh(query[:, :, None] + key[:, None]) @ vector
    wanted = [
        x for x, needed in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=True) if needed
    ]
    found = iter(torch.autograd.grad(scores, wanted, upstream, create_graph=True))
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)


def _slabs(query: Tensor, key: Tensor) -> Tensor:
    """Slices of the groups."""
    groups, batch, _, query_length = query.shape
    width = max(1, SLAB // max(1, batch * query_length * key.shape[3]))
    return [slice(start, start + width) for start in range(0, groups, width)]
