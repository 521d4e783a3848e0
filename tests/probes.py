"""Small layers that show in an output what Keras hands on beside it."""

import keras
from keras import ops


class MaskProbe(keras.layers.Layer):
    """1.0 where the mask that arrived with the input is True, 0.0 where False, -1.0 if none."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return ops.full_like(inputs[..., 0], -1.0)
        return ops.cast(mask, inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape[:-1]


def with_mask(x, mask):
    """`x` as it would come out of `Embedding(mask_zero=True)`: the mask attached to it.

    Steps where `mask` is False keep their values, which no layer of Keras guarantees to be 0.
    """
    return Attach()(ops.convert_to_tensor(x), ops.convert_to_tensor(mask))


class Attach(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self.carry = Carry(autocast=False)

    def call(self, inputs, steps):
        return self.carry(inputs, mask=steps)


class Carry(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return ops.add(inputs, 0)
