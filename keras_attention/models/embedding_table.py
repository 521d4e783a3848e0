"""The table of an embedding that also serves as output weights."""

from typing import Any

from keras import ops


def embedding_table(embedding: Any) -> Any:
    """Vectors of all tokens `(V, E)`; of a quantized layer what it makes of its integers."""
    if embedding.quantization_mode is None:
        return embedding.embeddings
    return embedding(ops.arange(embedding.input_dim))
