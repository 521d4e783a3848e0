"""Any recurrent cell with attention around it."""

import inspect
from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, LayerOptions, Tensor
from keras_attention.layers import AttentionBase
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.models.argument_attributes import ArgumentAttributes
from keras_attention.models.recurrent.unroll_cell import unroll_cell

OUTPUTS = ("attention", "cell")


@keras.saving.register_keras_serializable(package="keras_attention")
class AttentionCell(ArgumentAttributes, CheckedCall, QuantizedParts, keras.layers.Layer):
    """A Keras RNN cell that reads one or more memories at every step.

    One step, from the input x_t and what was read at the step before, a_{t-1} (input feeding):

        o_t, s_t = cell(cell_input(x_t, a_{t-1}), s_{t-1})
        c_t = attention(o_t, memory)
        a_t = W [o_t; c_t]  with attention_layer_size, else c_t;  several are joined

    The memory is an argument of every call and never kept: `prepare` it once for each sequence,
    then `step` through the target, or `call` the cell with all inputs, which does the same in a
    loop. Compared with `AttentionWrapper` of TensorFlow Addons: the same step and the same weights;
    no memory at construction, no tiling, and it can be saved and exported.

    Masking: a masked step of a memory is not read. Masks of the inputs are not used: what a decoder
    says after the end of its target is left to the loss.

    Example:

    ```python
    inputs, memory = keras.ops.ones((2, 3, 16)), keras.ops.ones((2, 5, 48))
    memory_mask = keras.ops.array([[True] * 5, [True] * 4 + [False]])
    cell = AttentionCell(keras.layers.LSTMCell(64), BahdanauAttention(64), attention_layer_size=32)
    outputs, alignments = cell(inputs, memory, return_attention_scores=True)

    prepared = cell.prepare(memory, memory_mask)
    state = cell.initial_state(prepared)
    output, state, weights = cell.step(inputs[:, 0], state, prepared)
    ```

    Args:
        cell: a cell of `keras.layers.RNN`, such as `GRUCell`, `StackedRNNCells` or your own.
        attention: an attention layer of this package, or a list of them.
        attention_layer_size: size of a_t, or a list with one for each attention; None for c_t.
        attention_activation: activation of W; `"tanh"` makes a_t the h~ of Luong et al.
        cell_input: `"concat"`, `"input"` (no input feeding), or a function or layer of two tensors
            `(B, Dx)` and `(B, Da)` to the input of the cell `(B, D)`; to be saved, it must be
            serializable.
        output: `"attention"` or `"cell"`, whether a step puts out a_t or o_t.

    Call arguments:
        inputs: `(B, T, Dx)`.
        memory: `(B, Tv, Dm)`, or a list with one for each attention.
        memory_mask: boolean `(B, Tv)`, True = may be read, or a list of them (or None).
        initial_state: state of the cell before the first step, as the cell takes it; what the
            cell says by default, zeros for Keras' own.
        return_attention_scores: whether to return the weights, too.
        return_state: whether to return the final state, as `step` does.
        training: whether dropout, noise and soft alignments are active.

    Returns:
        Outputs `(B, T, D)`; then, if asked for, the weights `(B, T, Tv)` (with heads the mean over
        them), a list if there are several attentions; then, if asked for, the final state.

    Raises:
        ValueError: `cell` is no recurrent cell; an attention is none of this package; numbers of
            attentions, sizes, memories or masks differ; unknown `output` or `cell_input`.

    Reference: Luong, Pham and Manning, 2015, https://arxiv.org/abs/1508.04025, section 3.3.
    """

    argument_parts = {
        "attention": lambda self: self.attentions if self.is_list else self.attentions[0],
    }

    def __init__(
        self,
        cell: Any,
        attention: Any,
        attention_layer_size: int | None = None,
        attention_activation: Activation | None = None,
        cell_input: Any = "concat",
        output: str = "attention",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not callable(cell) or not hasattr(cell, "state_size"):
            raise ValueError(f"Expected a cell with a state_size. Received: cell={cell!r}")
        if output not in OUTPUTS:
            raise ValueError(f"Expected output to be one of {OUTPUTS}. Received: output={output!r}")
        if cell_input not in ("concat", "input") and not callable(cell_input):
            raise ValueError(
                "Expected cell_input to be 'concat', 'input' or a function of two tensors. "
                f"Received: cell_input={cell_input!r}"
            )
        self.cell = cell
        self.is_list = isinstance(attention, (list, tuple))
        self.attentions = list(attention) if self.is_list else [attention]
        if not all(
            isinstance(one, AttentionBase) and one.reads_memory for one in self.attentions or [None]
        ):
            raise ValueError(
                f"Expected attention layers of this package. Received: attention={attention!r}"
            )
        self.attention_layer_size = attention_layer_size
        self.attention_activation = keras.activations.get(attention_activation)
        self.cell_input = cell_input
        self.output_kind = output
        sizes = self._one_each("attention_layer_size", attention_layer_size)
        self.attention_layers = [
            None
            if size is None
            else keras.layers.Dense(
                size,
                attention_activation,
                use_bias=False,
                dtype=self.dtype_policy,
                name="attention_layer" if i == 0 else f"attention_layer_{i}",
            )
            for i, size in enumerate(sizes)
        ]

    def build(self, inputs_shape: Any, memory_shape: Any) -> None:
        self.output_dim = self._cell_output_dim()
        query_shape = (inputs_shape[0], inputs_shape[1], self.output_dim)
        dims = []
        shapes = self._one_each("memory", memory_shape, of_shapes=True)
        for attention, layer, shape in zip(
            self.attentions, self.attention_layers, shapes, strict=True
        ):
            if not attention.built:
                attention.build(query_shape, shape)
                attention.built = True
            dim = attention.compute_output_shape(query_shape, shape)[-1]
            if layer is not None:
                layer.build((None, self.output_dim + dim))
                dim = layer.units
            dims.append(dim)
        self.attention_dim = sum(dims)
        is_cell = self.output_kind == "cell"
        self.features_dim = self.output_dim if is_cell else self.attention_dim
        # Run once on zeros: it may be anything, and may have weights to build.
        zeros = [ops.zeros((1, d), self.compute_dtype) for d in (inputs_shape[-1], sum(dims))]
        joined = self._join_input(*zeros)
        if not getattr(self.cell, "built", True):
            self.cell.build((None, joined.shape[-1]))
            self.cell.built = True

    def prepare(self, memory: Tensor, memory_mask: Tensor | None = None) -> Any:
        """Tensors that all steps read: a list with (key, value, mask) of each attention.

        Without `memory_mask` it is the mask that Keras attached to the memory.
        """
        memories = self._one_each("memory", memory)
        masks = self._one_each("memory_mask", memory_mask)
        triples = zip(self.attentions, memories, masks, strict=True)
        return [attention.prepare(one, mask) for attention, one, mask in triples]

    def initial_state(self, memory: Tensor, cell_state: Tensor | None = None) -> dict[str, Any]:
        """The state before the first step: a dict of lists of tensors, batch first.

        Args:
            memory: the result of `prepare`.
            cell_state: state of the cell, as the cell takes it; its own initial state by default.
        """
        batch = ops.shape(memory[0][1])[0]
        if cell_state is None and hasattr(self.cell, "get_initial_state"):
            cell_state = self.cell.get_initial_state(batch_size=batch)
        elif cell_state is None:
            sizes = keras.tree.flatten(self.cell.state_size)
            cell_state = [ops.zeros((batch, size)) for size in sizes]
        cell_state = [ops.cast(x, self.compute_dtype) for x in keras.tree.flatten(cell_state)]
        alignment = [
            attention.initial_state(prepared)
            for attention, prepared in zip(self.attentions, memory, strict=True)
        ]
        read = ops.zeros((batch, self.attention_dim), dtype=self.compute_dtype)
        return {"alignment": alignment, "cell": cell_state, "read": [read]}

    def step(
        self,
        inputs: Tensor,
        state: Any,
        memory: Tensor,
        draws: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any]:
        """One step of each sequence.

        Args:
            inputs: `(B, Dx)`.
            state: the result of `initial_state` or of the step before.
            memory: the result of `prepare`.
            draws: list with the (dropout mask, noise) of each attention, or None.
            training: see the class.

        Returns:
            Output `(B, D)`, the new state, and weights `(B, Tv)`, a list if there are several.
        """
        # A copy has no mask attached, of whose loss Keras' cells warn.
        inputs = self._join_input(ops.copy(in_compute_dtype(self, inputs)), state["read"][0])
        cell_state = keras.tree.pack_sequence_as(self._state_like(), state["cell"])
        takes = inspect.signature(getattr(self.cell, "call", self.cell)).parameters
        kwargs = {"training": training} if "training" in takes else {}
        queried, cell_state = self.cell(inputs, cell_state, **kwargs)
        reads, alignment, all_weights = [], [], []
        for i, attention in enumerate(self.attentions):
            dropout_mask, noise = (None, None) if draws is None else draws[i]
            context, new, weights = attention.step(
                queried, state["alignment"][i], memory[i], dropout_mask, noise, training
            )
            layer = self.attention_layers[i]
            if layer is not None:
                context = layer(ops.concatenate([queried, context], axis=-1))
            reads.append(context)
            alignment.append(new)
            all_weights.append(ops.mean(weights, axis=1) if len(weights.shape) == 3 else weights)
        read = ops.concatenate(reads, axis=-1)
        state = {"alignment": alignment, "cell": keras.tree.flatten(cell_state), "read": [read]}
        output = read if self.output_kind == "attention" else queried
        return output, state, all_weights if self.is_list else all_weights[0]

    def call(
        self,
        inputs: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None = None,
        initial_state: Any = None,
        return_attention_scores: bool = False,
        return_state: bool = False,
        training: bool | None = None,
    ) -> Any:
        memory = self.prepare(memory, memory_mask)
        state = self.initial_state(memory, initial_state)
        outputs, weights, state = self.unroll(inputs, state, memory, training=training)
        results = [outputs]
        if return_attention_scores:
            results.append(weights)
        if return_state:
            results.append(state)
        return results[0] if len(results) == 1 else tuple(results)

    def unroll(
        self,
        inputs: Tensor,
        state: Any,
        memory: Tensor,
        choose: Any = None,
        extras: Any = (),
        training: bool | None = None,
    ) -> Any:
        """All steps in a loop.

        Args:
            inputs: `(B, T, Dx)`.
            state: see `initial_state`.
            memory: the result of `prepare`.
            choose: function of the input `(B, Dx)`, the output `(B, D)` of the step before (zeros
                at first) and a step of each of the extras to the input that the step gets.
            extras: tensors `(B, T, n)` for `choose`.
            training: see the class.

        Returns:
            Outputs, weights and final state as in `call`.
        """
        return unroll_cell(self, inputs, state, memory, choose, extras, training)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        attentions = [serialize(one) for one in self.attentions]
        named = isinstance(self.cell_input, str)
        return {
            **super().get_config(),
            "cell": serialize(self.cell),
            "attention": attentions if self.is_list else attentions[0],
            "attention_layer_size": self.attention_layer_size,
            "attention_activation": keras.activations.serialize(self.attention_activation),
            "cell_input": self.cell_input if named else serialize(self.cell_input),
            "output": self.output_kind,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        attention, cell_input = config["attention"], config["cell_input"]
        is_list = isinstance(attention, (list, tuple))
        new = {
            "cell": deserialize(config["cell"]),
            "attention": [deserialize(x) for x in attention] if is_list else deserialize(attention),
            "cell_input": cell_input if isinstance(cell_input, str) else deserialize(cell_input),
        }
        return cls(**{**config, **new})

    def _join_input(self, inputs: Tensor, read: Any) -> Any:
        if self.cell_input == "concat":
            return ops.concatenate([inputs, read], axis=-1)
        return inputs if self.cell_input == "input" else self.cell_input(inputs, read)

    def _cell_output_dim(self) -> int:
        size = getattr(self.cell, "output_size", None)
        return size if size is not None else keras.tree.flatten(self.cell.state_size)[0]

    def _state_like(self) -> Any:
        """The state of the cell, nested as the cell takes it."""
        size = self.cell.state_size
        return [size] if isinstance(size, int) else size

    def _one_each(self, name: str, value: Tensor, of_shapes: bool = False) -> Any:
        """A list with one `value` for each attention."""
        several = isinstance(value, (list, tuple))
        if of_shapes:
            several = several and bool(value) and isinstance(value[0], (list, tuple))
        values = list(value) if several else [value] * len(self.attentions)
        if len(values) != len(self.attentions):
            raise ValueError(
                f"Expected one {name} for each of {len(self.attentions)} attentions. "
                f"Received: {len(values)}"
            )
        return values
