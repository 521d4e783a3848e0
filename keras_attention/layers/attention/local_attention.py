"""Attention to a window of the memory."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.stateful_attention import StatefulAttention
from keras_attention.layers.validation import check_positive, clone_initializer
from keras_attention.ops.matrix import by_rows
from keras_attention.ops.precision import at_least_float32

POSITIONS = ("predictive", "monotonic")


@keras.saving.register_keras_serializable(package="keras_attention")
class LocalAttention(StatefulAttention):
    """Attends to the steps within D of a position `p_t`, near ones more than far ones.

    - `position="predictive"` (local-p): `p_t = S sigmoid(v . tanh(W q))`, S the last step of the
      memory that may be attended to, counted from 1;
    - `position="monotonic"` (local-m): `p_t = t`, the position of the query.

    The weights are those of the scorer over the window, times `exp(-(s - p_t)^2 / (2 (D/2)^2))`
    with `gaussian`, through which alone W and v learn. Times a Gaussian, they sum to less than 1,
    as in the paper.

    Masking: see `StatefulAttention`; masked queries count as positions.

    Example:

    ```python
    decoder_states, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    context = LocalAttention(LuongAttention("general"), window=10)(decoder_states, memory)
    ```

    Args:
        scorer: a layer that scores, see `StatefulAttention`.
        window: D, the largest distance from the position, in steps.
        position: `"predictive"` or `"monotonic"`.
        gaussian: whether near steps count for more; as in the paper by default, for the
            predicted position alone.
        units: inner size of the prediction; that of the query by default.
        kernel_initializer: initializer of W and v.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: `scorer` is no layer that scores; `window` or `units` is not a positive
            integer; unknown `position`; `units` with a position that is not predicted; a position
            is predicted without a Gaussian, when nothing would teach it.

    Reference: Luong, Pham and Manning, 2015, https://arxiv.org/abs/1508.04025, section 3.2,
    equations 9 and 10.
    """

    def __init__(
        self,
        scorer: Any,
        window: int = 10,
        position: str = "predictive",
        gaussian: bool | None = None,
        units: int | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[StatefulOptions],
    ) -> None:
        super().__init__(scorer, **kwargs)
        if position not in POSITIONS:
            raise ValueError(
                f"Expected position to be one of {POSITIONS}. Received: position={position!r}"
            )
        predicts = position == "predictive"
        if units is not None and not predicts:
            raise ValueError(
                f"Expected units only with position='predictive'. Received: units={units!r}"
            )
        if predicts and gaussian is not None and not gaussian:
            raise ValueError(
                "Expected a Gaussian with position='predictive': without it, the position has no "
                f"gradient. Received: gaussian={gaussian!r}"
            )
        self.window = check_positive(window=window)
        self.position = position
        self.gaussian = predicts if gaussian is None else bool(gaussian)
        self.units = units if units is None else check_positive(units=units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        if self.position == "monotonic":
            return
        units = self.units or query_shape[-1]
        self.position_dense = keras.layers.Dense(
            units,
            "tanh",
            use_bias=False,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="position",
        )
        self.position_dense.build(query_shape)
        self.position_v = self.add_weight(
            name="position_v",
            shape=(units,),
            initializer=clone_initializer(self.kernel_initializer),
        )

    def initial_state(self, memory: Tensor) -> Any:
        """The position `(B, 1)` of the first query, float32 at least; a prediction needs none."""
        if self.position == "predictive":
            return []
        key = memory[0]
        return [ops.zeros((ops.shape(key)[0], 1), dtype=at_least_float32(key.dtype))]

    def weigh(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor,
        state: Any,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Any, Any]:
        scores = self.compute_scores(self.project_query(query), key)
        value_length = ops.shape(scores)[-1]
        steps = ops.arange(value_length, dtype=scores.dtype)
        if self.position == "monotonic":
            query_length = ops.shape(query)[1]
            positions = state[0] + ops.arange(query_length, dtype=scores.dtype)
            state = [state[0] + ops.cast(query_length, scores.dtype)]
        else:
            count = ops.cast(value_length, scores.dtype)
            if mask is not None:
                # (B, Tq) or (B, 1)
                count = ops.max(ops.where(mask, steps + 1, 0.0), axis=-1, initial=0.0)
            vector = ops.cast(self.position_v, scores.dtype)
            hidden = ops.cast(by_rows(self.position_dense, query), scores.dtype)
            positions = count * ops.sigmoid(ops.sum(hidden * vector, axis=-1))
        distances = steps - ops.expand_dims(positions, -1)
        near = ops.abs(distances) <= self.window
        weights = self.weigh_scores(
            scores, near if mask is None else ops.logical_and(mask, near), noise
        )
        if self.gaussian:
            weights = weights * ops.exp(-ops.square(distances / self.window) * 2)
        return weights, state

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "window": self.window,
            "position": self.position,
            "gaussian": self.gaussian,
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
