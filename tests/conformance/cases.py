"""The table of layers: one row per variant. Each property is proven for every row.

A new variant is one more row. Sizes are distinct primes, so that a swapped axis cannot pass.
"""

import dataclasses

import keras
import numpy as np

import keras_attention as ka

B, TQ, TV = 2, 3, 5
DQ, DV, DK = 7, 11, 13
SCORERS = {"scorer", "chunk_scorer"}
UNITS, HEADS, KEY_DIM, VALUE_DIM, OUTPUT_DIM = 17, 19, 23, 29, 31


@dataclasses.dataclass(frozen=True)
class Case:
    """One variant of one layer and what to call it with.

    Args:
        name: what tests print.
        layer_class: the class.
        arguments: the constructor's arguments; scorers as functions of their dtype.
        sizes: feature size of each input, by name of the call argument.
        output_dim: feature size of the output.
        heads: number of heads, None if the weights have no such axis.
    """

    name: str
    layer_class: type
    arguments: dict
    sizes: dict
    output_dim: int
    heads: int | None = None

    @property
    def is_cross(self):
        """Whether it attends from one sequence to another: the only kind with two lengths."""
        return "value" in self.sizes

    @property
    def is_pooling(self):
        return self.layer_class is ka.TimeDistributedScorer and not self.is_cross

    @property
    def is_stateful(self):
        """Whether the weights of a query depend on the queries before it."""
        return issubclass(self.layer_class, ka.StatefulAttention)

    @property
    def is_softmax(self):
        """Whether hiding a step leaves the weights of the others in proportion."""
        probability = self.arguments.get("probability", "softmax")
        return not self.is_stateful and probability in ("softmax", "normalized_sigmoid")

    @property
    def sums_to_one(self):
        """Whether the weights of a query sum to 1 and not only to at most 1."""
        if issubclass(self.layer_class, (ka.MonotonicAttention, ka.LocalAttention)):
            return False
        return self.arguments.get("probability") != "sigmoid"

    @property
    def is_hard(self):
        """Whether some scores are only compared at inference: small moves move nothing."""
        hard = issubclass(self.layer_class, ka.MonotonicAttention)
        hard = hard and self.arguments.get("hard_inference", True)
        return hard or self.arguments.get("probability") in ("hardmax", "gumbel")

    @property
    def trains_otherwise(self):
        """Whether training gives other weights than inference."""
        return self.is_hard and self.arguments.get("probability") != "hardmax"

    @property
    def has_output_bias(self):
        """Whether an output with nothing attended to is a bias instead of 0."""
        return self.heads is not None and self.arguments.get("use_bias", True)

    @property
    def mask_names(self):
        """The arguments for padding masks of (query, values); one for both if there is only one."""
        return ("query_mask", "value_mask") if self.is_cross else ("mask", "mask")

    def layer(self, **kwargs):
        keras.utils.set_random_seed(37)
        arguments = {**self.arguments, **kwargs}
        for name in SCORERS & set(arguments):
            arguments[name] = arguments[name](kwargs.get("dtype"))
        return self.layer_class(**arguments)

    def lengths(self, query_length=TQ, value_length=TV):
        return {n: query_length if n == "query" else value_length for n in self.sizes}

    def inputs(self, batch=B, query_length=TQ, value_length=TV, scale=1.0, seed=0, dtype="float32"):
        """Random inputs by name. A layer of one sequence gets `query_length` steps."""
        generator = np.random.default_rng(seed)
        lengths = self.lengths(query_length, value_length)
        return {
            name: (scale * generator.standard_normal((batch, lengths[name], size))).astype(dtype)
            for name, size in self.sizes.items()
        }

    def symbolic_inputs(self, **kwargs):
        return {n: keras.Input((None, d), name=n, **kwargs) for n, d in self.sizes.items()}

    def built_layer(self, **kwargs):
        """A layer whose weights are all random: zeros would hide what multiplies them."""
        layer = self.layer(**kwargs)
        layer(**self.inputs())
        generator = np.random.default_rng(41)
        for weight in layer.trainable_weights:
            noise = generator.standard_normal(weight.shape)
            weight.assign(weight + 0.1 * noise.astype("float32"))
        return layer

    def output_shape(self, batch=B, query_length=TQ, value_length=TV):
        if self.is_pooling:
            return (batch, self.output_dim)
        return (batch, query_length, self.output_dim)

    def weights_shape(self, batch=B, query_length=TQ, value_length=TV):
        value_length = value_length if self.is_cross else query_length
        if self.is_pooling:
            return (batch, value_length)
        heads = () if self.heads is None else (self.heads,)
        return (batch, *heads, query_length, value_length)


def _scorer(dtype):
    dense = keras.layers.Dense
    return keras.Sequential([dense(UNITS, "tanh", dtype=dtype), dense(1, dtype=dtype)])


def _bahdanau(dtype):
    return ka.BahdanauAttention(UNITS, dtype=dtype)


def _normalized(dtype):
    return ka.BahdanauAttention(UNITS, normalize=True, dtype=dtype)


def _general(dtype):
    return ka.LuongAttention("general", dtype=dtype)


def _cross(name, layer_class, arguments, query=DQ, value=DV, key=None, output_dim=DV, heads=None):
    sizes = {"query": query, "value": value} | ({} if key is None else {"key": key})
    return Case(name, layer_class, arguments, sizes, output_dim, heads)


_INITIALIZER = {"kernel_initializer": "he_normal"}
# HEADS is a prime, so 1 or all: others in tests/layers/test_multi_head_options.py.
_SCORES = {"num_key_value_heads": 1, "qk_norm": True, "soft_cap": 2.0}

CASES = [
    _cross("bahdanau", ka.BahdanauAttention, {"units": UNITS, **_INITIALIZER}),
    _cross(
        "bahdanau_normalized",
        ka.BahdanauAttention,
        {"units": UNITS, "normalize": True},
        key=DK,
    ),
    _cross("luong_dot", ka.LuongAttention, {"score": "dot"}, key=DQ),
    _cross("luong_general", ka.LuongAttention, {"score": "general", **_INITIALIZER}),
    _cross(
        "luong_general_scaled",
        ka.LuongAttention,
        {"score": "general", "scale": True},
        key=DK,
    ),
    _cross("luong_concat", ka.LuongAttention, {"score": "concat", "units": UNITS}),
    _cross("luong_location", ka.LuongAttention, {"score": "location", "max_length": 13}),
    _cross("scorer", ka.TimeDistributedScorer, {"scorer": _scorer}),
    Case("scorer_pooling", ka.TimeDistributedScorer, {"scorer": _scorer}, {"query": DQ}, DQ),
    Case(
        "multi_head_self",
        ka.MultiHeadSelfAttention,
        {"num_heads": HEADS, "key_dim": KEY_DIM},
        {"query": DQ},
        DQ,
        HEADS,
    ),
    Case(
        "multi_head_self_sizes",
        ka.MultiHeadSelfAttention,
        {
            "num_heads": HEADS,
            "key_dim": KEY_DIM,
            "value_dim": VALUE_DIM,
            "output_dim": OUTPUT_DIM,
            "use_bias": False,
            **_INITIALIZER,
        },
        {"query": DQ},
        OUTPUT_DIM,
        HEADS,
    ),
    Case(
        "multi_head_self_scores",
        ka.MultiHeadSelfAttention,
        {"num_heads": HEADS, "key_dim": KEY_DIM, **_SCORES},
        {"query": DQ},
        DQ,
        HEADS,
    ),
    _cross(
        "multi_head_cross_scores",
        ka.MultiHeadCrossAttention,
        {"num_heads": HEADS, "key_dim": KEY_DIM, **_SCORES},
        output_dim=DQ,
        heads=HEADS,
    ),
    _cross(
        "multi_head_cross",
        ka.MultiHeadCrossAttention,
        {"num_heads": HEADS, "key_dim": KEY_DIM},
        output_dim=DQ,
        heads=HEADS,
    ),
    _cross(
        "multi_head_cross_sizes",
        ka.MultiHeadCrossAttention,
        {
            "num_heads": HEADS,
            "key_dim": KEY_DIM,
            "value_dim": VALUE_DIM,
            "output_dim": OUTPUT_DIM,
            "use_bias": False,
            **_INITIALIZER,
        },
        key=DK,
        output_dim=OUTPUT_DIM,
        heads=HEADS,
    ),
    *[
        _cross(
            f"probability_{name}",
            ka.BahdanauAttention,
            {"units": UNITS, "probability": name},
            key=DK,
        )
        for name in ("sparsemax", "entmax15", "hardmax", "gumbel", "sigmoid", "normalized_sigmoid")
    ],
    _cross(
        "multi_head_entmax15",
        ka.MultiHeadCrossAttention,
        {"num_heads": 2, "key_dim": KEY_DIM, "probability": "entmax15"},
        output_dim=DQ,
        heads=2,
    ),
    _cross(
        "monotonic",
        ka.MonotonicAttention,
        {"scorer": _normalized, "noise": 1.0, "score_bias": -0.25},
        key=DK,
    ),
    _cross(
        "monotonic_expected",
        ka.MonotonicAttention,
        {"scorer": _general, "hard_inference": False},
    ),
    _cross(
        "mocha",
        ka.MoChA,
        {"scorer": _bahdanau, "chunk_scorer": _general, "chunk_size": 3, "hard_inference": False},
        key=DK,
    ),
    _cross(
        "mocha_hard",
        ka.MoChA,
        {"scorer": _bahdanau, "noise": 0.5, "score_bias": 0.5},
    ),
    _cross(
        "local_predictive",
        ka.LocalAttention,
        {"scorer": _bahdanau, "window": 2, "units": UNITS, **_INITIALIZER},
        key=DK,
    ),
    _cross(
        "local_monotonic",
        ka.LocalAttention,
        {"scorer": _general, "window": 2, "position": "monotonic", "gaussian": True},
    ),
    _cross(
        "location_sensitive",
        ka.LocationSensitiveAttention,
        {
            "scorer": _bahdanau,
            "filters": 3,
            "kernel_size": 5,
            "cumulative": True,
            **_INITIALIZER,
        },
        key=DK,
    ),
    _cross(
        "location_sensitive_smooth",
        ka.LocationSensitiveAttention,
        {"scorer": _general, "filters": 3, "kernel_size": 2, "probability": "normalized_sigmoid"},
    ),
    _cross("coverage", ka.CoverageAttention, {"scorer": _bahdanau, **_INITIALIZER}, key=DK),
]
CROSS_CASES = [case for case in CASES if case.is_cross]
SEQUENCE_CASES = [case for case in CASES if not case.is_pooling]
SOFTMAX_CASES = [case for case in CASES if case.is_softmax]
