"""A program: one step of training on all losses on one device and on two, as JSON.

Run by test_replicas.py in a process of its own, since the number of devices is settled when the
backend starts.
"""

import json
import sys

import keras
import numpy as np

import keras_attention as ka

# 4 examples, 2 for each replica; 5 tokens in each half, and as much weight.
LABELS = np.array([[4, 5, 6], [2, 3, 0], [6, 1, 0], [3, 2, 5]])
WEIGHTS = np.array([1.0, 2.0, 2.0, 1.0])
B, T, V, D = 4, 3, 7, 5


def alignments():
    given = np.random.default_rng(1).dirichlet(np.ones(V), (B, T)).astype("float32")
    return given * (LABELS > 0)[..., None]


def step():
    """What `fit` reports of one step of gradient descent on all losses, and the kernels after."""
    inputs = keras.Input((T, D))
    dense = {
        name: keras.layers.Dense(
            V, name=name, kernel_initializer=keras.initializers.GlorotUniform(seed)
        )
        for seed, name in enumerate(("crossentropy", "sum", "coverage", "guided"))
    }
    outputs = {name: layer(inputs) for name, layer in dense.items()}
    for name in ("coverage", "guided"):
        outputs[name] = keras.layers.Softmax()(outputs[name])
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.SGD(1.0),
        {
            "crossentropy": ka.SequenceCrossentropy(0.1),
            "sum": ka.SequenceCrossentropy(reduction="sum"),
            "coverage": ka.CoverageLoss(),
            "guided": ka.GuidedAlignmentLoss(),
        },
        weighted_metrics={"crossentropy": [ka.TokenAccuracy(), ka.SequenceAccuracy()]},
        jit_compile=False,
    )
    labels = {name: LABELS for name in ("crossentropy", "sum", "coverage")}
    weights = {name: WEIGHTS for name in outputs}
    x = np.random.default_rng(0).standard_normal((B, T, D)).astype("float32")
    history = model.fit(
        x,
        {**labels, "guided": alignments()},
        sample_weight=weights,
        batch_size=B,
        shuffle=False,
        verbose=0,
    )
    figures = {name: values[0] for name, values in history.history.items()}
    kernels = {name: np.asarray(layer.kernel).tolist() for name, layer in dense.items()}
    return {**figures, **{f"{name}_kernel": kernel for name, kernel in kernels.items()}}


def on_two():
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return step()
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        return step()


if __name__ == "__main__":
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    json.dump([step(), on_two()], sys.stdout)
