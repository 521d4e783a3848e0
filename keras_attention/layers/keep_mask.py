"""A wrapper that keeps the mask around a layer that drops it."""

import inspect
from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.attached_mask import attached_mask


@keras.saving.register_keras_serializable(package="keras_attention")
class KeepMask(keras.layers.Wrapper):
    """Any layer of sequences, with the mask of its input attached to its output.

    Keras 3.16 takes masks from `RNN` (`GRU`, `LSTM`), `Bidirectional` and `TimeDistributed`: these
    use the mask and hand none on, and `Conv1D` never did. Attention behind them would attend to the
    padding. With this wrapper the mask goes on, the same with every version of Keras.

    Masking: the mask that Keras attached to the input, or the `mask` that is given, reaches the
    layer if its call takes one, and then the outputs that have as many steps as the input: of
    `GRU(return_state=True, return_sequences=True)` the sequence and not the state. An output
    without steps, as of `return_sequences=False`, gets none. A mask with more axes than the output
    has steps, `(B, S, T)` of texts of S sentences, is True where any of the lost axis is. The
    padding itself is left as it is: a convolution sees what stands there.

    Example:

    ```python
    tokens = keras.ops.array([[7, 2, 5, 0, 0], [3, 1, 4, 6, 2]])
    x = keras.layers.Embedding(1000, 32, mask_zero=True)(tokens)
    memory = KeepMask(keras.layers.GRU(48, return_sequences=True))(x)
    context = BahdanauAttention(units=64)(keras.ops.ones((2, 3, 16)), memory)
    ```

    Args:
        layer: a layer whose call takes one sequence, and what it likes besides by keyword.

    Call arguments:
        inputs: `(B, T, ...)`.
        mask: boolean `(B, T)`; the one attached to the inputs by default.
        training: as the layer takes it.
        Others, such as `initial_state`, go to the layer; by keyword.

    Returns:
        What the layer returns.

    Raises:
        ValueError: `layer` is not a layer; there is a mask, and the layer, which does not take it,
            returns a sequence of another number of steps (a convolution with strides).

    Reference: Keras' guide to masking,
    https://keras.io/guides/understanding_masking_and_padding.
    """

    def __init__(self, layer: Any, **kwargs: Unpack[LayerOptions]) -> None:
        # Inputs are cast as the layer itself casts them.
        dtype = getattr(layer, "dtype_policy", None)
        super().__init__(layer, **{"dtype": dtype, "autocast": False, **kwargs})
        self.supports_masking = True
        self._takes_mask = "mask" in inspect.signature(layer.call).parameters
        # What other layers attach to their outputs themselves stays.
        self._attaches = layer.supports_masking and not isinstance(layer, DROPPING)
        if self._takes_mask:
            accept_masks(layer)

    def call(self, inputs: Tensor, mask: Tensor | None = None, **kwargs: Any) -> Any:
        mask = attached_mask(inputs) if mask is None else mask
        if mask is None:
            return self.layer(inputs, **kwargs)
        # A copy has no mask attached, of whose loss a layer that drops it would warn.
        inputs = ops.copy(inputs)
        outputs = self.layer(inputs, **kwargs, **({"mask": mask} if self._takes_mask else {}))
        return outputs if self._attaches else keras.tree.map_structure(ops.copy, outputs)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(inputs_shape)

    def compute_output_spec(self, inputs: Tensor, mask: Tensor | None = None, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(inputs, **kwargs)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Tensor | None:
        """The mask of each output, in a flat list; None where it has no steps."""
        if previous_mask is None:
            return None
        kept = self._kept_axes(inputs, len(previous_mask.shape) - 1)
        return [_merge(previous_mask, axes) for axes in kept]

    def _kept_axes(self, inputs: Tensor, count: Any) -> Any:
        """Number of the `count` axes of steps that each output has in common with the input."""
        try:
            first, second = (self._outputs(inputs, sizes[:count]) for sizes in SIZES)
        except (TypeError, ValueError):  # of a layer made for one number of steps
            first = second = self._outputs(inputs, inputs.shape[1 : count + 1])
        kept = []
        for (rank, followed), (_, again) in zip(first, second, strict=True):
            both = [*(a and b for a, b in zip(followed, again, strict=True)), False]
            kept.append(both.index(False))
            if not kept[-1] and not self._takes_mask and rank >= len(inputs.shape):
                raise ValueError(
                    "Expected a layer whose output has as many steps as its input, for a mask to "
                    "be kept; else give the mask of its output to what reads it. "
                    f"Received: layer={self.layer.name!r} of type {type(self.layer).__name__}"
                )
        return kept

    def _outputs(self, inputs: Tensor, sizes: Any) -> Any:
        """The rank of each output, and which of its axes are as long as those of an input whose
        axes of steps have these sizes."""
        shape = (inputs.shape[0], *sizes, *inputs.shape[1 + len(sizes) :])
        outputs = self.layer.compute_output_spec(keras.KerasTensor(shape, dtype=inputs.dtype))
        shapes = [tuple(output.shape) for output in keras.tree.flatten(outputs)]
        return [(len(found), _same(sizes, found[1:])) for found in shapes]


# Two numbers of steps for each axis: what is as long as the input with both follows it, where with
# one it may be as long by chance.
SIZES = ((61, 71, 83), (67, 73, 89))
# These differ between versions of Keras in what they attach.
DROPPING = (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.TimeDistributed)


def accept_masks(layer: Any) -> Any:
    """Lets a layer take masks without a warning that it hands none on.

    With Keras 3.16 recurrent layers use the mask that they are given, and warn of it.
    """
    directions = [getattr(layer, name, None) for name in ("forward_layer", "backward_layer")]
    for one in (layer, *directions):
        if one is not None:
            one.supports_masking = True
    return layer


def _merge(mask: Tensor, kept: Any) -> Any:
    """A mask of the first `kept` axes of steps: True where any of the others is."""
    lost = tuple(range(kept + 1, len(mask.shape)))
    if not kept:
        return None
    return ops.any(mask, axis=lost) if lost else mask


def _same(sizes: Any, found: Any) -> list[bool]:
    return [
        size is not None and i < len(found) and found[i] == size for i, size in enumerate(sizes)
    ]
