"""Detection of XLA: fused operations and single ones differ in speed."""

import keras


def compiled_by_xla() -> bool:
    """True if XLA compiles what is being traced: on JAX, and in `tf.function(jit_compile=True)`."""
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    # Such a function marks the graph around it. TensorFlow has no public name for the question.
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
