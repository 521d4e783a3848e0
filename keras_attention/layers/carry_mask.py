"""A layer that attaches a mask to a tensor."""

import keras


class CarryMask(keras.layers.Layer):
    """The identity. Keras attaches the `mask` it is called with to what it returns."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True  # has no weights, and is not called where there is no mask

    def call(self, inputs, mask=None):
        return inputs

    def quantize(self, mode=None, type_check=True, config=None):
        """Nothing: no weights."""

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_mask(self, inputs, previous_mask):
        return previous_mask
