"""Functions as a backend compiles them."""

import keras

# PyTorch's is not asked for.
COMPILES = keras.backend.backend() != "torch"


def compiled(function):
    """`function` compiled by XLA; on PyTorch as it is."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "torch":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True)
