"""Tokens that a model is given, as vectors."""

from typing import Any

from keras_attention._token_ids import check_token_ids, spoil
from keras_attention._types import Tensor


def embed_tokens(embedding: Any, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Embed `tokens`, int `(B, T)`, with `embedding`, a `keras.layers.Embedding`.

    Of ids that are no tokens nothing is made: see `check_token_ids`. Where `mask (B, T)` is False
    they may be anything. The tokens that a search chooses need no such check.
    """
    tokens, outside = check_token_ids(tokens, embedding.input_dim, mask, name="token")
    return spoil(embedding(tokens), outside)
