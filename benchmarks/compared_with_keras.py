"""Differences between our layers and the attention layers of the installed Keras.

    python benchmarks/compared_with_keras.py
    PYTHONPATH=.venv/nightly python benchmarks/compared_with_keras.py   # after `make test-nightly`

Each row of the table "Keras' own attention layers" in docs/comparison.md as a small input, with
what Keras and this package compute: a table in Markdown.
"""

import os
import sys
import warnings
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).parents[1])]

import keras  # noqa: E402
from keras import layers, ops  # noqa: E402

import keras_attention as ka  # noqa: E402

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
NOTHING = np.zeros((2, 3), bool)
LAST_IS_PADDING = np.array([[True, True, False]] * 2)


def attempt(function):
    """Result of `function`, or the kind of error that it ends with."""
    try:
        return str(function())
    except Exception as error:  # whatever it is, it is what the table shows
        return type(error).__name__


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def shapes_of_weights(layer, *inputs):
    layer(*inputs)
    return ", ".join(str(tuple(weight.shape)) for weight in layer.weights)


def additive():
    wide = np.ones((2, 3, 5), "float32")
    keras_layer, ours = layers.AdditiveAttention(), ka.BahdanauAttention(6)
    return (
        f"weights {attempt(lambda: shapes_of_weights(keras_layer, [X, X]))}; other sizes: "
        + attempt(lambda: shapes_of_weights(layers.AdditiveAttention(), [X, wide])),
        f"weights {shapes_of_weights(ours, X, X)}; other sizes: "
        + shapes_of_weights(ka.BahdanauAttention(6), X, wide),
    )


def concat():
    keras_layer = layers.Attention(score_mode="concat")
    ours = ka.LuongAttention("concat", units=6)
    return tuple(
        f"weights {shapes}"
        for shapes in (shapes_of_weights(keras_layer, [X, X]), shapes_of_weights(ours, X, X))
    )


def nothing_to_attend_to():
    found = [[], []]
    everything = {"return_attention_scores": True}
    for dtype in ("float32", "float16"):
        pairs = {
            "dot": (
                layers.Attention(dtype=dtype)([X, X], mask=[None, NOTHING], **everything),
                ka.LuongAttention("dot", dtype=dtype)(X, X, value_mask=NOTHING, **everything),
            ),
            "additive": (
                layers.AdditiveAttention(dtype=dtype)([X, X], mask=[None, NOTHING], **everything),
                ka.BahdanauAttention(6, dtype=dtype)(X, X, value_mask=NOTHING, **everything),
            ),
            "heads": (
                layers.MultiHeadAttention(2, 3, dtype=dtype)(
                    X, X, attention_mask=NOTHING[:, None], **everything
                ),
                ka.MultiHeadCrossAttention(2, 3, dtype=dtype)(
                    X, X, value_mask=NOTHING, **everything
                ),
            ),
        }
        for name, pair in pairs.items():
            for rows, (_, weights) in zip(found, pair, strict=True):
                rows.append(f"{name} {dtype} {array(weights).sum(-1).ravel()[0]:.3f}")
    return tuple("rows sum to: " + ", ".join(one) for one in found)


def nan_in_padding():
    value = np.where(LAST_IS_PADDING[..., None], X, np.nan)
    theirs = layers.Attention()([X, value], mask=[None, LAST_IS_PADDING])
    ours = ka.LuongAttention("dot")(X, value, value_mask=LAST_IS_PADDING)
    return tuple(f"{int(np.isnan(array(x)).sum())} of {x.shape} NaN" for x in (theirs, ours))


def weights_and_dropout():
    keras_layer, ours = layers.Attention(dropout=0.5, seed=1), ka.LuongAttention("dot", dropout=0.5)
    given = {"return_attention_scores": True, "training": True}
    return tuple(
        f"rows sum to {np.array2string(array(weights).sum(-1)[0], precision=3)}"
        for _, weights in (keras_layer([X, X], **given), ours(X, X, **given))
    )


def query_mask():
    given = {"query_mask": LAST_IS_PADDING}
    theirs = layers.MultiHeadAttention(2, 3)(X, X, **given)
    ours = ka.MultiHeadCrossAttention(2, 3)(X, X, **given)
    return tuple(
        "honoured" if (array(x)[:, 2] == 0).all() else "ignored: output of the masked query not 0"
        for x in (theirs, ours)
    )


def causal():
    given = {"use_causal_mask": True, "return_attention_scores": True}
    _, theirs = layers.Attention()([X[:, :1], X], **given)
    _, ours = ka.LuongAttention("dot")(X[:, :1], X, **given)
    return tuple(f"sees {int((array(w)[0, 0] > 0).sum())} of 3" for w in (theirs, ours))


def float16_scores():
    large = np.full((1, 2, 64), 40.0, "float16") * np.array([1, 1.01], "float16")[None, :, None]
    theirs = layers.Attention(dtype="float16")([large, large])
    ours = ka.LuongAttention("dot", dtype="float16")(large, large)
    return tuple("finite" if np.isfinite(array(x)).all() else "not finite" for x in (theirs, ours))


def rank_2():
    query = X[:, 0]
    return (
        attempt(lambda: layers.Attention()([query, X]).shape),
        attempt(lambda: ka.LuongAttention("dot")(query, X).shape),
    )


def unknown_steps():
    if keras.backend.backend() != "tensorflow":
        return "every T is known", "every T is known"
    import tensorflow as tf

    dense = layers.Dense(1)
    dense.build((None, 4))
    signature = [tf.TensorSpec((None, None, 4))]

    def compare(layer):
        found = tf.function(layer, input_signature=signature)(X)
        expected = layer(tf.constant(X))
        equal = found.shape == expected.shape and np.allclose(found, expected, atol=1e-6)
        return "as eager" if equal else f"{tuple(found.shape)} for {tuple(expected.shape)}"

    return (
        attempt(lambda: compare(layers.TimeDistributed(dense))),
        attempt(lambda: compare(ka.TimeDistributedScorer(dense))),
    )


def masks_behind():
    tokens = np.array([[7, 2, 5, 0, 0], [3, 1, 4, 6, 2]])
    x = layers.Embedding(11, 4, mask_zero=True)(tokens)
    attention = ka.LuongAttention("dot")
    makers = {
        "GRU": lambda: layers.GRU(4, return_sequences=True),
        "Bidirectional": lambda: layers.Bidirectional(layers.GRU(4, return_sequences=True)),
        "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(4)),
    }
    found = [[], []]
    for name, make in makers.items():
        layer = make()
        for memory, rows in zip((layer(x), ka.KeepMask(layer)(x)), found, strict=True):
            _, weights = attention(memory, memory, return_attention_scores=True)
            rows.append(f"{name} {array(weights)[0, 0, 3:].sum():.3f}")
    return tuple("weight on padding: " + ", ".join(one) for one in found)


ROWS = {
    "`AdditiveAttention`": additive,
    '`Attention(score_mode="concat")`': concat,
    "a row with nothing to attend to": nothing_to_attend_to,
    "NaN in a padded step": nan_in_padding,
    "weights that are returned": weights_and_dropout,
    "`MultiHeadAttention(query_mask=...)`": query_mask,
    "causal mask, one query against 3 values": causal,
    "scores in float16": float16_scores,
    "a query of rank 2": rank_2,
    "`TimeDistributed` with unknown T": unknown_steps,
    "attention behind layers of Keras": masks_behind,
}


def main():
    warnings.simplefilter("ignore")
    print(f"| Keras {keras.__version__}, {keras.backend.backend()} | Keras | here |\n|---|---|---|")
    for name, compare in ROWS.items():
        theirs, ours = compare()
        print(f"| {name} | {theirs} | {ours} |")


if __name__ == "__main__":
    main()
