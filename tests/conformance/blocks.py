"""The table of sequence layers that are no attention layers: one row per variant.

Each property of test_blocks.py is proven for every row. Sizes are distinct primes.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

import keras_attention as ka

B, T, S = 2, 3, 5  # batch, steps of the sequence, steps of what it reads besides


@dataclasses.dataclass(frozen=True)
class Block:
    """One variant of one layer and what to call it with.

    Args:
        name: what tests print.
        layer_class: the class.
        arguments: the constructor's arguments; functions of the dtype where they are layers.
        sizes: by name of the call argument, the feature size of a float input `(B, steps, size)`,
            or a range of tokens for an int input `(B, steps)`. The first is the sequence, of T
            steps; all others have S.
        output_dim: feature size of the output `(B, T, output_dim)`.
        masks: by name of the input, the name of the call argument for its padding mask.
        call: further arguments of every call.
    """

    name: str
    layer_class: type
    arguments: dict
    sizes: dict
    output_dim: int
    masks: dict = dataclasses.field(default_factory=dict)
    call: dict = dataclasses.field(default_factory=dict)

    def layer(self, dtype=None):
        keras.utils.set_random_seed(37)
        arguments = {
            name: value(dtype) if callable(value) else value
            for name, value in self.arguments.items()
        }
        return self.layer_class(**arguments, dtype=dtype)

    def built_layer(self, dtype=None):
        """A layer whose weights are all random: zeros would hide what multiplies them."""
        layer = self.layer(dtype)
        layer(**self.inputs(), **self.call)
        generator = np.random.default_rng(41)
        for weight in layer.trainable_weights:
            noise = generator.standard_normal(weight.shape)
            weight.assign(weight + 0.1 * noise.astype("float32"))
        return layer

    def lengths(self, steps=T, others=S):
        return {name: steps if i == 0 else others for i, name in enumerate(self.sizes)}

    def inputs(self, batch=B, steps=T, others=S):
        """Random inputs by name."""
        generator = np.random.default_rng(0)
        arrays = {}
        for name, length in self.lengths(steps, others).items():
            size = self.sizes[name]
            if isinstance(size, range):
                tokens = generator.integers(size.start, size.stop, (batch, length))
                arrays[name] = tokens.astype("int32")
            else:
                arrays[name] = generator.standard_normal((batch, length, size)).astype("float32")
        return arrays

    def mask_arrays(self, batch=B, steps=T, others=S):
        """A padding mask for each input that has one; the first example has no padding."""
        lengths = self.lengths(steps, others)
        return {
            self.masks[name]: np.arange(lengths[name]) < np.maximum(1, lengths[name] - rows)
            for name, rows in ((name, np.arange(batch)[:, None]) for name in self.masks)
        }

    def symbolic_inputs(self):
        return {
            name: keras.Input((None,), name=name, dtype="int32")
            if isinstance(size, range)
            else keras.Input((None, size), name=name)
            for name, size in self.sizes.items()
        }

    def float_inputs(self):
        """The inputs that can be differentiated by."""
        return [name for name, size in self.sizes.items() if not isinstance(size, range)]


def tensors(arrays):
    return {name: ops.convert_to_tensor(x) for name, x in arrays.items()}


def options(**others):
    """Arguments of an attention, made anew for each block."""
    return lambda dtype: {name: make(dtype) for name, make in others.items()}


PADDED = {"inputs": "inputs_mask"}
READS = {"inputs": "inputs_mask", "memory": "memory_mask"}


def convolution(name, layer_class, arguments, output_dim=11):
    return Block(name, layer_class, arguments, {"x": 11}, output_dim, {"x": "mask"})


BLOCKS: list[Block] = [
    Block("sinusoidal", ka.SinusoidalPositions, {}, {"inputs": 11}, 11),
    Block("learned", ka.LearnedPositions, {"max_length": 7}, {"inputs": 11}, 11),
    Block("rotary", ka.RotaryPositions, {"pairs": "adjacent"}, {"inputs": 6}, 6),
    Block(
        "encoder_pre",
        ka.TransformerEncoderBlock,
        {
            "num_heads": 2,
            "key_dim": 6,
            "feedforward_dim": 13,
            "attention_options": options(
                num_key_value_heads=lambda dtype: 1,
                window=lambda dtype: 2,
                qk_norm=lambda dtype: True,
                soft_cap=lambda dtype: 3.0,
                sinks=lambda dtype: True,
                rotary=lambda dtype: ka.RotaryPositions(dtype=dtype),
                position_bias=lambda dtype: ka.RelativeBias(2, 8, 5, dtype=dtype),
            ),
        },
        {"inputs": 11},
        11,
        PADDED,
    ),
    Block(
        "encoder_post",
        ka.TransformerEncoderBlock,
        {"num_heads": 2, "key_dim": 3, "feedforward_dim": 13, "norm": "post", "norm_epsilon": 1e-3},
        {"inputs": 11},
        11,
        PADDED,
        {"use_causal_mask": True},
    ),
    Block(
        "decoder_pre",
        ka.TransformerDecoderBlock,
        {
            "num_heads": 2,
            "key_dim": 6,
            "feedforward_dim": 13,
            "activation": "gelu",
            "attention_options": options(
                position_bias=lambda dtype: ka.AlibiBias(2, dtype=dtype),
            ),
            "cross_attention_options": {"num_key_value_heads": 1, "use_bias": False},
        },
        {"inputs": 11, "memory": 7},
        11,
        READS,
    ),
    Block(
        "decoder_without_memory",
        ka.TransformerDecoderBlock,
        {"num_heads": 2, "key_dim": 3, "feedforward_dim": 13, "reads_memory": False},
        {"inputs": 11},
        11,
        PADDED,
    ),
    convolution("dilated_conv", ka.DilatedConv, {"filters": 7, "kernel_size": 2}, 7),
    convolution(
        "dilated_conv_centred",
        ka.DilatedConv,
        {
            **{"filters": 7, "kernel_size": 3, "dilation_rate": 2, "causal": False},
            **{"use_bias": False, "kernel_initializer": "he_normal"},
        },
        7,
    ),
    convolution(
        "gated_conv_block",
        ka.GatedConvBlock,
        {"units": 7, "kernel_size": 3, "dilation_rate": 2, "dropout": 0.3},
    ),
    convolution(
        "gated_conv_block_skip",
        ka.GatedConvBlock,
        {"units": 7, "skip_units": 13, "residual": False, "causal": False},
        13,
    ),
    convolution(
        "byte_net_block", ka.ByteNetBlock, {"units": 7, "dilation_rate": 2, "causal": False}
    ),
    convolution("byte_net_block_mu", ka.ByteNetBlock, {"units": 7, "kind": "multiplicative"}),
    convolution(
        "conv_glu_block", ka.ConvGluBlock, {"units": 11, "kernel_size": 5, "causal": False}
    ),
    convolution("conv_glu_block_causal", ka.ConvGluBlock, {"units": 11, "dropout": 0.3}),
    Block(
        "neural_turing_machine",
        keras.layers.RNN,
        {
            "cell": lambda dtype: ka.NTMCell(
                keras.layers.LSTMCell(7, dtype=dtype), 13, 3, 2, 2, 2, dtype=dtype
            ),
            "return_sequences": True,
        },
        {"sequences": 5},
        7 + 2 * 3,
    ),
]
