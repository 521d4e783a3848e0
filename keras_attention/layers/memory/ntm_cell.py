"""The Neural Turing Machine, as a cell for `keras.layers.RNN`."""

import inspect
from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import check_positive, in_compute_dtype
from keras_attention.ops import addressing
from keras_attention.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_attention")
class NTMCell(CheckedCall, QuantizedParts, keras.layers.Layer):
    """A controller with a memory that its heads read and write at places they move to.

    At each step the controller sees the input and what was read last, and its output says what
    each head does:

    ```
    c = softmax(beta cos(k, M_i))       where the memory looks like the key
    g = gate c + (1 - gate) w_{t-1}     or where the head stood
    s = kernel * g                      moved by a few locations, around the circle
    w = s ** gamma / sum s ** gamma     sharpened
    ```

    Write heads find their places in the memory as it was, erase and add; read heads find theirs in
    the memory as it is then. The memory starts blank and the heads start at its first location, so
    that no weight depends on the number of locations: what was learned with a short memory goes
    on with a longer one.

    The output is `[controller output; what was read]`, for a layer after the RNN. With
    `return_weights` the weights of all heads follow in it, see `split`.

    Masking: steps that the mask of the RNN leaves out change nothing.

    Example:

    ```python
    cell = NTMCell(keras.layers.Dense(100, "tanh"), locations=128, width=20)
    inputs = keras.Input((None, 9))
    features = keras.layers.RNN(cell, return_sequences=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(8, "sigmoid")(features))
    assert model(np.zeros((2, 7, 9))).shape == (2, 7, 8)
    ```

    Args:
        controller: a cell of `keras.layers.RNN` (an `LSTMCell`, say), without dropout of its own;
            or a layer without a state, a `Dense` for a feed-forward controller.
        locations: how many rows the memory has, N.
        width: how many numbers a row has, M.
        read_heads: how many heads read.
        write_heads: how many heads write.
        shift_range: by how many locations at most a head moves in a step, each way.
        return_weights: whether the output shows where the heads stood, too.

    Call arguments:
        inputs: `(B, D)`.
        states: list of tensors `(B, n)`: the last output, those of the controller, memory, weights.
        training: handed on to a controller that takes it.

    Returns:
        Output `(B, output_size)` and the new states.

    Raises:
        ValueError: the controller is no layer; a size is no positive integer; more shifts than
            locations.

    Reference: Graves, Wayne and Danihelka, 2014, https://arxiv.org/abs/1410.5401, section 3.
    """

    def __init__(
        self,
        controller: Any,
        locations: int = 128,
        width: Any = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        shift_range: int = 1,
        return_weights: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(controller, keras.layers.Layer):
            raise ValueError(f"Expected a cell or a layer. Received: controller={controller!r}")
        self.locations = check_positive(locations=locations)
        self.width = check_positive(width=width)
        self.read_heads = check_positive(read_heads=read_heads)
        self.write_heads = check_positive(write_heads=write_heads)
        if not isinstance(shift_range, int) or not 0 <= 2 * shift_range < locations:
            raise ValueError(
                "Expected a shift_range of less than half the locations. "
                f"Received: shift_range={shift_range!r}, locations={locations}"
            )
        self.controller = controller
        self.shift_range = shift_range
        self.return_weights = return_weights
        self.has_state = hasattr(controller, "state_size")
        takes = inspect.signature(controller.call).parameters
        self._takes_training = "training" in takes
        # Key, strength, gate, shifts, power of every head; write heads come first.
        self.heads = read_heads + write_heads
        self._addressing_size = width + 3 + 2 * shift_range + 1
        self.interface = keras.layers.Dense(
            self.heads * self._addressing_size + 2 * write_heads * width,
            dtype=self.dtype_policy,
            name="interface",
        )

    @property
    def state_size(self) -> Any:
        # The output comes first, as in Keras' own cells: on JAX an RNN with a mask repeats it.
        memory, weights = self.locations * self.width, self.heads * self.locations
        return [self.output_size, *self._controller_sizes(), memory, weights]

    @property
    def output_size(self) -> Any:
        weights = self.heads * self.locations if self.return_weights else 0
        return self._features() + self.read_size + weights

    @property
    def read_size(self) -> Any:
        return self.read_heads * self.width

    def build(self, inputs_shape: Shape) -> None:
        shape = (None, inputs_shape[-1] + self.read_size)
        if not self.controller.built:
            self.controller.build(shape)
            self.controller.built = True
        self.interface.build((None, self._features()))

    def get_initial_state(self, batch_size: Any = None) -> Any:
        dtype = self.compute_dtype
        if hasattr(self.controller, "get_initial_state"):
            states = keras.tree.flatten(self.controller.get_initial_state(batch_size=batch_size))
            states = [ops.cast(state, dtype) for state in states]
        else:
            states = [ops.zeros((batch_size, n), dtype) for n in self._controller_sizes()]
        memory, weights = self.state_size[-2:]
        first = ops.cast(ops.arange(weights) % self.locations == 0, dtype)
        return [
            ops.zeros((batch_size, self.output_size), dtype),
            *states,
            ops.zeros((batch_size, memory), dtype),
            ops.broadcast_to(ops.expand_dims(first, 0), (batch_size, weights)),
        ]

    def call(self, inputs: Tensor, states: Any, training: bool | None = None) -> Any:
        last_output, *controller_states, memory, previous = states
        last_read = last_output[:, self._features() : self._features() + self.read_size]
        features, controller_states = self._control(
            ops.concatenate([in_compute_dtype(self, inputs), last_read], axis=-1),
            controller_states,
            training,
        )
        # From here in float32 at least: products of cosines and powers of weights.
        wide = at_least_float32(self.compute_dtype)
        orders = ops.cast(self.interface(features), wide)
        memory = ops.reshape(ops.cast(memory, wide), (-1, self.locations, self.width))
        previous = ops.reshape(ops.cast(previous, wide), (-1, self.heads, self.locations))

        size, writers = self._addressing_size, self.write_heads
        places = ops.reshape(orders[:, : self.heads * size], (-1, self.heads, size))
        written = ops.reshape(orders[:, self.heads * size :], (-1, writers, 2 * self.width))
        write_weights = self._address(places[:, :writers], memory, previous[:, :writers])
        memory = addressing.write(
            memory,
            write_weights,
            ops.sigmoid(written[..., : self.width]),
            ops.tanh(written[..., self.width :]),
        )
        read_weights = self._address(places[:, writers:], memory, previous[:, writers:])
        read = addressing.read(memory, read_weights)

        memory, weights, read = (
            ops.cast(ops.reshape(x, (-1, n)), self.compute_dtype)
            for x, n in (
                (memory, self.state_size[-2]),
                (ops.concatenate([write_weights, read_weights], axis=1), self.state_size[-1]),
                (read, self.read_size),
            )
        )
        outputs = [features, read, weights] if self.return_weights else [features, read]
        output = ops.concatenate(outputs, axis=-1)
        return output, [output, *controller_states, memory, weights]

    def split(self, outputs: Any) -> tuple[Any, Any, Any]:
        """Split the outputs `(..., output_size)` of a cell with `return_weights` into their parts.

        Returns:
            Features `(..., F)`, read weights `(..., read_heads, N)` and write weights
            `(..., write_heads, N)`.
        """
        if not self.return_weights:
            raise ValueError("Expected return_weights=True. Received: return_weights=False")
        start = self._features() + self.read_size
        rows = [
            outputs[..., start + i * self.locations : start + (i + 1) * self.locations]
            for i in range(self.heads)
        ]
        write, read = rows[: self.write_heads], rows[self.write_heads :]
        return outputs[..., :start], ops.stack(read, axis=-2), ops.stack(write, axis=-2)

    def compute_output_shape(self, inputs_shape: Shape, states_shape: Shape | None = None) -> Shape:
        return (inputs_shape[0], self.output_size), [(inputs_shape[0], n) for n in self.state_size]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "controller": keras.saving.serialize_keras_object(self.controller),
            "locations": self.locations,
            "width": self.width,
            "read_heads": self.read_heads,
            "write_heads": self.write_heads,
            "shift_range": self.shift_range,
            "return_weights": self.return_weights,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        controller = keras.saving.deserialize_keras_object(config["controller"])
        return cls(**{**config, "controller": controller})

    def _control(self, inputs: Tensor, states: Any, training: bool | None) -> tuple[Any, Any]:
        kwargs = {"training": training} if self._takes_training else {}
        if not self.has_state:
            return self.controller(inputs, **kwargs), []
        size = self.controller.state_size
        nested = keras.tree.pack_sequence_as([size] if isinstance(size, int) else size, states)
        features, states = self.controller(inputs, nested, **kwargs)
        return features, keras.tree.flatten(states)

    def _address(self, orders: Any, memory: Tensor, previous: Tensor) -> Any:
        """New weights `(B, H, N)` of heads that were given orders `(B, H, n)`."""
        key, rest = orders[..., : self.width], orders[..., self.width :]
        strength, gate, power, kernel = rest[..., 0], rest[..., 1], rest[..., 2], rest[..., 3:]
        weights = addressing.content_weights(key, ops.softplus(strength), memory)
        weights = addressing.interpolate(weights, previous, ops.sigmoid(gate))
        if self.shift_range:
            weights = addressing.shift(weights, ops.softmax(kernel, axis=-1))
        return addressing.sharpen(weights, 1 + ops.softplus(power))

    def _controller_sizes(self) -> Any:
        return keras.tree.flatten(self.controller.state_size) if self.has_state else []

    def _features(self) -> Any:
        if self.has_state:
            size = getattr(self.controller, "output_size", None)
            return self._controller_sizes()[0] if size is None else size
        return self.controller.compute_output_shape((None, 1))[-1]
