"""The table of models: one row per variant. Each property is proven for every row."""

import contextlib
import dataclasses

import keras
import numpy as np
from keras import ops

import keras_attention as ka

BATCH, SOURCE, TARGET = 3, 7, 2
SOURCE_VOCABULARY, TARGET_VOCABULARY = 19, 17
UNITS, EMBEDDING = 11, 13


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to build an `RNNSeq2Seq`.

    Args:
        name: what tests print.
        attention: function that makes the attention layer, given its arguments; None for none.
        arguments: of the model, those that differ from the defaults here.
    """

    name: str
    attention: callable = None
    arguments: dict = dataclasses.field(default_factory=dict)

    @property
    def attends(self):
        """Whether the weights of a step sum to 1 over the source; all 0 otherwise."""
        return self.attention is not None

    def new_model(self, attention_arguments=(), **arguments):
        """A model that has seen no data."""
        attention = self.attention and self.attention(**dict(attention_arguments))
        options = {"units": UNITS, "embedding_dim": EMBEDDING, **self.arguments, **arguments}
        return ka.RNNSeq2Seq(SOURCE_VOCABULARY, TARGET_VOCABULARY, attention=attention, **options)

    def model(self, *args, **arguments):
        """A model whose weights are all random: zeros would hide what multiplies them."""
        keras.utils.set_random_seed(29)
        model = self.new_model(*args, **arguments)
        model(batch())
        generator = np.random.default_rng(31)
        for weight in model.trainable_weights:
            noise = 0.5 * generator.standard_normal(weight.shape)
            weight.assign((array(weight) + noise).astype("float32"))
        return model


@dataclasses.dataclass(frozen=True)
class OtherVariant(Variant):
    """One way to build a `Seq2Seq` of another class.

    Args:
        model_class: called with the sizes of the vocabularies and the arguments.
        reads: whether its steps attend to the source.
    """

    model_class: type = None
    reads: bool = True

    @property
    def attends(self):
        return self.reads

    def new_model(self, **arguments):
        options = {**self.arguments, **arguments}
        return self.model_class(SOURCE_VOCABULARY, TARGET_VOCABULARY, **options)


def scorer(**arguments):
    layers = [keras.layers.Dense(23, "tanh"), keras.layers.Dense(1)]
    return ka.TimeDistributedScorer(keras.Sequential(layers), **arguments)


def bahdanau(**arguments):
    return ka.BahdanauAttention(23, **arguments)


def general(**arguments):
    return ka.LuongAttention("general", **arguments)


SMALL_TRANSFORMER = {"units": 12, "num_heads": 2, "num_layers": 2, "feedforward_dim": 11}

VARIANTS = [
    Variant("gru_bahdanau", bahdanau),
    Variant("gru_bahdanau_current", bahdanau, {"query": "current"}),
    Variant("lstm_general_current", general, {"cell": "lstm", "query": "current"}),
    Variant("lstm_two_layers", bahdanau, {"cell": "lstm", "num_layers": 2}),
    Variant("gru_two_layers_forward", general, {"num_layers": 2, "bidirectional": False}),
    Variant("dot", lambda **a: ka.LuongAttention("dot", **a), {"bidirectional": False}),
    Variant(
        "normalized_tied",
        lambda **a: bahdanau(normalize=True, **a),
        {"tie_embeddings": True},
    ),
    Variant("concat", lambda **a: ka.LuongAttention("concat", units=23, scale=True, **a)),
    Variant("scorer", scorer),
    Variant("heads", lambda **a: ka.MultiHeadCrossAttention(2, 3, **a)),
    Variant(
        "heads_current", lambda **a: ka.MultiHeadCrossAttention(2, 3, **a), {"query": "current"}
    ),
    Variant("none", None),
    Variant("none_lstm_tied", None, {"cell": "lstm", "num_layers": 2, "tie_embeddings": True}),
    OtherVariant(
        "transformer_relative",
        model_class=ka.TransformerSeq2Seq,
        arguments={
            **SMALL_TRANSFORMER,
            "num_layers": 1,
            "positions": "relative",
        },
    ),
    OtherVariant(
        "transformer_rotary_shared_heads",
        model_class=ka.TransformerSeq2Seq,
        arguments={
            **SMALL_TRANSFORMER,
            "positions": "rotary",
            "activation": "gelu",
            "attention_options": {"num_key_value_heads": 1, "window": 3, "qk_norm": True},
        },
    ),
    OtherVariant(
        "bytenet",
        model_class=ka.ByteNetSeq2Seq,
        arguments={"units": 22, "dilations": (1, 2), "kind": "multiplicative", "length_margin": 1},
        reads=False,
    ),
    OtherVariant(
        "convs2s",
        model_class=ka.ConvSeq2Seq,
        arguments={"units": 5, "embedding_dim": 3, "num_layers": 2, "alignment": "mean"},
    ),
]


def ids(shape, vocabulary, seed=0):
    """Random tokens that are none of the special ones."""
    return np.random.default_rng(seed).integers(4, vocabulary, shape).astype("int32")


def padded(tokens, lengths, padding=0):
    """The tokens, with `padding` from each length on."""
    return np.where(np.arange(tokens.shape[1]) < np.array(lengths)[:, None], tokens, padding)


LENGTHS = (7, 1, 4)


def batch(seed=0):
    """Inputs whose sources are of different length."""
    source = padded(ids((BATCH, SOURCE), SOURCE_VOCABULARY, seed), LENGTHS)
    target = ids((BATCH, TARGET), TARGET_VOCABULARY, seed + 1)
    target[:, 0] = 2
    return {"source": source.astype("int32"), "target": target}


def array(x):
    """As NumPy float64, which has all dtypes of all backends."""
    return ops.convert_to_numpy(ops.cast(x, "float32")).astype("float64")


MANY = tuple(range(1, SOURCE + 1)) * 3


def many_sources():
    """Sources of many lengths: `(len(MANY), SOURCE)`."""
    return padded(ids((len(MANY), SOURCE), SOURCE_VOCABULARY), MANY).astype("int32")


@contextlib.contextmanager
def ending(model, steps):
    """Lets a random model end an answer to `many_sources` after one token at least."""
    usual, model.end_id = model.end_id, -1
    try:
        endless = ops.convert_to_numpy(model.decode(many_sources(), max_length=steps).ids)
        model.end_id = next(
            int(row[t]) for row in endless for t in range(1, steps) if row[t] not in row[:t]
        )
        yield
    finally:
        model.end_id = usual
