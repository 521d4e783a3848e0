"""Names of types that keras_attention shares.

Keras has no types of its own: a tensor may be of TensorFlow, JAX or PyTorch, a symbolic
`KerasTensor`, or a NumPy array where one is converted. So `Tensor` is `Any` with a name: it says
what is meant, and a type checker accepts whatever is handed over. The values of Python around it
(sizes, rates, flags, names) have types that are checked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

Tensor: TypeAlias = Any
# Of `build`, `compute_output_shape` and the like: a tuple of integers, None where one is not known,
# or a shape of the backend.
Shape: TypeAlias = Any
# As `keras.activations.get` and `keras.initializers.get` take them.
Activation: TypeAlias = str | Callable[..., Any]
Initializer: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
# As `keras.regularizers.get` and `keras.constraints.get` take them.
Regularizer: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
Constraint: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
# A text and its answer, one for each line of a corpus.
Pairs: TypeAlias = Sequence[tuple[str, str]]


class LayerOptions(TypedDict, total=False):
    """Arguments by name that every layer of Keras takes."""

    name: str | None
    dtype: Any
    trainable: bool
    autocast: bool
    activity_regularizer: Any


class AttentionOptions(LayerOptions, total=False):
    """Arguments of `AttentionBase` that subclasses pass on."""

    probability: str


class StatefulOptions(AttentionOptions, total=False):
    """Arguments of `AttentionBase` that a subclass of `StatefulAttention` passes on."""

    dropout: float
    seed: int | None
